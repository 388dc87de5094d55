// Ternary weights times int8 activations by vpdpbusd on 512 bits.

#include "engine/kernels/avx_vnni/ternary.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {
namespace {

using namespace avx_vnni;

/// The 128 codes of a block in order, one a byte.
struct BlockCodes {
  __m512i first;
  __m512i second;
};

inline BlockCodes codes_of(const std::uint8_t* bytes) {
  // Both halves hold the block's bytes; each is shifted to another pair of bits. What 16-bit shifts bring in
  // from the neighbouring byte is masked away.
  const __m512i both = _mm512_broadcast_i64x4(load(bytes));
  const __m256i zero = _mm256_setzero_si256();
  const __m512i shift_first = _mm512_inserti64x4(_mm512_set1_epi16(6), _mm256_set1_epi16(4), 1);
  const __m512i shift_second = _mm512_inserti64x4(_mm512_set1_epi16(2), zero, 1);
  const __m512i low = _mm512_set1_epi8(0x03);
  return {_mm512_and_si512(_mm512_srlv_epi16(both, shift_first), low),
          _mm512_and_si512(_mm512_srlv_epi16(both, shift_second), low)};
}

/// Upper half added to lower half.
inline __m256i halved(__m512i v) {
  return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

__m256i dot(const std::uint8_t* w, const std::int8_t* x, std::int64_t blocks) {
  __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (std::int64_t block = 0; block < blocks; ++block, w += kBlockBytes, x += kBlock) {
    prefetch(w, 2048);
    const BlockCodes codes = codes_of(w);
    sums[0] = _mm512_dpbusd_epi32(sums[0], codes.first, _mm512_loadu_si512(x));
    sums[1] = _mm512_dpbusd_epi32(sums[1], codes.second, _mm512_loadu_si512(x + 64));
  }
  return halved(_mm512_add_epi32(sums[0], sums[1]));
}

struct Product {
  static constexpr std::int64_t kWidth = 64;
  static constexpr int kTokens = 4;

  static void unpack(const std::uint8_t* bytes, std::int64_t blocks, std::int64_t row, Panel<kWidth>& panel) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      const BlockCodes codes = codes_of(bytes + b * kBlockBytes);
      _mm512_store_si512(panel.codes[2 * b][row], codes.first);
      _mm512_store_si512(panel.codes[2 * b + 1][row], codes.second);
    }
  }

  template <int kCount>
  static void multiply(const Panel<kWidth>& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                       std::int64_t stride, __m128i* sums) {
    __m512i acc[kCount][4];
    for (int t = 0; t < kCount; ++t) {
      for (int r = 0; r < 4; ++r) acc[t][r] = _mm512_setzero_si512();
    }
    for (std::int64_t s = 0; s < steps; ++s) {
      __m512i q[kCount];
      for (int t = 0; t < kCount; ++t) q[t] = _mm512_loadu_si512(x + t * stride + kWidth * s);
      for (int r = 0; r < 4; ++r) {
        const __m512i codes = _mm512_load_si512(panel.codes[s][row + r]);
        for (int t = 0; t < kCount; ++t) acc[t][r] = _mm512_dpbusd_epi32(acc[t][r], codes, q[t]);
      }
    }
    for (int t = 0; t < kCount; ++t) {
      __m256i half[4];
      for (int r = 0; r < 4; ++r) half[r] = halved(acc[t][r]);
      sums[t] = _mm_add_epi32(sums[t], sum_lanes(half));
    }
  }
};

}  // namespace

void ternary_matmul(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const QuantizedRows& x, float* y, std::int64_t y_stride) {
  if (x.rows == 1) {
    one_activation(w, row_begin, row_end, x, y, dot);
  } else {
    many_activations<Product>(w, row_begin, row_end, x, y, y_stride);
  }
}

}  // namespace bitnet::avx512vnni
