// Ternary weights times int8 activations by smmla, which multiplies two rows of eight activations with two
// rows of eight codes into 2x2 sums of 32 bits. A single row of activations would waste half of that: sdot
// has it.

#include "engine/kernels/neon/ternary.h"
#include "engine/kernels/declare.h"

namespace bitnet::neon_i8mm {
namespace {

using namespace neon;

inline int8x16_t halves(int8x8_t first, int8x8_t second) {
  return vcombine_s8(first, second);
}

struct Product {
  static constexpr std::int64_t kTokens = 8;

  /// Rows 2 r and 2 r + 1 share two vectors: [8 of 2 r, 8 of 2 r + 1], then the next eight of each.
  static void unpack(const std::uint8_t* bytes, std::int64_t blocks, std::int64_t row, Panel& panel) {
    const std::int64_t even = row / 2 * 2;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const BlockCodes codes = codes_of(bytes + b * kBlockBytes);
      for (int s = 0; s < 8; ++s) {
        std::int8_t(*const pair)[16] = &panel.codes[8 * b + s][even];
        vst1_s8(pair[0] + row % 2 * 8, vget_low_s8(codes.step[s]));
        vst1_s8(pair[1] + row % 2 * 8, vget_high_s8(codes.step[s]));
      }
    }
  }

  /// kPairs pairs of rows of activations; the second of the last pair is at `last`, which may be the first of
  /// it once more: then its sums are not used.
  template <int kPairs>
  static void multiply_pairs(const Panel& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                             std::int64_t stride, const std::int8_t* last, std::int64_t tokens,
                             int32x4_t* sums) {
    int32x4_t acc[kPairs][2];
    for (int p = 0; p < kPairs; ++p) acc[p][0] = acc[p][1] = vdupq_n_s32(0);
    for (std::int64_t s = 0; s < steps; ++s) {
      int8x16_t codes[4];
      for (int i = 0; i < 4; ++i) codes[i] = vld1q_s8(panel.codes[s][row + i]);
      for (int p = 0; p < kPairs; ++p) {
        const std::int8_t* const second = p + 1 < kPairs ? x + (2 * p + 1) * stride : last;
        const int8x16_t a = vld1q_s8(x + 2 * p * stride + 16 * s);
        const int8x16_t b = vld1q_s8(second + 16 * s);
        const int8x16_t low = halves(vget_low_s8(a), vget_low_s8(b));
        const int8x16_t high = halves(vget_high_s8(a), vget_high_s8(b));
        for (int r = 0; r < 2; ++r) {
          acc[p][r] = vmmlaq_s32(vmmlaq_s32(acc[p][r], low, codes[2 * r]), high, codes[2 * r + 1]);
        }
      }
    }
    for (int p = 0; p < kPairs; ++p) {
      const int32x4_t first = vcombine_s32(vget_low_s32(acc[p][0]), vget_low_s32(acc[p][1]));
      const int32x4_t second = vcombine_s32(vget_high_s32(acc[p][0]), vget_high_s32(acc[p][1]));
      sums[2 * p] = vaddq_s32(sums[2 * p], first);
      if (2 * p + 1 < tokens) sums[2 * p + 1] = vaddq_s32(sums[2 * p + 1], second);
    }
  }

  static void multiply(const Panel& panel, std::int64_t row, std::int64_t steps, const std::int8_t* x,
                       std::int64_t stride, std::int64_t tokens, int32x4_t* sums) {
    if (tokens == 8) {
      multiply_pairs<4>(panel, row, steps, x, stride, x + 7 * stride, 8, sums);
      return;
    }
    for (std::int64_t t = 0; t < tokens; t += 2) {
      const std::int8_t* const first = x + t * stride;
      const std::int64_t count = smaller(2, tokens - t);
      multiply_pairs<1>(panel, row, steps, first, stride, first + (count - 1) * stride, count, sums + t);
    }
  }
};

}  // namespace

void ternary_matmul(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const QuantizedRows& x, float* y, std::int64_t y_stride) {
  if (x.rows == 1) {
    neon_dotprod::ternary_matmul(w, row_begin, row_end, x, y, y_stride);
  } else {
    many_activations<Product>(w, row_begin, row_end, x, y, y_stride);
  }
}

}  // namespace bitnet::neon_i8mm
