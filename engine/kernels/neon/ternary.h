#pragma once
// What the ternary products of all NEON instruction sets share: how weights are unpacked and how sums end.
// Sums are exact, so each takes them in whatever order it likes. Internal linkage, as in simd.h.

#include "engine/kernels/kernels.h"
#include "engine/kernels/neon/simd.h"

namespace bitnet::neon {
namespace {

constexpr std::int64_t kBlock = 128;      // weights per block
constexpr std::int64_t kBlockBytes = 32;  // byte p holds weights p, p + 32, p + 64, p + 96 in bits 7:6 .. 1:0

constexpr std::int64_t kPanelRows = 8;                            // rows of weights unpacked together
constexpr std::int64_t kPanelBlocks = 5;                          // blocks of them at a time
constexpr std::int64_t kPanelSteps = kPanelBlocks * kBlock / 16;  // vectors of 16 codes in a row of the panel
constexpr std::int64_t kTokenBlock = 64;  // rows of activations the sums of which wait

/// Codes of up to kPanelBlocks blocks of kPanelRows rows: [step][row][16], one a byte.
struct Panel {
  alignas(16) std::int8_t codes[kPanelSteps][kPanelRows][16];
};

/// The codes in bits 7:6 (part 0) to 1:0 (part 3) of sixteen bytes.
template <int kPart>
inline int8x16_t part_of(uint8x16_t bytes) {
  const uint8x16_t low = vdupq_n_u8(3);
  if constexpr (kPart == 0) return vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
  if constexpr (kPart == 1) return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 4), low));
  if constexpr (kPart == 2) return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 2), low));
  return vreinterpretq_s8_u8(vandq_u8(bytes, low));
}

/// The codes of one block in order, sixteen at a time.
struct BlockCodes {
  int8x16_t step[8];
};

inline BlockCodes codes_of(const std::uint8_t* bytes) {
  const uint8x16_t a = vld1q_u8(bytes);
  const uint8x16_t b = vld1q_u8(bytes + 16);
  return {{part_of<0>(a), part_of<0>(b), part_of<1>(a), part_of<1>(b), part_of<2>(a), part_of<2>(b),
           part_of<3>(a), part_of<3>(b)}};
}

/// The epilogue of four sums with one row of activations; three roundings in the order of the contract.
inline float32x4_t finish(int32x4_t sums, std::int32_t activation_sum, float activation_scale,
                          float weight_scale) {
  const float32x4_t difference =
      vsubq_f32(vcvtq_f32_s32(sums), vdupq_n_f32(static_cast<float>(activation_sum)));
  return vmulq_f32(vdivq_f32(difference, vdupq_n_f32(activation_scale)), vdupq_n_f32(weight_scale));
}

/// The first `count` of four.
inline void store_four(float* y, float32x4_t v, std::int64_t count) {
  if (count >= 4) {
    vst1q_f32(y, v);
    return;
  }
  float some[4];
  vst1q_f32(some, v);
  for (std::int64_t i = 0; i < count; ++i) y[i] = some[i];
}

/// Lane i is the sum of the lanes of v[i].
inline int32x4_t sum_lanes(const int32x4_t (&v)[4]) {
  return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
}

/// One row of activations. Dot: (codes of a row, activations, blocks) -> int32x4_t whose lanes add up to the
/// dot product.
template <class Dot>
inline void one_activation(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                           const QuantizedRows& x, float* y, Dot dot) {
  for (std::int64_t m = row_begin; m < row_end; m += 4) {
    const std::int64_t count = smaller(4, row_end - m);
    int32x4_t sums[4];
    for (std::int64_t r = 0; r < 4; ++r) {
      sums[r] = r < count ? dot(w.codes + (m + r) * (w.cols / 4), x.codes, w.cols / kBlock) : vdupq_n_s32(0);
    }
    store_four(y + m, finish(sum_lanes(sums), x.sums[0], x.scales[0], w.scale), count);
  }
}

/// Many rows of activations: weights are unpacked once for a block of them. Product has
///   kTokens: rows of activations that it takes at a time;
///   unpack(bytes, blocks, row, panel);
///   multiply(panel, row, steps, x, stride, tokens, sums): adds the products of four rows from `row` with
///     `tokens` <= kTokens rows of activations to sums[token], a lane for each row.
template <class Product>
void panel_product(const TernaryMatrix& w, std::int64_t m, std::int64_t rows, const QuantizedRows& x,
                   std::int64_t first, std::int64_t tokens, float* y, std::int64_t y_stride) {
  const std::int64_t blocks = w.cols / kBlock;
  const std::int64_t quads = (rows + 3) / 4;
  Panel panel;
  int32x4_t sums[kPanelRows / 4][kTokenBlock];
  for (std::int64_t quad = 0; quad < quads; ++quad) {
    for (std::int64_t t = 0; t < tokens; ++t) sums[quad][t] = vdupq_n_s32(0);
  }
  for (std::int64_t block = 0; block < blocks; block += kPanelBlocks) {
    const std::int64_t count = smaller(kPanelBlocks, blocks - block);
    for (std::int64_t r = 0; r < quads * 4; ++r) {
      // Rows that fill up the last four repeat the last one; their sums are not stored.
      const std::int64_t row = m + (r < rows ? r : rows - 1);
      Product::unpack(w.codes + row * (w.cols / 4) + block * kBlockBytes, count, r, panel);
    }
    for (std::int64_t t = 0; t < tokens; t += Product::kTokens) {
      const std::int8_t* q = x.codes + (first + t) * x.stride + block * kBlock;
      for (std::int64_t quad = 0; quad < quads; ++quad) {
        Product::multiply(panel, 4 * quad, 8 * count, q, x.stride, smaller(Product::kTokens, tokens - t),
                          &sums[quad][t]);
      }
    }
  }
  for (std::int64_t quad = 0; quad < quads; ++quad) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const float32x4_t result = finish(sums[quad][t], x.sums[first + t], x.scales[first + t], w.scale);
      store_four(y + (first + t) * y_stride + m + 4 * quad, result, rows - 4 * quad);
    }
  }
}

template <class Product>
void many_activations(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                      const QuantizedRows& x, float* y, std::int64_t y_stride) {
  for (std::int64_t first = 0; first < x.rows; first += kTokenBlock) {
    const std::int64_t tokens = smaller(kTokenBlock, x.rows - first);
    for (std::int64_t m = row_begin; m < row_end; m += kPanelRows) {
      panel_product<Product>(w, m, smaller(kPanelRows, row_end - m), x, first, tokens, y, y_stride);
    }
  }
}

/// Rows one below the other, as the panel is declared.
inline void unpack_rows(const std::uint8_t* bytes, std::int64_t blocks, std::int64_t row, Panel& panel) {
  for (std::int64_t b = 0; b < blocks; ++b) {
    const BlockCodes codes = codes_of(bytes + b * kBlockBytes);
    for (int s = 0; s < 8; ++s) vst1q_s8(panel.codes[8 * b + s][row], codes.step[s]);
  }
}

}  // namespace
}  // namespace bitnet::neon
