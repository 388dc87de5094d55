// The limits of AVX-512 with VNNI: vpdpbusd, FMA and loads of 512 bits.

#include <immintrin.h>

#include "engine/kernels/limit_loops.h"

namespace bitnet::avx512vnni {

std::int64_t int8_multiply_adds(const std::int8_t* ones, std::int64_t rounds) {
  const __m512i a = _mm512_loadu_si512(ones);
  return count_multiply_adds<__m512i, std::int32_t, 16>(rounds, kFitsInt32, [a](__m512i& sum) {
    asm volatile("vpdpbusd %1, %1, %0" : "+v"(sum) : "v"(a));
  });
}

std::int64_t f32_multiply_adds(const float* ones, std::int64_t rounds) {
  const __m512 a = _mm512_loadu_ps(ones);
  return count_multiply_adds<__m512, float, 16>(rounds, kFitsFloat, [a](__m512& sum) {
    asm volatile("vfmadd231ps %1, %1, %0" : "+v"(sum) : "v"(a));
  });
}

std::uint64_t read(const std::byte* data, std::int64_t bytes) {
  return read_in_streams<__m512i>(data, bytes, [](__m512i& sum, const std::byte* at) {
    sum = _mm512_add_epi64(sum, _mm512_loadu_si512(at));
  });
}

}  // namespace bitnet::avx512vnni
