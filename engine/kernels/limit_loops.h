#pragma once
// What the limits of all vector instruction sets share. Internal linkage: each file's copy is for its own
// set.

#include <cstdint>
#include <cstring>

#include "engine/kernels/limit_kernels.h"

namespace bitnet {
namespace {

/// Modulo 2^64.
template <class Lane, class Vector>
std::uint64_t sum_of_lanes(const Vector& v) {
  Lane lanes[sizeof(Vector) / sizeof(Lane)];
  std::memcpy(lanes, &v, sizeof v);
  std::uint64_t sum = 0;
  for (const Lane lane : lanes) sum += static_cast<std::uint64_t>(lane);
  return sum;
}

/// `rounds` times step(sum) for each of kSums sums, which start at zero: as many as hide the latency of an
/// instruction. Each takes `fits` turns before its lanes are full; binary32 counts ones exactly up to 2^24.
template <class Vector, class Lane, int kSums, class Step>
inline std::int64_t count_multiply_adds(std::int64_t rounds, std::int64_t fits, Step step) {
  std::int64_t total = 0;
  while (rounds > 0) {
    const std::int64_t turns = rounds < fits ? rounds : fits;
    Vector sums[kSums] = {};
    for (std::int64_t r = 0; r < turns; ++r) {
      for (Vector& sum : sums) step(sum);
    }
    // Copied with constant indices, so that the compiler can keep the sums themselves in registers.
    Vector out[kSums];
#pragma GCC unroll 16
    for (int s = 0; s < kSums; ++s) out[s] = sums[s];
    for (const Vector& sum : out) total += static_cast<std::int64_t>(sum_of_lanes<Lane>(sum));
    rounds -= turns;
  }
  return total;
}

/// The sum of 64-bit words, modulo 2^64; add(sum, at) adds those of one vector.
template <class Vector, class Add>
inline std::uint64_t read_in_streams(const std::byte* data, std::int64_t bytes, Add add) {
  constexpr int kStreams = 4;
  Vector sums[kStreams] = {};
  const std::int64_t stream = bytes / kStreams;
  for (std::int64_t i = 0; i < stream; i += static_cast<std::int64_t>(sizeof(Vector))) {
    for (int s = 0; s < kStreams; ++s) add(sums[s], data + s * stream + i);
  }
  std::uint64_t total = 0;
  for (const Vector& sum : sums) total += sum_of_lanes<std::uint64_t>(sum);
  return total;
}

constexpr std::int64_t kFitsInt32 = 1 << 26;  // of eight products of ones, which no instruction exceeds
constexpr std::int64_t kFitsFloat = 1 << 22;

}  // namespace
}  // namespace bitnet
