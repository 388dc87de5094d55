#pragma once
// What the products of Q6_K rows (reference-semantics 6.11) by AVX2 and by AVX-512 share: all but a block.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/kernels.h"

namespace bitnet::avx2 {
namespace {

/// One row of weights by kTokens of activations from row t on. Product::decode() makes of a block what
/// Product::sums() multiplies with the codes and offsets of a block of activations: the exact sums of the
/// eight lanes.
template <class Product, int kTokens>
void q6_k_row(const q6_k::Block* w, std::int64_t blocks, const BlockRows& x, std::int64_t t, float* y,
              std::int64_t y_stride) {
  __m256 acc[kTokens];
  for (int i = 0; i < kTokens; ++i) acc[i] = _mm256_setzero_ps();
  for (std::int64_t b = 0; b < blocks; ++b) {
    const auto weights = Product::decode(w[b]);
    const float d = to_f32_one(w[b].d);
    for (int i = 0; i < kTokens; ++i) {
      const std::int64_t at = (t + i) * blocks + b;
      const __m256i sums = Product::sums(weights, x.codes + at * q6_k::Block::kElements,
                                         x.offsets + at * (q6_k::Block::kElements / 2));
      acc[i] = _mm256_fmadd_ps(_mm256_set1_ps(x.scales[at] * d), _mm256_cvtepi32_ps(sums), acc[i]);
    }
  }
  for (int i = 0; i < kTokens; ++i) y[(t + i) * y_stride] = fold(acc[i]);
}

template <class Product>
void q6_k_rows(const q6_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
               const BlockRows& x, float* y, std::int64_t y_stride) {
  const std::int64_t blocks = n / q6_k::Block::kElements;
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    std::int64_t t = 0;
    for (; t + 4 <= x.rows; t += 4) q6_k_row<Product, 4>(w + m * blocks, blocks, x, t, y + m, y_stride);
    if (x.rows - t == 3) q6_k_row<Product, 3>(w + m * blocks, blocks, x, t, y + m, y_stride);
    if (x.rows - t == 2) q6_k_row<Product, 2>(w + m * blocks, blocks, x, t, y + m, y_stride);
    if (x.rows - t == 1) q6_k_row<Product, 1>(w + m * blocks, blocks, x, t, y + m, y_stride);
  }
}

}  // namespace
}  // namespace bitnet::avx2
