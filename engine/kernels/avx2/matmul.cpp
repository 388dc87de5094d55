// Dense products: binary16 rows and binary32 rows.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

/// How eight numbers are read, and how what follows the last step is added (reference-semantics 6.3 and 6.5).
struct Half {
  using Number = f16;
  static __m256 load(const f16* p) { return load_f16(p); }
  static float finish(float stepped, const f16* w, const f16* x, std::int64_t n) {
    double sum = static_cast<double>(stepped);
    for (std::int64_t k = 0; k < n; ++k) sum += static_cast<double>(to_f32_one(w[k]) * to_f32_one(x[k]));
    return static_cast<float>(sum);
  }
};

struct Single {
  using Number = float;
  static __m256 load(const float* p) { return _mm256_loadu_ps(p); }
  static float finish(float stepped, const float* w, const float* x, std::int64_t n) {
    float sum = stepped;
    for (std::int64_t k = 0; k < n; ++k) sum = fma_one(w[k], x[k], sum);
    return sum;
  }
};

/// One row of weights and one of activations: all eight vectors of accumulators in registers, memory read
/// once in order. `Wide` is Single when the activations were widened beforehand.
template <class Type, class Wide>
inline __m256 row_dot(const typename Type::Number* w, const typename Wide::Number* x, std::int64_t steps) {
  __m256 acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = _mm256_setzero_ps();
  for (std::int64_t s = 0; s < steps; ++s, w += kStep, x += kStep) {
    for (int i = 0; i < 8; ++i)
      acc[i] = _mm256_fmadd_ps(Type::load(w + 8 * i), Wide::load(x + 8 * i), acc[i]);
  }
  return add_accumulators(acc);
}

template <class Type, class Wide>
void one_activation(const typename Type::Number* w, std::int64_t n, std::int64_t row_begin,
                    std::int64_t row_end, const typename Type::Number* x, const typename Wide::Number* wide,
                    float* y) {
  const std::int64_t steps = n / kStep;
  const std::int64_t stepped = steps * kStep;
  for (std::int64_t m = row_begin; m < row_end; ++m) {
    const float sum = fold(row_dot<Type, Wide>(w + m * n, wide, steps));
    y[m] = stepped == n ? sum : Type::finish(sum, w + m * n + stepped, x + stepped, n - stepped);
  }
}

/// kRows rows of weights by kTokens of activations. The accumulators of so many sums do not fit into
/// registers, so one vector of eight lanes of each sum is taken through all steps, then the next. Where these
/// weights are new, each of the eight passes asks for an eighth of the rows that follow.
template <class Type, int kRows, int kTokens>
void tile(const typename Type::Number* w, std::int64_t n, const typename Type::Number* x,
          std::int64_t x_stride, float* y, std::int64_t y_stride, bool prefetch_next) {
  const std::int64_t steps = n / kStep;
  const std::int64_t stepped = steps * kStep;
  __m256 sums[kTokens][kRows][8];
  for (int lanes = 0; lanes < 8; ++lanes) {
    __m256 acc[kTokens][kRows];
    for (int t = 0; t < kTokens; ++t) {
      for (int r = 0; r < kRows; ++r) acc[t][r] = _mm256_setzero_ps();
    }
    for (std::int64_t k = 8 * lanes; k < stepped; k += kStep) {
      if (prefetch_next)
        prefetch(w + lanes / 2 * n + k + lanes % 2 * 32, kRows * n * static_cast<std::int64_t>(sizeof(*w)));
      __m256 activations[kTokens];
      for (int t = 0; t < kTokens; ++t) activations[t] = Type::load(x + t * x_stride + k);
      for (int r = 0; r < kRows; ++r) {
        const __m256 weights = Type::load(w + r * n + k);
        for (int t = 0; t < kTokens; ++t) acc[t][r] = _mm256_fmadd_ps(weights, activations[t], acc[t][r]);
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      for (int r = 0; r < kRows; ++r) sums[t][r][lanes] = acc[t][r];
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) {
      const float sum = fold(add_accumulators(sums[t][r]));
      y[t * y_stride + r] =
          stepped == n ? sum
                       : Type::finish(sum, w + r * n + stepped, x + t * x_stride + stepped, n - stepped);
    }
  }
}

template <class Type, int kRows>
void rows_by_all(const typename Type::Number* w, std::int64_t n, const typename Type::Number* x,
                 std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  std::int64_t t = 0;
  for (; t + 3 <= rows; t += 3)
    tile<Type, kRows, 3>(w, n, x + t * x_stride, x_stride, y + t * y_stride, y_stride, t == 0);
  if (rows - t == 2)
    tile<Type, kRows, 2>(w, n, x + t * x_stride, x_stride, y + t * y_stride, y_stride, t == 0);
  if (rows - t == 1)
    tile<Type, kRows, 1>(w, n, x + t * x_stride, x_stride, y + t * y_stride, y_stride, t == 0);
}

template <class Type>
void many_activations(const typename Type::Number* w, std::int64_t n, std::int64_t row_begin,
                      std::int64_t row_end, const typename Type::Number* x, std::int64_t rows,
                      std::int64_t x_stride, float* y, std::int64_t y_stride) {
  std::int64_t m = row_begin;
  for (; m + 4 <= row_end; m += 4) rows_by_all<Type, 4>(w + m * n, n, x, rows, x_stride, y + m, y_stride);
  for (; m < row_end; ++m) rows_by_all<Type, 1>(w + m * n, n, x, rows, x_stride, y + m, y_stride);
}

constexpr std::int64_t kWidened = 4096;  // longest row of activations that is widened once for all weights

}  // namespace

void matmul_f16(const f16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const f16* x,
                std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  if (rows > 1) {
    many_activations<Half>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  } else if (rows == 1 && n <= kWidened && row_end - row_begin > 1) {
    float wide[kWidened];
    to_f32(x, n, wide);
    one_activation<Half, Single>(w, n, row_begin, row_end, x, wide, y);
  } else if (rows == 1) {
    one_activation<Half, Half>(w, n, row_begin, row_end, x, x, y);
  }
}

void matmul_f32(const float* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const float* x,
                std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride) {
  if (rows > 1) {
    many_activations<Single>(w, n, row_begin, row_end, x, rows, x_stride, y, y_stride);
  } else if (rows == 1) {
    one_activation<Single, Single>(w, n, row_begin, row_end, x, x, y);
  }
}

}  // namespace bitnet::avx2
