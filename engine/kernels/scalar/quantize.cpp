// Activations to int8 (reference-semantics 3.2) and conversions between binary16 and binary32.

#include <cmath>

#include "engine/formats/round.h"
#include "engine/kernels/declare.h"

namespace bitnet::scalar {
void quantize_row(const float* x, std::int64_t n, std::int8_t* codes, float* scale, std::int32_t* sum) {
  float greatest = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    const float magnitude = std::abs(x[k]);
    greatest = magnitude > greatest ? magnitude : greatest;
  }
  const double floored = static_cast<double>(greatest) > 0.00001 ? static_cast<double>(greatest) : 0.00001;
  const float s = static_cast<float>(127.0 / floored);
  std::int32_t total = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    std::int32_t q = round_half_even(x[k] * s);
    q = q < -128 ? -128 : q;
    q = q > 127 ? 127 : q;
    codes[k] = static_cast<std::int8_t>(q);
    total += q;
  }
  *scale = s;
  *sum = total;
}

void to_f16(const float* x, std::int64_t n, f16* y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] = f32_to_f16(x[k]);
}

void to_f32(const f16* x, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] = f16_to_f32(x[k]);
}

}  // namespace bitnet::scalar
