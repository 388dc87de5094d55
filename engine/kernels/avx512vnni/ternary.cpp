// Ternary weights times int8 activations by vpdpbusd on 512 bits. The instruction multiplies unsigned codes
// with signed activations and adds four products to each 32-bit lane without saturating in between.

#include "engine/kernels/avx2/ternary.h"

#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {
namespace {

using avx2::FourRows;
using avx2::kBlock;
using avx2::kBlockBytes;

/// In place: without it GCC 12 spreads the accumulators over copies and the stack, which costs half the
/// speed.
inline void add_products(__m512i& sum, __m512i codes, __m512i q) {
  sum = _mm512_dpbusd_epi32(sum, codes, q);
  __asm__("" : "+v"(sum));
}

struct Tile {
  static constexpr int kTokens = 4;
  /// By rows of activations and of weights. Lanes of the lower half hold four times their sum: two of the
  /// four codes of a byte are used where they stand, as four times their value, which saves shifts. Nothing
  /// overflows: of the longest row a lane adds up 65536 / 16 products of at most 4 * 3 * 128.
  using Sums = __m512i[kTokens][4];

  template <int kCount>
  static void multiply(const FourRows& rows, const std::int8_t* x, std::int64_t stride,
                       __m128i (&dots)[kTokens]) {
    Sums sums;
    for (auto& row : sums) {
      for (__m512i& sum : row) sum = _mm512_setzero_si512();
    }
    for (std::int64_t b = 0; b < rows.blocks; ++b) {
      rows.prefetch_behind(b);
      for (int r = 0; r < 4; ++r)
        add_block<kCount>(sums, r, rows.codes[r] + b * kBlockBytes, x + b * kBlock, stride);
    }
    const __m512i all = sum_lanes(sums);
    dots[0] = _mm512_castsi512_si128(all);
    if constexpr (kCount > 1) dots[1] = _mm512_extracti32x4_epi32(all, 1);
    if constexpr (kCount > 2) dots[2] = _mm512_extracti32x4_epi32(all, 2);
    if constexpr (kCount > 3) dots[3] = _mm512_extracti32x4_epi32(all, 3);
  }

 private:
  template <int kCount>
  static void add_block(Sums& sums, int row, const std::uint8_t* codes, const std::int8_t* x,
                        std::int64_t stride) {
    // Both halves hold the block's bytes, of which each takes the codes of other bits: the lower half 7:6 and
    // 3:2, the upper one 5:4 and 1:0. What 16-bit shifts bring in from the neighbouring byte is masked away.
    const __m512i mask = _mm512_inserti64x4(_mm512_set1_epi8(0x0c), _mm256_set1_epi8(0x03), 1);
    const __m512i bytes = _mm512_broadcast_i64x4(avx2::load(codes));
    const __m512i first = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask);
    const __m512i second = _mm512_and_si512(bytes, mask);
    for (int t = 0; t < kCount; ++t) add_products(sums[t][row], first, _mm512_loadu_si512(x + t * stride));
    for (int t = 0; t < kCount; ++t)
      add_products(sums[t][row], second, _mm512_loadu_si512(x + t * stride + 64));
  }

  /// Lane 4 t + r is the sum of row r of weights and row t of activations.
  static __m512i sum_lanes(const Sums& sums) {
    __m512i rows[kTokens];  // each quarter has a lane for each row of weights, and the quarters add up
    for (int t = 0; t < kTokens; ++t) {
      const __m512i(&s)[4] = sums[t];
      const __m512i a =
          _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
      const __m512i b =
          _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
      rows[t] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    __m512i pairs[2];  // two quarters of one row of activations, two of the next
    for (int p = 0; p < 2; ++p) {
      const __m512i fourfold = _mm512_shuffle_i64x2(rows[2 * p], rows[2 * p + 1], 0x44);
      const __m512i single = _mm512_shuffle_i64x2(rows[2 * p], rows[2 * p + 1], 0xee);
      pairs[p] = _mm512_add_epi32(_mm512_srai_epi32(fourfold, 2), single);
    }
    return _mm512_add_epi32(_mm512_shuffle_i64x2(pairs[0], pairs[1], 0x88),
                            _mm512_shuffle_i64x2(pairs[0], pairs[1], 0xdd));
  }
};

}  // namespace

void ternary_matmul(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const QuantizedRows& x, float* y, std::int64_t y_stride) {
  avx2::multiply<Tile>(w, row_begin, row_end, x, y, y_stride);
}

}  // namespace bitnet::avx512vnni
