// Ternary weights times int8 activations by vpdpbusd on 256 bits (see avx512vnni/ternary.cpp).

#include "engine/kernels/avx2/ternary.h"

#include "engine/kernels/declare.h"

namespace bitnet::avx_vnni {
namespace {

using avx2::FourRows;
using avx2::in_place;
using avx2::kBlock;
using avx2::kBlockBytes;
using avx2::load;

/// The codes in bits 7:6 (part 0) to 1:0 (part 3) of 32 bytes. What 16-bit shifts bring in from the
/// neighbouring byte is masked away.
template <int kPart>
inline __m256i part_of(__m256i bytes) {
  return _mm256_and_si256(_mm256_srli_epi16(bytes, 6 - 2 * kPart), _mm256_set1_epi8(0x03));
}

struct Tile {
  static constexpr int kTokens = 2;

  template <int kCount>
  static void multiply(const FourRows& rows, const std::int8_t* x, std::int64_t stride,
                       __m128i (&dots)[kTokens]) {
    __m256i sums[kCount][4];
    for (auto& row : sums) {
      for (__m256i& sum : row) sum = _mm256_setzero_si256();
    }
    for (std::int64_t b = 0; b < rows.blocks; ++b) {
      rows.prefetch_behind(b);
      for (int r = 0; r < 4; ++r) {
        const __m256i bytes = load(rows.codes[r] + b * kBlockBytes);
        const __m256i codes[4] = {part_of<0>(bytes), part_of<1>(bytes), part_of<2>(bytes), part_of<3>(bytes)};
        for (int p = 0; p < 4; ++p) {
          for (int t = 0; t < kCount; ++t) {
            const __m256i q = load(x + t * stride + b * kBlock + 32 * p);
            sums[t][r] = in_place(_mm256_dpbusd_avx_epi32(sums[t][r], codes[p], q));
          }
        }
      }
    }
    for (int t = 0; t < kCount; ++t) dots[t] = avx2::sum_lanes(sums[t]);
  }
};

}  // namespace

void ternary_matmul(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const QuantizedRows& x, float* y, std::int64_t y_stride) {
  avx2::multiply<Tile>(w, row_begin, row_end, x, y, y_stride);
}

}  // namespace bitnet::avx_vnni
