#pragma once
// Ternary matrices for tests.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/ternary_format.h"

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

/// Every format and layout that can hold any such matrix; for TL1 and TL2 in tiles that fit it.
inline std::vector<TernaryFormat> all_formats(TernaryShape shape) {
  std::vector<TernaryFormat> formats;
  for (const I2sLayout layout : kI2sLayouts) formats.push_back({TensorType::i2_s, layout, {}});
  for (const auto type : {TensorType::tq1_0, TensorType::tq2_0, TensorType::iq1_bn, TensorType::iq2_bn,
                          TensorType::iq2_bn_r4, TensorType::bitnet32_f16})
    formats.push_back({type, I2sLayout::x86, {}});
  for (const auto type : {TensorType::tl1, TensorType::tl2})
    formats.push_back({type, I2sLayout::x86, fitting_tiles(type, shape).value()});
  return formats;
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
