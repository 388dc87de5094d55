// The screen of a dense head: its rows in int8, and from them bounds of what matmul_f16 gives.

#include "engine/kernels/avx2/bounds.h"
#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

/// Sums of squares in double: lane l holds the elements k with k mod 8 = l.
struct Squares {
  __m256d low = _mm256_setzero_pd();
  __m256d high = _mm256_setzero_pd();

  void add(__m256d a, __m256d b) {
    low = _mm256_add_pd(low, _mm256_mul_pd(a, a));
    high = _mm256_add_pd(high, _mm256_mul_pd(b, b));
  }
  /// Of binary16 numbers, whose squares are exact, so that one rounding does.
  void add_exact(__m256d a, __m256d b) {
    low = _mm256_fmadd_pd(a, a, low);
    high = _mm256_fmadd_pd(b, b, high);
  }
  /// 8 -> 4 -> 2 -> 1, and the root.
  double norm() const {
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    const __m128d one = _mm_add_sd(two, _mm_unpackhi_pd(two, two));
    return _mm_cvtsd_f64(_mm_sqrt_sd(one, one));
  }
};

f16 greatest_magnitude(const f16* w, std::int64_t n) {
  const __m256i magnitude = _mm256_set1_epi16(0x7fff);
  __m256i m = _mm256_setzero_si256();
  std::int64_t k = 0;
  for (; k + 16 <= n; k += 16) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + k));
    m = _mm256_max_epu16(m, _mm256_and_si256(x, magnitude));
  }
  // The least of eight unsigned numbers is one instruction; the greatest is what the complement's least is.
  const __m128i eight = _mm_max_epu16(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi32(-1)));
  auto greatest = static_cast<f16>(~_mm_extract_epi16(least, 0));
  for (; k < n; ++k) {
    const auto one = static_cast<f16>(w[k] & 0x7fffu);
    greatest = one > greatest ? one : greatest;
  }
  return greatest;
}

/// Eight numbers to codes; lanes beyond the row hold zero and add nothing.
inline __m256i quantize_eight(__m256 x, __m256 inverse, __m256d scale, Squares& errors, Squares& squares) {
  const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse));
  const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
  const __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
  // A scale of 24 bits times a code is exact.
  errors.add(_mm256_fnmadd_pd(scale, _mm256_cvtepi32_pd(_mm256_castsi256_si128(c)), a),
             _mm256_fnmadd_pd(scale, _mm256_cvtepi32_pd(_mm256_extracti128_si256(c, 1)), b));
  squares.add_exact(a, b);
  return c;
}

/// Eight codes, one a byte in the lower half.
inline __m128i narrow(__m256i c) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(c), _mm256_extracti128_si256(c, 1));
  return _mm_packs_epi16(words, words);
}

inline __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

/// Sums of products of 32 codes with 32 activations, which are added to accumulators.
struct Wide {
  using Code = std::int16_t;
  static constexpr int kAccumulators = 2;
  struct Weights {
    __m256i words[2];
  };
  static Weights weights(const std::int8_t* w) {
    const __m256i codes = load(w);
    return {{_mm256_cvtepi8_epi16(_mm256_castsi256_si128(codes)),
             _mm256_cvtepi8_epi16(_mm256_extracti128_si256(codes, 1))}};
  }
  static void add(__m256i (&acc)[2], const Weights& w, const std::int16_t* x) {
    for (int half = 0; half < 2; ++half)
      acc[half] = _mm256_add_epi32(acc[half], _mm256_madd_epi16(w.words[half], load(x + 16 * half)));
  }
  static __m256i sum(const __m256i (&acc)[2]) { return _mm256_add_epi32(acc[0], acc[1]); }
};

/// Unsigned codes by activations that have taken over their signs: two products, |.| <= 127 * 127 each, fit
/// 16 bits.
struct Narrow {
  using Code = std::int8_t;
  static constexpr int kAccumulators = 1;
  struct Weights {
    __m256i codes;
    __m256i magnitudes;
  };
  static Weights weights(const std::int8_t* w) {
    const __m256i codes = load(w);
    return {codes, _mm256_abs_epi8(codes)};
  }
  static void add(__m256i (&acc)[1], const Weights& w, const std::int8_t* x) {
    const __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(load(x), w.codes));
    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static __m256i sum(const __m256i (&acc)[1]) { return acc[0]; }
};

/// One row of codes by kTokens rows of activations.
template <class Form, int kTokens>
inline void dots(const std::int8_t* w, const typename Form::Code* x, std::int64_t n, std::int32_t (*sums)[4],
                 std::int64_t row) {
  __m256i acc[kTokens][Form::kAccumulators];
  for (auto& each : acc) {
    for (__m256i& part : each) part = _mm256_setzero_si256();
  }
  std::int64_t k = 0;
  for (; k + 32 <= n; k += 32) {
    prefetch(w + k, 4096);
    const typename Form::Weights weights = Form::weights(w + k);
    for (int t = 0; t < kTokens; ++t) Form::add(acc[t], weights, x + t * n + k);
  }
  for (int t = 0; t < kTokens; ++t) {
    const __m256i v = Form::sum(acc[t]);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    std::int32_t sum = _mm_cvtsi128_si32(four);
    for (std::int64_t i = k; i < n; ++i) sum += static_cast<std::int32_t>(w[i]) * x[t * n + i];
    sums[t][row] = sum;
  }
}

/// Up to four rows from m by kTokens rows of activations from t.
template <class Form, int kTokens>
void tile(const ScreenMatrix& w, std::int64_t m, std::int64_t count, const ScreenRows<typename Form::Code>& x,
          std::int64_t t, float* lower, float* upper, std::int64_t stride) {
  std::int32_t sums[kTokens][4] = {};
  for (std::int64_t r = 0; r < count; ++r)
    dots<Form, kTokens>(w.codes + (m + r) * w.cols, x.codes + t * w.cols, w.cols, sums, r);
  const RowBounds four(w, m, count);
  for (int i = 0; i < kTokens; ++i)
    four.store(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sums[i])), x, t + i, lower, upper, stride);
}

template <class Form>
void bounds(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
            const ScreenRows<typename Form::Code>& x, float* lower, float* upper, std::int64_t stride) {
  for (std::int64_t m = row_begin; m < row_end; m += 4) {
    const std::int64_t count = smaller(4, row_end - m);
    std::int64_t t = 0;
    for (; t + 4 <= x.rows; t += 4) tile<Form, 4>(w, m, count, x, t, lower, upper, stride);
    for (; t < x.rows; ++t) tile<Form, 1>(w, m, count, x, t, lower, upper, stride);
  }
}

}  // namespace

void screen_row(const f16* w, std::int64_t n, std::int8_t* codes, float* scale, float* error, float* size) {
  const f16 greatest = greatest_magnitude(w, n);
  const bool finite = greatest < 0x7c00;
  if (!finite || greatest == 0) {
    for (std::int64_t k = 0; k < n; ++k) codes[k] = 0;
    *scale = 0;
    *error = finite ? 0.0f : __builtin_inff();
    *size = 0;
    return;
  }
  const float top = to_f32_one(greatest);
  const float s = top / 127.0f;
  const __m256 inverse = _mm256_set1_ps(127.0f / top);
  const __m256d wide_scale = _mm256_set1_pd(static_cast<double>(s));
  Squares errors;
  Squares squares;
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256i c = quantize_eight(load_f16(w + k), inverse, wide_scale, errors, squares);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes + k), narrow(c));
  }
  if (k < n) {
    alignas(16) f16 rest[8] = {};
    alignas(16) std::int8_t bytes[16];
    for (std::int64_t i = k; i < n; ++i) rest[i - k] = w[i];
    const __m256i c = quantize_eight(load_f16(rest), inverse, wide_scale, errors, squares);
    _mm_store_si128(reinterpret_cast<__m128i*>(bytes), narrow(c));
    for (std::int64_t i = k; i < n; ++i) codes[i] = bytes[i - k];
  }
  const double e = errors.norm();
  *scale = s;
  *error = static_cast<float>(e * kScreenUp);
  *size = static_cast<float>((squares.norm() + e) * kScreenUp);
}

void screen_bounds(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                   const ScreenRows<std::int16_t>& x, float* lower, float* upper, std::int64_t stride) {
  bounds<Wide>(w, row_begin, row_end, x, lower, upper, stride);
}

void screen_bounds_int8(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                        const ScreenRows<std::int8_t>& x, float* lower, float* upper, std::int64_t stride) {
  bounds<Narrow>(w, row_begin, row_end, x, lower, upper, stride);
}

}  // namespace bitnet::avx2
