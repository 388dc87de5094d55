#pragma once
// Products of rows whose weights are decoded to binary32 first, for the instruction sets that have kernels
// for them. Internal linkage, as in avx2/simd.h.

#include "engine/kernels/kernels.h"

namespace bitnet {
namespace {

constexpr std::int64_t kDecodedRows = 4;        // decoded together
constexpr std::int64_t kLongestDecoded = 4096;  // row for which there is room

/// Whether decoding rows for all activations pays, and there is room.
inline bool pays_to_decode(std::int64_t n, std::int64_t rows) {
  return rows > 1 && n <= kLongestDecoded;
}

/// Each row decoded once; decode(row, n, y) and multiply, a matmul_f32, are kernels of the set. The other
/// arguments are those of Kernels::matmul_q8_0, n <= kLongestDecoded.
template <auto decode, auto multiply, class Number>
inline void multiply_decoded(const Number* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                             const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                             std::int64_t y_stride) {
  float panel[kDecodedRows * kLongestDecoded];
  for (std::int64_t m = row_begin; m < row_end; m += kDecodedRows) {
    const std::int64_t here = row_end - m < kDecodedRows ? row_end - m : kDecodedRows;
    for (std::int64_t r = 0; r < here; ++r) decode(w + (m + r) * (n / elements_in<Number>), n, panel + r * n);
    multiply(panel, n, 0, here, x, rows, x_stride, y + m, y_stride);
  }
}

/// Row by row, dot(row, x, n).
template <auto dot, class Number>
inline void multiply_rows(const Number* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                          const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                          std::int64_t y_stride) {
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    for (std::int64_t t = 0; t < rows; ++t)
      y[t * y_stride + m] = dot(w + m * (n / elements_in<Number>), x + t * x_stride, n);
  }
}

}  // namespace
}  // namespace bitnet
