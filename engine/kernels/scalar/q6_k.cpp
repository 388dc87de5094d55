// Q6_K rows times activations quantized in blocks (reference-semantics 6.11).

#include <cmath>
#include <limits>

#include "engine/formats/round.h"
#include "engine/kernels/declare.h"

namespace bitnet::scalar {
namespace {

constexpr std::int64_t kBlock = q6_k::Block::kElements;
constexpr int kSums = 8;  // lanes of a product: element l of 32 is added in lane l / 4

}  // namespace

void quantize_blocks(const float* x, std::int64_t n, ActivationBlock* blocks) {
  for (ActivationBlock* block = blocks; block < blocks + n / kBlock; ++block, x += kBlock) {
    float greatest = 0;  // with its sign; the first of equals
    for (int k = 0; k < kBlock; ++k) greatest = std::abs(x[k]) > std::abs(greatest) ? x[k] : greatest;
    const float inverse = -127.0f / greatest;
    // So small that its inverse overflows, it is taken for zero.
    const bool zero = greatest == 0 || std::abs(inverse) > std::numeric_limits<float>::max();
    for (int k = 0; k < kBlock; ++k) {
      const std::int32_t q = zero ? 0 : round_half_even(inverse * x[k]);
      block->codes[k] = static_cast<std::int8_t>(q < -127 ? -127 : q > 127 ? 127 : q);
    }
    for (int k = 0; k < kBlock; k += 4) {
      const std::int8_t* q = block->codes + k;
      block->offsets[k / 2] = static_cast<std::int16_t>(-32 * (q[0] + q[1] + q[2] + q[3]));
      block->offsets[k / 2 + 1] = 0;
    }
    block->scale = zero ? 0.0f : 1.0f / inverse;
  }
}

void matmul_q6_k(const q6_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                 const ActivationBlock* x, std::int64_t rows, float* y, std::int64_t y_stride) {
  const std::int64_t blocks = n / kBlock;
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    for (std::int64_t t = 0; t < rows; ++t) {
      float lanes[kSums] = {};
      for (std::int64_t b = 0; b < blocks; ++b) {
        const q6_k::Block& weights = w[m * blocks + b];
        const ActivationBlock& activations = x[t * blocks + b];
        std::int32_t sums[kSums] = {};
        for (int e = 0; e < kBlock; ++e)
          sums[e % 32 / 4] += q6_k::value_at(weights, e) * weights.scales[e / 16] * activations.codes[e];
        const float d = activations.scale * f16_to_f32(weights.d);
        for (int l = 0; l < kSums; ++l) lanes[l] = std::fma(d, static_cast<float>(sums[l]), lanes[l]);
      }
      const float four[4] = {lanes[4] + lanes[0], lanes[5] + lanes[1], lanes[6] + lanes[2],
                             lanes[7] + lanes[3]};
      y[t * y_stride + m] = (four[0] + four[2]) + (four[1] + four[3]);
    }
  }
}

void decode_q6_k(const q6_k::Block* row, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; ++k) {
    const q6_k::Block& block = row[k / kBlock];
    const auto e = static_cast<int>(k % kBlock);
    y[k] = f16_to_f32(block.d) * static_cast<float>(block.scales[e / 16]) *
           static_cast<float>(q6_k::value_at(block, e));
  }
}

}  // namespace bitnet::scalar
