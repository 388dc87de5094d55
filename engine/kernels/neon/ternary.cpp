// Ternary weights times int8 activations, by 8-bit products added up in 16-bit lanes.
//
// A code is at most 3 and an activation at least -128, so a product is at most 384 in magnitude. A lane may
// take 85 of them before it is widened.

#include "engine/kernels/neon/ternary.h"

#include "engine/kernels/declare.h"

namespace bitnet::neon {
namespace {

/// Adds sixteen products to eight lanes, two to each.
inline int16x8_t add_products(int16x8_t sum, int8x16_t codes, int8x16_t q) {
  return vmlal_high_s8(vmlal_s8(sum, vget_low_s8(codes), vget_low_s8(q)), codes, q);
}

int32x4_t dot(const std::uint8_t* w, const std::int8_t* x, std::int64_t blocks) {
  int32x4_t sum = vdupq_n_s32(0);
  for (std::int64_t block = 0; block < blocks; ++block, w += kBlockBytes, x += kBlock) {
    const BlockCodes codes = codes_of(w);
    int16x8_t narrow[2] = {vdupq_n_s16(0), vdupq_n_s16(0)};
    for (int s = 0; s < 8; ++s)
      narrow[s % 2] = add_products(narrow[s % 2], codes.step[s], vld1q_s8(x + 16 * s));
    sum = vpadalq_s16(sum, vaddq_s16(narrow[0], narrow[1]));  // 16 products a lane
  }
  return sum;
}

struct Product {
  static constexpr std::int64_t kTokens = 2;
  static_assert(2 * kPanelSteps <= 85, "16-bit lanes hold a row of the panel");

  static void unpack(const std::uint8_t* bytes, std::int64_t blocks, std::int64_t row, Panel& panel) {
    unpack_rows(bytes, blocks, row, panel);
  }

  template <int kCount>
  static void multiply_some(const Panel& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                            std::int64_t stride, int32x4_t* sums) {
    int16x8_t acc[kCount][4];
    for (int t = 0; t < kCount; ++t) {
      for (int r = 0; r < 4; ++r) acc[t][r] = vdupq_n_s16(0);
    }
    for (std::int64_t s = 0; s < steps; ++s) {
      int8x16_t q[kCount];
      for (int t = 0; t < kCount; ++t) q[t] = vld1q_s8(x + t * stride + 16 * s);
      for (int r = 0; r < 4; ++r) {
        const int8x16_t codes = vld1q_s8(panel.codes[s][row + r]);
        for (int t = 0; t < kCount; ++t) acc[t][r] = add_products(acc[t][r], codes, q[t]);
      }
    }
    for (int t = 0; t < kCount; ++t) {
      int32x4_t wide[4];
      for (int r = 0; r < 4; ++r) wide[r] = vpaddlq_s16(acc[t][r]);
      sums[t] = vaddq_s32(sums[t], sum_lanes(wide));
    }
  }

  static void multiply(const Panel& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                       std::int64_t stride, std::int64_t tokens, int32x4_t* sums) {
    if (tokens == 2) {
      multiply_some<2>(panel, row, steps, x, stride, sums);
    } else {
      multiply_some<1>(panel, row, steps, x, stride, sums);
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

}  // namespace bitnet::neon
