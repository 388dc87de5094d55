// The limit of AVX-VNNI: vpdpbusd on 256 bits.

#include <immintrin.h>

#include "engine/kernels/limit_loops.h"

namespace bitnet::avx_vnni {

std::int64_t int8_multiply_adds(const std::int8_t* ones, std::int64_t rounds) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones));
  return count_multiply_adds<__m256i, std::int32_t, 12>(rounds, kFitsInt32, [a](__m256i& sum) {
    asm volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(sum) : "x"(a));
  });
}

}  // namespace bitnet::avx_vnni
