// Ternary weights times int8 activations. Sums are exact, so they are taken in whatever order is fastest.
//
// vpmaddubsw multiplies unsigned codes with signed activations and adds two products into 16 bits. A code is
// at most 3 and an activation at least -128, so a pair is at most 768 in magnitude; a block of 128 weights
// adds 4 pairs to each lane, and ten blocks stay within 30720.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

constexpr std::int64_t kBlock = 128;      // weights per block
constexpr std::int64_t kBlockBytes = 32;  // byte p holds weights p, p + 32, p + 64, p + 96 in bits 7:6 .. 1:0
constexpr std::int64_t kGroup = 10;       // blocks that 16-bit lanes can add up

inline __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

/// Adds pairs of 16-bit lanes to 32-bit lanes.
inline __m256i add_pairs(__m256i wide, __m256i narrow) {
  return _mm256_add_epi32(wide, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)));
}

/// The sums of the lanes of four vectors.
inline __m128i sum_lanes(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i ab = _mm256_hadd_epi32(a, b);
  const __m256i cd = _mm256_hadd_epi32(c, d);
  const __m256i abcd = _mm256_hadd_epi32(ab, cd);
  return _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
}

/// The epilogue of four sums with one row of activations; three roundings in the order of the contract.
inline __m128 finish(__m128i sums, float activation_sum, float activation_scale, float weight_scale) {
  const __m128 difference = _mm_sub_ps(_mm_cvtepi32_ps(sums), _mm_set1_ps(activation_sum));
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

// ---- one row of activations: as fast as the weights come from memory ----

/// Adds the products of up to five blocks to 16-bit lanes. Two of the four codes of a byte are used where
/// they stand, as four times their value, which saves two shifts: 5 * 2 * 4 * 768 = 30720 fits.
inline __m256i add_blocks(__m256i sum, const std::uint8_t* w, const std::int8_t* x, std::int64_t blocks) {
  const __m256i low = _mm256_set1_epi8(0x03);
  const __m256i high = _mm256_set1_epi8(0x0c);
  __m256i fourfold = _mm256_setzero_si256();
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int8_t* q = x + block * kBlock;
    prefetch(w + block * kBlockBytes, 2048);
    const __m256i bytes = load(w + block * kBlockBytes);
    const __m256i shifted = _mm256_srli_epi16(bytes, 4);
    const __m256i q0 = _mm256_maddubs_epi16(_mm256_and_si256(shifted, high), load(q));
    const __m256i q1 = _mm256_maddubs_epi16(_mm256_and_si256(shifted, low), load(q + 32));
    const __m256i q2 = _mm256_maddubs_epi16(_mm256_and_si256(bytes, high), load(q + 64));
    const __m256i q3 = _mm256_maddubs_epi16(_mm256_and_si256(bytes, low), load(q + 96));
    fourfold = _mm256_add_epi16(fourfold, _mm256_add_epi16(q0, q2));
    sum = _mm256_add_epi16(sum, _mm256_add_epi16(q1, q3));
  }
  return _mm256_add_epi16(sum, _mm256_srai_epi16(fourfold, 2));
}

/// One row of weights; the lanes add up to the dot product.
inline __m256i dot(const std::uint8_t* w, const std::int8_t* x, std::int64_t blocks) {
  constexpr std::int64_t kHalf = kGroup / 2;
  __m256i sum = _mm256_setzero_si256();
  for (; blocks >= kGroup; blocks -= kGroup, w += kGroup * kBlockBytes, x += kGroup * kBlock) {
    const __m256i first = add_blocks(_mm256_setzero_si256(), w, x, kHalf);
    sum = add_pairs(sum, add_blocks(first, w + kHalf * kBlockBytes, x + kHalf * kBlock, kHalf));
  }
  const std::int64_t some = smaller(blocks, kHalf);
  const __m256i first = add_blocks(_mm256_setzero_si256(), w, x, some);
  return add_pairs(sum, add_blocks(first, w + some * kBlockBytes, x + some * kBlock, blocks - some));
}

void one_activation(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const std::int8_t* x, float scale, std::int32_t sum, float* y) {
  const std::int64_t row_bytes = w.cols / 4;
  for (std::int64_t m = row_begin; m < row_end; m += 4) {
    const std::int64_t count = smaller(4, row_end - m);
    __m256i sums[4];
    for (std::int64_t r = 0; r < 4; ++r) {
      sums[r] = r < count ? dot(w.codes + (m + r) * row_bytes, x, w.cols / kBlock) : _mm256_setzero_si256();
    }
    const __m128i dots = sum_lanes(sums[0], sums[1], sums[2], sums[3]);
    store_some(y + m, finish(dots, static_cast<float>(sum), scale, w.scale), count);
  }
}

// ---- many rows of activations: weights are unpacked once for a block of them ----

constexpr std::int64_t kPanelRows = 8;                      // rows of weights unpacked together
constexpr std::int64_t kPanelSteps = kGroup * kBlock / 32;  // vectors of 32 codes in a row of the panel
constexpr std::int64_t kTokenBlock = 64;                    // rows of activations the sums of which wait

/// Codes of up to ten blocks of kPanelRows rows: [step][row][32], one a byte.
struct Panel {
  alignas(32) std::uint8_t codes[kPanelSteps][kPanelRows][32];
};

/// 32-bit lanes of the sums: [row / 4][activation row][row % 4], eight each.
struct PanelSums {
  __m256i lanes[kPanelRows / 4][kTokenBlock][4];
};

inline void unpack(const std::uint8_t* bytes, std::int64_t blocks, std::int64_t row, Panel& panel) {
  const __m256i mask = _mm256_set1_epi8(0x03);
  for (std::int64_t b = 0; b < blocks; ++b) {
    const __m256i v = load(bytes + b * kBlockBytes);
    for (int part = 0; part < 4; ++part) {
      const __m256i codes = _mm256_and_si256(_mm256_srl_epi16(v, _mm_cvtsi32_si128(6 - 2 * part)), mask);
      _mm256_store_si256(reinterpret_cast<__m256i*>(panel.codes[4 * b + part][row]), codes);
    }
  }
}

/// Four rows of the panel, from `row`, by kTokens rows of activations.
template <int kTokens>
inline void multiply(const Panel& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                     std::int64_t stride, __m256i (*sums)[4]) {
  __m256i acc[kTokens][4];
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < 4; ++r) acc[t][r] = _mm256_setzero_si256();
  }
  for (std::int64_t s = 0; s < steps; ++s) {
    __m256i q[kTokens];
    for (int t = 0; t < kTokens; ++t) q[t] = load(x + t * stride + 32 * s);
    for (int r = 0; r < 4; ++r) {
      const __m256i codes = _mm256_load_si256(reinterpret_cast<const __m256i*>(panel.codes[s][row + r]));
      for (int t = 0; t < kTokens; ++t)
        acc[t][r] = in_place(_mm256_add_epi16(acc[t][r], _mm256_maddubs_epi16(codes, q[t])));
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < 4; ++r) sums[t][r] = add_pairs(sums[t][r], acc[t][r]);
  }
}

/// Up to kPanelRows rows of weights by up to kTokenBlock rows of activations.
void panel_product(const TernaryMatrix& w, std::int64_t m, std::int64_t rows, const QuantizedRows& x,
                   std::int64_t first, std::int64_t tokens, float* y, std::int64_t y_stride) {
  const std::int64_t blocks = w.cols / kBlock;
  const std::int64_t quads = (rows + 3) / 4;
  Panel panel;
  PanelSums sums;
  for (std::int64_t quad = 0; quad < quads; ++quad) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (int r = 0; r < 4; ++r) sums.lanes[quad][t][r] = _mm256_setzero_si256();
    }
  }
  for (std::int64_t block = 0; block < blocks; block += kGroup) {
    const std::int64_t count = smaller(kGroup, blocks - block);
    for (std::int64_t r = 0; r < quads * 4; ++r) {
      // Rows that fill up the last four repeat the last one; their sums are not stored.
      const std::int64_t row = m + (r < rows ? r : rows - 1);
      unpack(w.codes + row * (w.cols / 4) + block * kBlockBytes, count, r, panel);
    }
    const std::int8_t* q = x.codes + first * x.stride + block * kBlock;
    std::int64_t t = 0;
    for (; t + 2 <= tokens; t += 2, q += 2 * x.stride) {
      for (std::int64_t quad = 0; quad < quads; ++quad) {
        multiply<2>(panel, 4 * quad, 4 * count, q, x.stride, &sums.lanes[quad][t]);
      }
    }
    if (t < tokens) {
      for (std::int64_t quad = 0; quad < quads; ++quad) {
        multiply<1>(panel, 4 * quad, 4 * count, q, x.stride, &sums.lanes[quad][t]);
      }
    }
  }
  for (std::int64_t quad = 0; quad < quads; ++quad) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const __m256i* s = sums.lanes[quad][t];
      const __m128 result = finish(sum_lanes(s[0], s[1], s[2], s[3]), static_cast<float>(x.sums[first + t]),
                                   x.scales[first + t], w.scale);
      store_some(y + (first + t) * y_stride + m + 4 * quad, result, rows - 4 * quad);
    }
  }
}

}  // namespace

void ternary_matmul(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const QuantizedRows& x, float* y, std::int64_t y_stride) {
  if (x.rows == 1) {
    one_activation(w, row_begin, row_end, x.codes, x.scales[0], x.sums[0], y);
    return;
  }
  for (std::int64_t first = 0; first < x.rows; first += kTokenBlock) {
    const std::int64_t tokens = smaller(kTokenBlock, x.rows - first);
    for (std::int64_t m = row_begin; m < row_end; m += kPanelRows) {
      panel_product(w, m, smaller(kPanelRows, row_end - m), x, first, tokens, y, y_stride);
    }
  }
}

}  // namespace bitnet::avx2
