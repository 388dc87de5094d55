// The limits of NEON: smlal into int16, fmla, 128-bit loads.

#include <arm_neon.h>

#include "engine/kernels/limit_loops.h"

namespace bitnet::neon {

std::int64_t int8_multiply_adds(const std::int8_t* ones, std::int64_t rounds) {
  constexpr std::int64_t kFits = 16384;  // of one product
  const int8x8_t a = vld1_s8(ones);
  return count_multiply_adds<int16x8_t, std::int16_t, 16>(rounds, kFits, [a](int16x8_t& sum) {
    asm volatile("smlal %0.8h, %1.8b, %1.8b" : "+w"(sum) : "w"(a));
  });
}

std::int64_t f32_multiply_adds(const float* ones, std::int64_t rounds) {
  const float32x4_t a = vld1q_f32(ones);
  return count_multiply_adds<float32x4_t, float, 16>(rounds, kFitsFloat, [a](float32x4_t& sum) {
    asm volatile("fmla %0.4s, %1.4s, %1.4s" : "+w"(sum) : "w"(a));
  });
}

std::uint64_t read(const std::byte* data, std::int64_t bytes) {
  return read_in_streams<uint64x2_t>(data, bytes, [](uint64x2_t& sum, const std::byte* at) {
    const uint8x16_t loaded = vld1q_u8(reinterpret_cast<const std::uint8_t*>(at));
    sum = vaddq_u64(sum, vreinterpretq_u64_u8(loaded));
  });
}

}  // namespace bitnet::neon
