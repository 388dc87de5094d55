// Dense products of weights that are decoded to binary32 (reference-semantics 6.5): bfloat16 and Q8_0.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"
#include "engine/kernels/multiply_decoded.h"

namespace bitnet::avx2 {
namespace {

/// How a step of 64 weights is decoded, or what is left of the row after the last: its weights k to n.
struct BFloat16 {
  using Number = bf16;
  static __m256 eight(const bf16* w) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static void step(const bf16* row, std::int64_t k, __m256 (&w)[8]) {
    for (int i = 0; i < 8; ++i) w[i] = eight(row + k + 8 * i);
  }
  static void rest(const bf16* row, std::int64_t k, std::int64_t n, float* w) {
    for (; k + 8 <= n; k += 8, w += 8) _mm256_storeu_ps(w, eight(row + k));
    for (; k < n; ++k, ++w)
      *w = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(row[k].bits) << 16)));
  }
};

struct Q8 {
  using Number = q8_0::Block;
  static void block(const q8_0::Block& b, __m256 (&w)[8], int at) {
    const __m256 d = _mm256_set1_ps(to_f32_one(b.d));
    for (int i = 0; i < 4; ++i) {
      const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(b.codes + 8 * i));
      w[at + i] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)));
    }
  }
  static void step(const q8_0::Block* row, std::int64_t k, __m256 (&w)[8]) {
    const q8_0::Block* b = row + k / q8_0::Block::kElements;
    block(b[0], w, 0);
    block(b[1], w, 4);
  }
  static void rest(const q8_0::Block* row, std::int64_t k, std::int64_t n, float* w) {
    for (; k < n; k += q8_0::Block::kElements, w += q8_0::Block::kElements) {
      __m256 decoded[8];
      block(row[k / q8_0::Block::kElements], decoded, 0);
      for (int i = 0; i < 4; ++i) _mm256_storeu_ps(w + 8 * i, decoded[i]);
    }
  }
};

template <class Type>
void decode(const typename Type::Number* row, std::int64_t n, float* y) {
  const std::int64_t stepped = n / kStep * kStep;
  for (std::int64_t k = 0; k < stepped; k += kStep) {
    __m256 w[8];
    Type::step(row, k, w);
    for (int i = 0; i < 8; ++i) _mm256_storeu_ps(y + k + 8 * i, w[i]);
  }
  Type::rest(row, stepped, n, y + stepped);
}

template <class Type>
float dot(const typename Type::Number* row, const float* x, std::int64_t n) {
  const std::int64_t stepped = n / kStep * kStep;
  __m256 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm256_setzero_ps();
  for (std::int64_t k = 0; k < stepped; k += kStep) {
    __m256 w[8];
    Type::step(row, k, w);
    for (int i = 0; i < 8; ++i)
      acc[i] = in_place(_mm256_fmadd_ps(w[i], _mm256_loadu_ps(x + k + 8 * i), acc[i]));
  }
  float sum = fold(add_accumulators(acc));
  if (stepped < n) {
    float rest[kStep];
    Type::rest(row, stepped, n, rest);
    for (std::int64_t k = stepped; k < n; ++k) sum = fma_one(rest[k - stepped], x[k], sum);
  }
  return sum;
}

template <class Type, class Number>
void matmul(const Number* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
            std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  if (pays_to_decode(n, rows)) {
    multiply_decoded<decode<Type>, matmul_f32>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  } else {
    multiply_rows<dot<Type>>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  }
}

}  // namespace

void matmul_bf16(const bf16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                 std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul<BFloat16>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void matmul_q8_0(const q8_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const float* x, std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  matmul<Q8>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
}

void decode_bf16(const bf16* row, std::int64_t n, float* y) {
  decode<BFloat16>(row, n, y);
}

void decode_q8_0(const q8_0::Block* row, std::int64_t n, float* y) {
  decode<Q8>(row, n, y);
}

}  // namespace bitnet::avx2
