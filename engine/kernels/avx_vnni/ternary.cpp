// Ternary weights times int8 activations by vpdpbusd on 256 bits.

#include "engine/kernels/avx_vnni/ternary.h"

#include "engine/kernels/declare.h"

namespace bitnet::avx_vnni {
namespace {

inline __m256i add_products(__m256i sum, __m256i codes, __m256i q) {
  return _mm256_dpbusd_avx_epi32(sum, codes, q);
}

/// The codes in bits 7:6 (part 0) to 1:0 (part 3) of 32 bytes.
template <int kPart>
inline __m256i part_of(__m256i bytes) {
  return _mm256_and_si256(_mm256_srli_epi16(bytes, 6 - 2 * kPart), _mm256_set1_epi8(0x03));
}

__m256i dot(const std::uint8_t* w, const std::int8_t* x, std::int64_t blocks) {
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                     _mm256_setzero_si256()};
  for (std::int64_t block = 0; block < blocks; ++block, w += kBlockBytes, x += kBlock) {
    prefetch(w, 2048);
    const __m256i bytes = load(w);
    sums[0] = add_products(sums[0], part_of<0>(bytes), load(x));
    sums[1] = add_products(sums[1], part_of<1>(bytes), load(x + 32));
    sums[2] = add_products(sums[2], part_of<2>(bytes), load(x + 64));
    sums[3] = add_products(sums[3], part_of<3>(bytes), load(x + 96));
  }
  return _mm256_add_epi32(_mm256_add_epi32(sums[0], sums[1]), _mm256_add_epi32(sums[2], sums[3]));
}

struct Product {
  static constexpr std::int64_t kWidth = 32;
  static constexpr int kTokens = 2;

  static void unpack(const std::uint8_t* bytes, std::int64_t blocks, std::int64_t row, Panel<kWidth>& panel) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      const __m256i v = load(bytes + b * kBlockBytes);
      const __m256i parts[4] = {part_of<0>(v), part_of<1>(v), part_of<2>(v), part_of<3>(v)};
      for (int p = 0; p < 4; ++p) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(panel.codes[4 * b + p][row]), parts[p]);
      }
    }
  }

  template <int kCount>
  static void multiply(const Panel<kWidth>& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                       std::int64_t stride, __m128i* sums) {
    __m256i acc[kCount][4];
    for (int t = 0; t < kCount; ++t) {
      for (int r = 0; r < 4; ++r) acc[t][r] = _mm256_setzero_si256();
    }
    for (std::int64_t s = 0; s < steps; ++s) {
      __m256i q[kCount];
      for (int t = 0; t < kCount; ++t) q[t] = load(x + t * stride + kWidth * s);
      for (int r = 0; r < 4; ++r) {
        const __m256i codes = _mm256_load_si256(reinterpret_cast<const __m256i*>(panel.codes[s][row + r]));
        for (int t = 0; t < kCount; ++t) acc[t][r] = add_products(acc[t][r], codes, q[t]);
      }
    }
    for (int t = 0; t < kCount; ++t) sums[t] = _mm_add_epi32(sums[t], sum_lanes(acc[t]));
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

}  // namespace bitnet::avx_vnni
