#pragma once
// Loops that go as fast as an instruction set can, with nothing in the way: what kernels are held against.
// Listed in kernels.inc.

#include <cstddef>
#include <cstdint>

#include "engine/kernels/declare.h"

namespace bitnet {

/// They count their own work: sums of products of ones are the number of multiply-adds done. Their
/// instructions are written out, for a compiler sees that all the sums of a loop are one and the same.
struct LimitKernels {
  /// Multiply-adds of int8 in `rounds` turns of a loop that stays in registers, by the instructions that do
  /// most of them. ones: 64 of them. Returns how many were done.
  std::int64_t (*int8_multiply_adds)(const std::int8_t* ones, std::int64_t rounds);
  /// The same for binary32. ones: 16 of them.
  std::int64_t (*f32_multiply_adds)(const float* ones, std::int64_t rounds);
  /// The sum of all 64-bit words, modulo 2^64, read in several streams. bytes is a multiple of 1024.
  std::uint64_t (*read)(const std::byte* data, std::int64_t bytes);
};

#define CROSSVAL_LIMIT(isa, limit, function)                \
  namespace isa {                                           \
  FunctionOf<decltype(LimitKernels::limit)>::type function; \
  }
#include "engine/kernels/kernels.inc"

}  // namespace bitnet
