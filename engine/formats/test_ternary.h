#pragma once
// Ternary matrices for tests.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"

namespace bitnet::testing_support {

/// n weights, each of the three equally often.
inline std::vector<std::int8_t> ternary(std::size_t n, std::uint64_t seed) {
  std::vector<std::int8_t> w(n);
  for (auto& x : w) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    x = static_cast<std::int8_t>(static_cast<int>((seed >> 33) % 3) - 1);
  }
  return w;
}

/// What the InputError says that `action` throws, or "".
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

/// A byte as a number that a test prints.
inline int value(std::byte b) {
  return std::to_integer<int>(b);
}

}  // namespace bitnet::testing_support
