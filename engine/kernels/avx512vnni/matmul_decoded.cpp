// Dense products of weights that are decoded to binary32 (reference-semantics 6.5): bfloat16 and Q8_0. One
// row of bfloat16 is as fast as memory gives the weights, and the AVX2 kernel's.

#include "engine/kernels/avx512vnni/simd.h"
#include "engine/kernels/declare.h"
#include "engine/kernels/multiply_decoded.h"

namespace bitnet::avx512vnni {
namespace {

/// Sixteen weights of a block from `at` on.
inline __m512 decode_sixteen(const q8_0::Block& block, int at) {
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.codes + at));
  return _mm512_mul_ps(_mm512_set1_ps(to_f32_one(block.d)), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)));
}

float dot_q8_0(const q8_0::Block* row, const float* x, std::int64_t n) {
  static_assert(kStep == 2 * q8_0::Block::kElements);
  __m512 acc[kAccumulators];
  for (__m512& each : acc) each = _mm512_setzero_ps();
  std::int64_t k = 0;
  for (; k + kStep <= n; k += kStep, row += 2) {
    for (int j = 0; j < kAccumulators; ++j) {
      const __m512 weights = decode_sixteen(row[j / 2], j % 2 * 16);
      acc[j] = in_place(_mm512_fmadd_ps(weights, _mm512_loadu_ps(x + k + kLanes * j), acc[j]));
    }
  }
  float sum = fold(add_accumulators(acc));
  if (k < n) {
    float rest[q8_0::Block::kElements];
    avx2::decode_q8_0(row, n - k, rest);
    for (std::int64_t i = 0; k + i < n; ++i) sum = fma_one(rest[i], x[k + i], sum);
  }
  return sum;
}

}  // namespace

void matmul_bf16(const bf16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                 std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  if (pays_to_decode(n, rows)) {
    multiply_decoded<avx2::decode_bf16, matmul_f32>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  } else {
    avx2::matmul_bf16(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  }
}

void matmul_q8_0(const q8_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  if (pays_to_decode(n, rows)) {
    multiply_decoded<avx2::decode_q8_0, matmul_f32>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  } else {
    multiply_rows<dot_q8_0>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  }
}

}  // namespace bitnet::avx512vnni
