// The limit of smmla.

#include <arm_neon.h>

#include "engine/kernels/limit_loops.h"

namespace bitnet::neon_i8mm {

std::int64_t int8_multiply_adds(const std::int8_t* ones, std::int64_t rounds) {
  const int8x16_t a = vld1q_s8(ones);
  return count_multiply_adds<int32x4_t, std::int32_t, 16>(rounds, kFitsInt32, [a](int32x4_t& sum) {
    asm volatile("smmla %0.4s, %1.16b, %1.16b" : "+w"(sum) : "w"(a));
  });
}

}  // namespace bitnet::neon_i8mm
