// The screen of a dense head: its rows in int8, and from them bounds of what matmul_f16 gives.

#include <bit>
#include <cmath>

#include "engine/kernels/declare.h"

namespace bitnet::scalar {
namespace {

constexpr int kNormLanes = 8;

/// Lane l holds the elements k with k mod 8 = l; 8 -> 4 -> 2 -> 1.
double fold_norm(double (&lanes)[kNormLanes]) {
  for (int width = kNormLanes / 2; width >= 1; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  }
  return lanes[0];
}

/// Ties to even, for |x| <= 2^22.
std::int32_t round_half_even(float x) {
  const float shifted = x + 0x1.8p23f;
  return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) & 0x007fffffu) - 0x00400000;
}

template <class Code>
void bounds(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end, const ScreenRows<Code>& x,
            float* lower, float* upper, std::int64_t stride) {
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    for (std::int64_t t = 0; t < x.rows; ++t) {
      std::int32_t dot = 0;
      for (std::int64_t k = 0; k < w.cols; ++k)
        dot += static_cast<std::int32_t>(w.codes[m * w.cols + k]) * x.codes[t * w.cols + k];
      const double centre = static_cast<double>(w.scales[m]) * x.scales[t] * static_cast<double>(dot);
      const double inexact =
          static_cast<double>(w.errors[m]) * x.norms[t] + static_cast<double>(w.sizes[m]) * x.slacks[t];
      const double radius = inexact * kScreenUp + std::abs(centre) * kScreenWiden + kScreenLeast;
      lower[t * stride + m] = static_cast<float>(centre - radius);
      upper[t * stride + m] = static_cast<float>(centre + radius);
    }
  }
}

}  // namespace

void screen_row(const f16* w, std::int64_t n, std::int8_t* codes, float* scale, float* error, float* size) {
  f16 greatest = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    const auto magnitude = static_cast<f16>(w[k] & 0x7fffu);
    greatest = magnitude > greatest ? magnitude : greatest;
  }
  const bool finite = greatest < 0x7c00;
  if (!finite || greatest == 0) {
    for (std::int64_t k = 0; k < n; ++k) codes[k] = 0;
    *scale = 0;
    *error = finite ? 0.0f : INFINITY;
    *size = 0;
    return;
  }
  const float top = f16_to_f32(greatest);
  const float s = top / 127.0f;
  const float inverse = 127.0f / top;
  double errors[kNormLanes] = {};
  double squares[kNormLanes] = {};
  for (std::int64_t k = 0; k < n; ++k) {
    const float x = f16_to_f32(w[k]);
    const std::int32_t c = round_half_even(x * inverse);
    codes[k] = static_cast<std::int8_t>(c);
    const double wide = static_cast<double>(x);
    const double e = wide - static_cast<double>(s) * static_cast<double>(c);
    errors[k % kNormLanes] += e * e;
    squares[k % kNormLanes] += wide * wide;
  }
  const double e = std::sqrt(fold_norm(errors));
  *scale = s;
  *error = static_cast<float>(e * kScreenUp);
  *size = static_cast<float>((std::sqrt(fold_norm(squares)) + e) * kScreenUp);
}

void screen_bounds(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                   const ScreenRows<std::int16_t>& x, float* lower, float* upper, std::int64_t stride) {
  bounds(w, row_begin, row_end, x, lower, upper, stride);
}

void screen_bounds_int8(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                        const ScreenRows<std::int8_t>& x, float* lower, float* upper, std::int64_t stride) {
  bounds(w, row_begin, row_end, x, lower, upper, stride);
}

}  // namespace bitnet::scalar
