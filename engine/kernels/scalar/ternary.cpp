// Ternary weights times int8 activations (reference-semantics 2.2, 3.3, 3.4). Integer sums are exact.

#include "engine/kernels/declare.h"

namespace bitnet::scalar {
namespace {

constexpr std::int64_t kBlock = 128;      // weights per block
constexpr std::int64_t kBlockBytes = 32;  // byte p holds weights p, p + 32, p + 64, p + 96 in bits 7:6 .. 1:0

/// Sum of code * q over one row; code 3 counts as 3, as in bitnet.cpp.
std::int32_t dot(const std::uint8_t* codes, const std::int8_t* q, std::int64_t n) {
  std::int32_t sum = 0;
  for (std::int64_t block = 0; block < n / kBlock; ++block) {
    const std::uint8_t* bytes = codes + block * kBlockBytes;
    const std::int8_t* x = q + block * kBlock;
    for (int p = 0; p < kBlockBytes; ++p) {
      const int byte = bytes[p];
      // At most 4 * 3 * 128 in magnitude: 16 bits hold it, which lets compilers use 16-bit lanes.
      const auto four = static_cast<std::int16_t>((byte >> 6) * x[p] + ((byte >> 4) & 3) * x[p + 32] +
                                                  ((byte >> 2) & 3) * x[p + 64] + (byte & 3) * x[p + 96]);
      sum += four;
    }
  }
  return sum;
}

}  // namespace

void ternary_matmul(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                    const QuantizedRows& x, float* y, std::int64_t y_stride) {
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    const std::uint8_t* codes = w.codes + m * (w.cols / 4);
    for (std::int64_t t = 0; t < x.rows; ++t) {
      const std::int32_t d = dot(codes, x.codes + t * x.stride, w.cols);
      // Codes are weights plus one, so the sum of the activations is taken away again. The order of these
      // three roundings is the contract.
      const float difference = static_cast<float>(d) - static_cast<float>(x.sums[t]);
      y[t * y_stride + m] = difference / x.scales[t] * w.scale;
    }
  }
}

}  // namespace bitnet::scalar
