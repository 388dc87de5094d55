#pragma once
// What the ternary products by vpdpbusd share, on 256 and 512 bits. The instruction multiplies unsigned codes
// with signed activations and adds four products to each 32-bit lane without saturating in between. Sums are
// exact, so each takes them in whatever order it likes. Internal linkage, as in avx2/simd.h.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/kernels.h"

namespace bitnet::avx_vnni {
namespace {

using avx2::first_lanes;
using avx2::prefetch;
using avx2::smaller;

constexpr std::int64_t kBlock = 128;      // weights per block
constexpr std::int64_t kBlockBytes = 32;  // byte p holds weights p, p + 32, p + 64, p + 96 in bits 7:6 .. 1:0

constexpr std::int64_t kPanelRows = 8;     // rows of weights unpacked together
constexpr std::int64_t kPanelBlocks = 10;  // blocks of them at a time
constexpr std::int64_t kTokenBlock = 64;   // rows of activations the sums of which wait

/// Codes of up to kPanelBlocks blocks of kPanelRows rows: [step][row][kWidth], one a byte.
template <std::int64_t kWidth>
struct Panel {
  alignas(kWidth) std::uint8_t codes[kPanelBlocks * kBlock / kWidth][kPanelRows][kWidth];
};

inline __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

/// Lane i is the sum of the lanes of v[i].
inline __m128i sum_lanes(const __m256i (&v)[4]) {
  const __m256i ab = _mm256_hadd_epi32(v[0], v[1]);
  const __m256i cd = _mm256_hadd_epi32(v[2], v[3]);
  const __m256i abcd = _mm256_hadd_epi32(ab, cd);
  return _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
}

/// The epilogue of four sums with one row of activations; three roundings in the order of the contract.
inline __m128 finish(__m128i sums, std::int32_t activation_sum, float activation_scale, float weight_scale) {
  const __m128 difference =
      _mm_sub_ps(_mm_cvtepi32_ps(sums), _mm_set1_ps(static_cast<float>(activation_sum)));
  return _mm_mul_ps(_mm_div_ps(difference, _mm_set1_ps(activation_scale)), _mm_set1_ps(weight_scale));
}

/// The first `count` of four.
inline void store_some(float* y, __m128 v, std::int64_t count) {
  if (count >= 4) {
    _mm_storeu_ps(y, v);
  } else {
    _mm_maskstore_ps(y, _mm256_castsi256_si128(first_lanes(count)), v);
  }
}

/// One row of activations. Dot: (codes of a row, activations, blocks) -> eight lanes that add up to the dot
/// product.
template <class Dot>
inline void one_activation(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                           const QuantizedRows& x, float* y, Dot dot) {
  for (std::int64_t m = row_begin; m < row_end; m += 4) {
    const std::int64_t count = smaller(4, row_end - m);
    __m256i sums[4];
    for (std::int64_t r = 0; r < 4; ++r) {
      sums[r] = r < count ? dot(w.codes + (m + r) * (w.cols / 4), x.codes, w.cols / kBlock)
                          : _mm256_setzero_si256();
    }
    store_some(y + m, finish(sum_lanes(sums), x.sums[0], x.scales[0], w.scale), count);
  }
}

/// Up to kPanelRows rows of weights by up to kTokenBlock rows of activations. Product has
///   kWidth: codes in a step; kTokens: rows of activations that it takes at a time;
///   unpack(bytes, blocks, row, panel);
///   multiply<tokens>(panel, row, steps, x, stride, sums): adds the products of four rows from `row` with
///     `tokens` rows of activations to sums[token], a lane for each row.
template <class Product>
void panel_product(const TernaryMatrix& w, std::int64_t m, std::int64_t rows, const QuantizedRows& x,
                   std::int64_t first, std::int64_t tokens, float* y, std::int64_t y_stride) {
  const std::int64_t blocks = w.cols / kBlock;
  const std::int64_t quads = (rows + 3) / 4;
  Panel<Product::kWidth> panel;
  __m128i sums[kPanelRows / 4][kTokenBlock];
  for (std::int64_t quad = 0; quad < quads; ++quad) {
    for (std::int64_t t = 0; t < tokens; ++t) sums[quad][t] = _mm_setzero_si128();
  }
  for (std::int64_t block = 0; block < blocks; block += kPanelBlocks) {
    const std::int64_t count = smaller(kPanelBlocks, blocks - block);
    for (std::int64_t r = 0; r < quads * 4; ++r) {
      // Rows that fill up the last four repeat the last one; their sums are not stored.
      const std::int64_t row = m + (r < rows ? r : rows - 1);
      Product::unpack(w.codes + row * (w.cols / 4) + block * kBlockBytes, count, r, panel);
    }
    const std::int64_t steps = count * kBlock / Product::kWidth;
    const std::int8_t* const q = x.codes + first * x.stride + block * kBlock;
    std::int64_t t = 0;
    for (; t + Product::kTokens <= tokens; t += Product::kTokens) {
      for (std::int64_t quad = 0; quad < quads; ++quad) {
        Product::template multiply<Product::kTokens>(panel, 4 * quad, steps, q + t * x.stride, x.stride,
                                                     &sums[quad][t]);
      }
    }
    for (; t < tokens; ++t) {
      for (std::int64_t quad = 0; quad < quads; ++quad) {
        Product::template multiply<1>(panel, 4 * quad, steps, q + t * x.stride, x.stride, &sums[quad][t]);
      }
    }
  }
  for (std::int64_t quad = 0; quad < quads; ++quad) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const __m128 result = finish(sums[quad][t], x.sums[first + t], x.scales[first + t], w.scale);
      store_some(y + (first + t) * y_stride + m + 4 * quad, result, rows - 4 * quad);
    }
  }
}

template <class Product>
void many_activations(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                      const QuantizedRows& x, float* y, std::int64_t y_stride) {
  for (std::int64_t first = 0; first < x.rows; first += kTokenBlock) {
    const std::int64_t tokens = smaller(kTokenBlock, x.rows - first);
    for (std::int64_t m = row_begin; m < row_end; m += kPanelRows) {
      panel_product<Product>(w, m, smaller(kPanelRows, row_end - m), x, first, tokens, y, y_stride);
    }
  }
}

}  // namespace
}  // namespace bitnet::avx_vnni
