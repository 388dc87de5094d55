#pragma once
// What the ternary products of AVX2, AVX-VNNI and AVX-512 VNNI share. Codes are multiplied where they stand:
// taking them out of their bytes is little beside four rows of activations, and a matrix of two-bit codes
// stays in caches that its bytes would leave. Integer sums are exact, so each takes them in whatever order is
// fastest. Internal linkage, as in simd.h.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/kernels.h"

namespace bitnet::avx2 {
namespace {

constexpr std::int64_t kBlock = 128;      // weights per block
constexpr std::int64_t kBlockBytes = 32;  // byte p holds weights p, p + 32, p + 64, p + 96 in bits 7:6 .. 1:0

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

/// Four rows of weights from column 0 on.
struct FourRows {
  const std::uint8_t* codes[4];
  std::int64_t blocks;

  /// Asks for what follows the four rows in memory, two lines for each block: when these rows are done, the
  /// next are there. One stream in the order of addresses, which is what memory is fastest at.
  void prefetch_behind(std::int64_t block) const {
    const std::int64_t ahead = 4 * blocks * kBlockBytes + 2048 + 4 * block * kBlockBytes;
    prefetch(codes[0], ahead);
    prefetch(codes[0], ahead + 64);
  }
};

/// Rows [row_begin, row_end) of weights by kCount rows of activations from t.
template <class Tile, int kCount>
void multiply_tokens(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                     const QuantizedRows& x, std::int64_t t, float* y, std::int64_t y_stride) {
  FourRows rows = {{}, w.cols / kBlock};
  for (std::int64_t m = row_begin; m < row_end; m += 4) {
    const std::int64_t count = smaller(4, row_end - m);
    // Rows that fill up the last four repeat the last one; their sums are not stored.
    for (std::int64_t r = 0; r < 4; ++r) rows.codes[r] = w.codes + (m + smaller(r, count - 1)) * (w.cols / 4);
    __m128i sums[Tile::kTokens];
    Tile::template multiply<kCount>(rows, x.codes + t * x.stride, x.stride, sums);
    for (int i = 0; i < kCount; ++i) {
      const __m128 result = finish(sums[i], x.sums[t + i], x.scales[t + i], w.scale);
      store_some(y + (t + i) * y_stride + m, result, count);
    }
  }
}

/// The last rows of activations from t, at most kCount.
template <class Tile, int kCount>
void multiply_last(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                   const QuantizedRows& x, std::int64_t t, float* y, std::int64_t y_stride) {
  if constexpr (kCount > 0) {
    if (x.rows - t == kCount) {
      multiply_tokens<Tile, kCount>(w, row_begin, row_end, x, t, y, y_stride);
    } else {
      multiply_last<Tile, kCount - 1>(w, row_begin, row_end, x, t, y, y_stride);
    }
  }
}

/// Bytes of weights that stay in the second cache while all rows of activations pass by, few of which stay in
/// the first one at a time.
constexpr std::int64_t kCachedBytes = std::int64_t{512} << 10;

/// Tile has kTokens, the most rows of activations that it takes at a time, and multiply<tokens>(rows, x,
/// stride, sums): lane r of sums[t] becomes the dot product of rows.codes[r] and row t of activations.
template <class Tile>
inline void multiply(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                     const QuantizedRows& x, float* y, std::int64_t y_stride) {
  const std::int64_t cached_rows = (kCachedBytes / w.cols + 1) * 4;
  for (std::int64_t m = row_begin; m < row_end; m += cached_rows) {
    const std::int64_t end = smaller(m + cached_rows, row_end);
    std::int64_t t = 0;
    for (; t + Tile::kTokens <= x.rows; t += Tile::kTokens) {
      multiply_tokens<Tile, Tile::kTokens>(w, m, end, x, t, y, y_stride);
    }
    multiply_last<Tile, Tile::kTokens - 1>(w, m, end, x, t, y, y_stride);
  }
}

}  // namespace
}  // namespace bitnet::avx2
