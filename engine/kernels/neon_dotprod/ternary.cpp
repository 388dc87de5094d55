// Ternary weights times int8 activations by sdot, which adds four products to each 32-bit lane: 65536 columns
// (the longest row admitted) add up to at most 384 * 65536, far below 2^31.

#include "engine/kernels/neon/ternary.h"
#include "engine/kernels/declare.h"

namespace bitnet::neon_dotprod {
namespace {

using namespace neon;

int32x4_t dot(const std::uint8_t* w, const std::int8_t* x, std::int64_t blocks) {
  int32x4_t sums[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  for (std::int64_t block = 0; block < blocks; ++block, w += kBlockBytes, x += kBlock) {
    const BlockCodes codes = codes_of(w);
    for (int s = 0; s < 8; ++s) sums[s % 4] = vdotq_s32(sums[s % 4], codes.step[s], vld1q_s8(x + 16 * s));
  }
  return vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3]));
}

struct Product {
  static constexpr std::int64_t kTokens = 4;

  static void unpack(const std::uint8_t* bytes, std::int64_t blocks, std::int64_t row, Panel& panel) {
    unpack_rows(bytes, blocks, row, panel);
  }

  template <int kCount>
  static void multiply_some(const Panel& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                            std::int64_t stride, int32x4_t* sums) {
    int32x4_t acc[kCount][4];
    for (int t = 0; t < kCount; ++t) {
      for (int r = 0; r < 4; ++r) acc[t][r] = vdupq_n_s32(0);
    }
    for (std::int64_t s = 0; s < steps; ++s) {
      int8x16_t q[kCount];
      for (int t = 0; t < kCount; ++t) q[t] = vld1q_s8(x + t * stride + 16 * s);
      for (int r = 0; r < 4; ++r) {
        const int8x16_t codes = vld1q_s8(panel.codes[s][row + r]);
        for (int t = 0; t < kCount; ++t) acc[t][r] = vdotq_s32(acc[t][r], codes, q[t]);
      }
    }
    for (int t = 0; t < kCount; ++t) sums[t] = vaddq_s32(sums[t], sum_lanes(acc[t]));
  }

  static void multiply(const Panel& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                       std::int64_t stride, std::int64_t tokens, int32x4_t* sums) {
    if (tokens == 4) {
      multiply_some<4>(panel, row, steps, x, stride, sums);
      return;
    }
    for (std::int64_t t = 0; t < tokens; ++t) {
      multiply_some<1>(panel, row, steps, x + t * stride, stride, sums + t);
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

}  // namespace bitnet::neon_dotprod
