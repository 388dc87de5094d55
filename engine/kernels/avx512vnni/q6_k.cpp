// Q6_K rows times activations quantized in blocks (reference-semantics 6.11), on 512 bits.

#include "engine/kernels/avx2/q6_k.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {
namespace {

constexpr int kPieces = 4;  // of 64 weights

/// Four pieces of 64 weights, each plus 32, in order, and for each its four scales, one for each 128 bits: in
/// the lower half of every 32, above zero.
struct Weights {
  __m512i values[kPieces];
  __m512i scales[kPieces];
};

inline __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

inline __m512i both(__m256i lower, __m256i upper) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(lower), upper, 1);
}

/// (a & b) | c.
inline __m512i and_or(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0xea);
}

struct Product {
  static Weights decode(const q6_k::Block& block) {
    const __m256i none = _mm256_setzero_si256();
    const __m512i low = _mm512_set1_epi8(0x0f);
    // Two bits of each byte of `high` belong to the lower 32 weights of a piece, two to the upper.
    const __m512i first = both(_mm256_set1_epi8(0x03), _mm256_set1_epi8(0x0c));
    const __m512i second = both(_mm256_set1_epi8(0x30), _mm256_set1_epi8(static_cast<char>(0xc0)));
    const __m512i left = both(_mm256_set1_epi16(4), _mm256_set1_epi16(2));
    const __m512i right = both(none, _mm256_set1_epi16(2));
    Weights w;
    for (int h = 0; h < 2; ++h) {
      // Two loads: one of 64 bytes lies across two cache lines, which costs a third of the speed from memory.
      const __m512i nibbles = both(load(block.low + 64 * h), load(block.low + 64 * h + 32));
      const __m512i upper = _mm512_broadcast_i64x4(load(block.high + 32 * h));
      w.values[2 * h] = and_or(nibbles, low, _mm512_sllv_epi16(_mm512_and_si512(upper, first), left));
      w.values[2 * h + 1] = and_or(_mm512_srli_epi16(nibbles, 4), low,
                                   _mm512_srlv_epi16(_mm512_and_si512(upper, second), right));
    }
    const __m512i scales = _mm512_castsi256_si512(
        _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales))));
    // 32-bit lane l of a piece takes scale 4 * piece + l / 4.
    const __m512i quarter = both(_mm256_inserti128_si256(none, _mm_set1_epi16(1), 1),
                                 _mm256_inserti128_si256(_mm256_set1_epi16(2), _mm_set1_epi16(3), 1));
    for (int i = 0; i < kPieces; ++i) {
      const __m512i which = _mm512_add_epi16(quarter, _mm512_set1_epi16(static_cast<short>(4 * i)));
      w.scales[i] = _mm512_maskz_permutexvar_epi16(0x55555555, which, scales);
    }
    return w;
  }

  static __m256i sums(const Weights& w, const ActivationBlock& x) {
    __m512i total = _mm512_setzero_si512();
    for (int i = 0; i < kPieces; ++i) {
      // Products of four neighbours, |.| <= 32 * 127 * 4, are exact in the lower half of a lane; the upper is
      // multiplied by zero.
      const __m512i fours = _mm512_dpbusd_epi32(_mm512_load_si512(x.offsets + 32 * i), w.values[i],
                                                _mm512_load_si512(x.codes + 64 * i));
      total = _mm512_dpwssd_epi32(total, fours, w.scales[i]);
    }
    return _mm256_add_epi32(_mm512_castsi512_si256(total), _mm512_extracti64x4_epi64(total, 1));
  }
};

}  // namespace

void matmul_q6_k(const q6_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const ActivationBlock* x, std::int64_t rows, float* y, std::int64_t y_stride) {
  avx2::q6_k_rows<Product>(w, n, row_begin, row_end, x, rows, y, y_stride);
}

}  // namespace bitnet::avx512vnni
