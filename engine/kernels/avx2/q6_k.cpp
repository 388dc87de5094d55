// Q6_K rows times activations quantized in blocks (reference-semantics 6.11).

#include "engine/kernels/avx2/q6_k.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

constexpr int kPieces = 8;  // of 32 weights

inline __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

/// Eight pieces of 32 weights, each plus 32, in order, and for each its two scales: the first in the lower
/// eight 16-bit lanes, the second in the upper.
struct Weights {
  __m256i values[kPieces];
  __m256i scales[kPieces];
};

struct Product {
  static Weights decode(const q6_k::Block& block) {
    const __m256i low = _mm256_set1_epi8(0x0f);
    const __m256i high = _mm256_set1_epi8(0x30);
    // Scales of even index in the lower half, of odd index in the upper.
    const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales));
    const __m256i scales = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, order));
    Weights w;
    for (int h = 0; h < 2; ++h) {
      const __m256i first = load(block.low + 64 * h);
      const __m256i second = load(block.low + 64 * h + 32);
      const __m256i upper = load(block.high + 32 * h);
      // What 16-bit shifts bring in from the neighbouring byte is masked away.
      w.values[4 * h] =
          _mm256_or_si256(_mm256_and_si256(first, low), _mm256_and_si256(_mm256_slli_epi16(upper, 4), high));
      w.values[4 * h + 1] =
          _mm256_or_si256(_mm256_and_si256(second, low), _mm256_and_si256(_mm256_slli_epi16(upper, 2), high));
      w.values[4 * h + 2] =
          _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(first, 4), low), _mm256_and_si256(upper, high));
      w.values[4 * h + 3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(second, 4), low),
                                            _mm256_and_si256(_mm256_srli_epi16(upper, 2), high));
    }
    for (int i = 0; i < kPieces; ++i) {
      const auto two_bytes = static_cast<short>(2 * i | (2 * i + 1) << 8);
      w.scales[i] = _mm256_shuffle_epi8(scales, _mm256_set1_epi16(two_bytes));
    }
    return w;
  }

  static __m256i sums(const Weights& w, const ActivationBlock& x) {
    __m256i total = _mm256_setzero_si256();
    for (int i = 0; i < kPieces; ++i) {
      // At most 63 * 127 * 2 and then 32 * 127 * 4 more: 16 bits hold it.
      const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(w.values[i], load(x.codes + 32 * i)),
                                             load(x.offsets + 16 * i));
      total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, w.scales[i]));
    }
    return total;
  }
};

}  // namespace

void matmul_q6_k(const q6_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const ActivationBlock* x, std::int64_t rows, float* y, std::int64_t y_stride) {
  q6_k_rows<Product>(w, n, row_begin, row_end, x, rows, y, y_stride);
}

}  // namespace bitnet::avx2
