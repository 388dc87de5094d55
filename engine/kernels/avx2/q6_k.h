#pragma once
// What the products of Q6_K rows (reference-semantics 6.11) by AVX2 and by AVX-512 share: all but a block.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/kernels.h"

namespace bitnet::avx2 {
namespace {

/// One row of weights by kTokens of activations. Product::decode() makes of a block of weights what
/// Product::sums() multiplies with a block of activations: the exact sums of the eight lanes.
template <class Product, int kTokens>
void q6_k_row(const q6_k::Block* w, std::int64_t blocks, const ActivationBlock* x, float* y,
              std::int64_t y_stride) {
  __m256 acc[kTokens];
  for (int t = 0; t < kTokens; ++t) acc[t] = _mm256_setzero_ps();
  for (std::int64_t b = 0; b < blocks; ++b) {
    const auto weights = Product::decode(w[b]);
    const float d = to_f32_one(w[b].d);
    for (int t = 0; t < kTokens; ++t) {
      const ActivationBlock& activations = x[t * blocks + b];
      const __m256 sums = _mm256_cvtepi32_ps(Product::sums(weights, activations));
      acc[t] = _mm256_fmadd_ps(_mm256_set1_ps(activations.scale * d), sums, acc[t]);
    }
  }
  for (int t = 0; t < kTokens; ++t) y[t * y_stride] = fold(acc[t]);
}

template <class Product>
void q6_k_rows(const q6_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
               const ActivationBlock* x, std::int64_t rows, float* y, std::int64_t y_stride) {
  const std::int64_t blocks = n / q6_k::Block::kElements;
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    const q6_k::Block* row = w + m * blocks;
    std::int64_t t = 0;
    for (; t + 4 <= rows; t += 4)
      q6_k_row<Product, 4>(row, blocks, x + t * blocks, y + t * y_stride + m, y_stride);
    if (rows - t == 3) q6_k_row<Product, 3>(row, blocks, x + t * blocks, y + t * y_stride + m, y_stride);
    if (rows - t == 2) q6_k_row<Product, 2>(row, blocks, x + t * blocks, y + t * y_stride + m, y_stride);
    if (rows - t == 1) q6_k_row<Product, 1>(row, blocks, x + t * blocks, y + t * y_stride + m, y_stride);
  }
}

}  // namespace
}  // namespace bitnet::avx2
