// The limits of AVX2: vpmaddubsw into int16, FMA, 256-bit loads.

#include <immintrin.h>

#include "engine/kernels/limit_loops.h"

namespace bitnet::avx2 {

std::int64_t int8_multiply_adds(const std::int8_t* ones, std::int64_t rounds) {
  constexpr std::int64_t kFits = 8192;  // of two products
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones));
  return count_multiply_adds<__m256i, std::int16_t, 8>(rounds, kFits, [a](__m256i& sum) {
    __m256i product;
    asm volatile("vpmaddubsw %2, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(a));
  });
}

std::int64_t f32_multiply_adds(const float* ones, std::int64_t rounds) {
  const __m256 a = _mm256_loadu_ps(ones);
  return count_multiply_adds<__m256, float, 12>(rounds, kFitsFloat, [a](__m256& sum) {
    asm volatile("vfmadd231ps %1, %1, %0" : "+x"(sum) : "x"(a));
  });
}

std::uint64_t read(const std::byte* data, std::int64_t bytes) {
  return read_in_streams<__m256i>(data, bytes, [](__m256i& sum, const std::byte* at) {
    sum = _mm256_add_epi64(sum, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  });
}

}  // namespace bitnet::avx2
