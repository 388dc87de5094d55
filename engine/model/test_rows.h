#pragma once
// Tokens, rows and logits for tests of contexts.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "engine/model/context.h"

namespace bitnet::test {

inline std::vector<std::int32_t> some_tokens(std::int64_t n, std::uint32_t seed, std::int64_t n_vocab) {
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<std::int32_t>((seed >> 8) % static_cast<std::uint32_t>(n_vocab)));
  }
  return tokens;
}

inline std::vector<BatchRow> rows_of(std::span<const std::int32_t> tokens, int sequence = 0) {
  std::vector<BatchRow> rows;
  for (std::int32_t t : tokens) rows.push_back({.token = t, .sequence = sequence});
  return rows;
}

inline std::vector<float> copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

/// Equality of bits, NaN and signs of zero included.
inline testing::AssertionResult same_bits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << " values against " << b.size();
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0)
      return testing::AssertionFailure() << "value " << i << ": " << a[i] << " against " << b[i];
  return testing::AssertionSuccess();
}

}  // namespace bitnet::test
