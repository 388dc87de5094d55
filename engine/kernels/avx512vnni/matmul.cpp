// Dense products of binary32 rows with several rows of activations. With one row they are as fast as memory
// gives the weights, and the AVX2 kernel's; binary16 rows are held up by their widening on 512 bits as on
// 256.

#include "engine/kernels/avx512vnni/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {
namespace {

constexpr int kRows = 4;               // of weights in a tile
constexpr std::int64_t kBlock = 1280;  // columns of a tile that are taken at a time, so that they stay near

/// What a product is made of; rows of activations and of results are strides apart.
struct Operands {
  const float* w;
  std::int64_t n;
  const float* x;
  std::int64_t x_stride;
  float* y;
  std::int64_t y_stride;
};

/// Four rows of weights, of which the last repeat where `count` is less, by kTokens of activations from t.
/// Each of the four accumulators of all sums is taken through a block of columns, then the next: so many sums
/// do not fit into registers. The first activations ask for the rows that follow, each accumulator for one.
template <int kTokens>
void tile(const Operands& o, std::int64_t m, std::int64_t count, std::int64_t t) {
  const std::int64_t stepped = o.n / kStep * kStep;
  const float* const x = o.x + t * o.x_stride;
  const float* w[kRows];
  for (std::int64_t r = 0; r < kRows; ++r) w[r] = o.w + (m + smaller(r, count - 1)) * o.n;
  __m512 sums[16][kAccumulators];
  for (auto& sum : sums) {
    for (__m512& acc : sum) acc = _mm512_setzero_ps();
  }
  for (std::int64_t begin = 0; begin < stepped; begin += kBlock) {
    const std::int64_t end = smaller(begin + kBlock, stepped);
    for (int j = 0; j < kAccumulators; ++j) {
      __m512 acc[kTokens][kRows];
      for (int i = 0; i < kTokens; ++i) {
        for (int r = 0; r < kRows; ++r) acc[i][r] = sums[kRows * i + r][j];
      }
      for (std::int64_t k = begin; k < end; k += kStep) {
        if (t == 0) {
          for (std::int64_t line = 0; line < kStep; line += kLanes)
            prefetch(w[j] + k + line, kRows * o.n * static_cast<std::int64_t>(sizeof(float)));
        }
        const std::int64_t at = k + kLanes * j;
        __m512 weights[kRows];
        for (int r = 0; r < kRows; ++r) weights[r] = _mm512_loadu_ps(w[r] + at);
        for (int i = 0; i < kTokens; ++i) {
          const __m512 activations = in_place(_mm512_loadu_ps(x + i * o.x_stride + at));
          for (int r = 0; r < kRows; ++r)
            acc[i][r] = in_place(_mm512_fmadd_ps(weights[r], activations, acc[i][r]));
        }
      }
      for (int i = 0; i < kTokens; ++i) {
        for (int r = 0; r < kRows; ++r) sums[kRows * i + r][j] = acc[i][r];
      }
    }
  }
  __m512 lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = add_accumulators(sums[i]);
  alignas(64) float results[16];
  _mm512_store_ps(results, fold_sixteen(lanes));
  for (int i = 0; i < kTokens; ++i) {
    for (std::int64_t r = 0; r < count; ++r) {
      float sum = results[kRows * i + r];
      for (std::int64_t k = stepped; k < o.n; ++k) sum = fma_one(w[r][k], x[i * o.x_stride + k], sum);
      o.y[(t + i) * o.y_stride + m + r] = sum;
    }
  }
}

}  // namespace

void matmul_f32(const float* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  if (rows == 1) {
    avx2::matmul_f32(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
    return;
  }
  const Operands o = {w, n, x, x_stride, y, y_stride};
  for (std::int64_t m = row_begin; m < row_end; m += kRows) {
    const std::int64_t count = smaller(kRows, row_end - m);
    std::int64_t t = 0;
    for (; t + 4 <= rows; t += 4) tile<4>(o, m, count, t);
    for (; t + 2 <= rows; t += 2) tile<2>(o, m, count, t);
    if (t < rows) tile<1>(o, m, count, t);
  }
}

}  // namespace bitnet::avx512vnni
