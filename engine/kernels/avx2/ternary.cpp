// Ternary weights times int8 activations by vpmaddubsw, which multiplies unsigned codes with signed
// activations and adds two products into 16 bits. A code is at most 3 and an activation at least -128, so a
// pair is at most 768 in magnitude; a block of 128 weights adds 4 pairs to each lane, and ten blocks stay
// within 30720.

#include "engine/kernels/avx2/ternary.h"

#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

struct Tile {
  static constexpr int kTokens = 4;

  template <int kCount>
  static void multiply(const FourRows& rows, const std::int8_t* x, std::int64_t stride,
                       __m128i (&dots)[kTokens]) {
    __m256i sums[kCount][4];
    for (int r = 0; r < 4; ++r) {
      for (int t = 0; t < kCount; ++t) sums[t][r] = _mm256_setzero_si256();
      for (std::int64_t b = 0; b < rows.blocks; b += kGroup) {
        __m256i group[kCount];
        for (__m256i& sum : group) sum = _mm256_setzero_si256();
        const std::int64_t end = smaller(b + kGroup, rows.blocks);
        const std::int64_t middle = smaller(b + kGroup / 2, end);
        add_blocks<kCount>(group, rows.codes[r], x, stride, b, middle);
        add_blocks<kCount>(group, rows.codes[r], x, stride, middle, end);
        for (int t = 0; t < kCount; ++t) {
          const __m256i wide = _mm256_madd_epi16(group[t], _mm256_set1_epi16(1));
          sums[t][r] = _mm256_add_epi32(sums[t][r], wide);
        }
      }
    }
    for (int t = 0; t < kCount; ++t) dots[t] = sum_lanes(sums[t]);
  }

 private:
  static constexpr std::int64_t kGroup = 10;  // blocks that 16-bit lanes can add up

  /// Blocks [begin, end), at most five, of one row of weights. Two of the four codes of a byte are used where
  /// they stand, as four times their value, which saves two shifts: 5 * 2 * 4 * 768 = 30720 fits.
  template <int kCount>
  static void add_blocks(__m256i (&sums)[kCount], const std::uint8_t* w, const std::int8_t* x,
                         std::int64_t stride, std::int64_t begin, std::int64_t end) {
    const __m256i low = _mm256_set1_epi8(0x03);
    const __m256i high = _mm256_set1_epi8(0x0c);
    __m256i fourfold[kCount];
    __m256i single[kCount];
    for (int t = 0; t < kCount; ++t) {
      fourfold[t] = _mm256_setzero_si256();
      single[t] = _mm256_setzero_si256();
    }
    for (std::int64_t b = begin; b < end; ++b) {
      prefetch(w + b * kBlockBytes, 2048);
      const __m256i bytes = load(w + b * kBlockBytes);
      const __m256i shifted = _mm256_srli_epi16(bytes, 4);
      const std::int8_t* const q = x + b * kBlock;
      add_pairs<kCount>(fourfold, _mm256_and_si256(shifted, high), q, stride);
      add_pairs<kCount>(single, _mm256_and_si256(shifted, low), q + 32, stride);
      add_pairs<kCount>(fourfold, _mm256_and_si256(bytes, high), q + 64, stride);
      add_pairs<kCount>(single, _mm256_and_si256(bytes, low), q + 96, stride);
    }
    for (int t = 0; t < kCount; ++t) {
      sums[t] = _mm256_add_epi16(sums[t], _mm256_add_epi16(single[t], _mm256_srai_epi16(fourfold[t], 2)));
    }
  }

  template <int kCount>
  static void add_pairs(__m256i (&sums)[kCount], __m256i codes, const std::int8_t* x, std::int64_t stride) {
    for (int t = 0; t < kCount; ++t) {
      sums[t] = in_place(_mm256_add_epi16(sums[t], _mm256_maddubs_epi16(codes, load(x + t * stride))));
    }
  }
};

}  // namespace

void ternary_matmul(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const QuantizedRows& x, float* y, std::int64_t y_stride) {
  multiply<Tile>(w, row_begin, row_end, x, y, y_stride);
}

}  // namespace bitnet::avx2
