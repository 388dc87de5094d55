// The limits of portable C++: what the compiler makes of it for the oldest processor it is built for.

#include <cstring>

#include "engine/kernels/limit_kernels.h"

namespace bitnet::scalar {
namespace {

/// The compiler may take nothing for known across it.
template <class T>
void forget(T& values) {
  asm volatile("" : : "r"(&values) : "memory");
}

}  // namespace

std::int64_t int8_multiply_adds(const std::int8_t* ones, std::int64_t rounds) {
  std::int8_t a[64];
  std::int8_t b[64];
  std::memcpy(a, ones, sizeof a);
  std::memcpy(b, ones, sizeof b);
  std::int64_t total = 0;
  for (std::int64_t r = 0; r < rounds; ++r) {
    forget(a);
    std::int32_t sum = 0;
    for (int i = 0; i < 64; ++i) sum += std::int32_t{a[i]} * b[i];
    total += sum;
  }
  return total;
}

std::int64_t f32_multiply_adds(const float* ones, std::int64_t rounds) {
  constexpr std::int64_t kExact = 1 << 20;  // sums of ones stay exact
  float a[16];
  std::memcpy(a, ones, sizeof a);
  std::int64_t total = 0;
  for (std::int64_t done = 0; done < rounds; done += kExact) {
    float sums[16] = {};
    for (std::int64_t r = done; r < rounds && r < done + kExact; ++r) {
      forget(a);
      for (int i = 0; i < 16; ++i) sums[i] += a[i] * a[i];
    }
    for (const float sum : sums) total += static_cast<std::int64_t>(sum);
  }
  return total;
}

std::uint64_t read(const std::byte* data, std::int64_t bytes) {
  std::uint64_t sums[4] = {};
  const std::int64_t stream = bytes / 4;
  for (std::int64_t i = 0; i < stream; i += 8) {
    for (int s = 0; s < 4; ++s) {
      std::uint64_t word;
      std::memcpy(&word, data + s * stream + i, sizeof word);
      sums[s] += word;
    }
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace bitnet::scalar
