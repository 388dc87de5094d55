// The screen of a dense head for several rows of activations, by vpdpwssd (products of 16-bit numbers, two of
// them added to each 32-bit lane) or vpdpbusd (of bytes, four of them). One row is as fast as memory gives
// the weights, and the AVX2 kernel's.

#include "engine/kernels/avx2/bounds.h"
#include "engine/kernels/avx512vnni/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {
namespace {

/// Lane i is the sum of the lanes of v[i].
inline __m128i sum_lanes(const __m512i (&v)[4]) {
  __m256i half[4];
  for (int i = 0; i < 4; ++i)
    half[i] = _mm256_add_epi32(_mm512_castsi512_si256(v[i]), _mm512_extracti64x4_epi64(v[i], 1));
  const __m256i four =
      _mm256_hadd_epi32(_mm256_hadd_epi32(half[0], half[1]), _mm256_hadd_epi32(half[2], half[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
}

/// How a vector of codes and one of activations become products. What is behind the row's end is not read and
/// counts as zero.
struct Wide {
  using Code = std::int16_t;
  static constexpr std::int64_t kCodes = 32;
  static __m512i weights(const std::int8_t* w) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
  static __m512i weights(const std::int8_t* w, std::int64_t count) {
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(first(count), w));
  }
  static __m512i activations(const std::int16_t* x, std::int64_t count) {
    return _mm512_maskz_loadu_epi16(first(count), x);
  }
  static __m512i add(__m512i acc, __m512i w, __m512i x) { return _mm512_dpwssd_epi32(acc, w, x); }
  /// What the sums of four rows of weights have too much with row x of activations.
  static __m128i excess(const std::int16_t*, std::int64_t) { return _mm_setzero_si128(); }

 private:
  static __mmask32 first(std::int64_t count) { return static_cast<__mmask32>((1u << count) - 1u); }
};

/// The instruction takes unsigned codes, so that they are 128 too great: 255 * 127 * 65536 still fits a lane.
struct Narrow {
  using Code = std::int8_t;
  static constexpr std::int64_t kCodes = 64;
  static __m512i weights(const std::int8_t* w) { return unsigned_codes(_mm512_loadu_si512(w)); }
  static __m512i weights(const std::int8_t* w, std::int64_t count) {
    return unsigned_codes(_mm512_maskz_loadu_epi8(first(count), w));
  }
  static __m512i activations(const std::int8_t* x, std::int64_t count) {
    return _mm512_maskz_loadu_epi8(first(count), x);
  }
  static __m512i add(__m512i acc, __m512i w, __m512i x) { return _mm512_dpbusd_epi32(acc, w, x); }
  static __m128i excess(const std::int8_t* x, std::int64_t n) {
    __m512i sum = _mm512_setzero_si512();
    const __m512i ones = _mm512_set1_epi8(1);
    std::int64_t k = 0;
    for (; k + kCodes <= n; k += kCodes) sum = add(sum, ones, _mm512_loadu_si512(x + k));
    if (k < n) sum = add(sum, ones, activations(x + k, n - k));
    return _mm_slli_epi32(sum_lanes({sum, sum, sum, sum}), 7);
  }

 private:
  static __m512i unsigned_codes(__m512i codes) {
    return _mm512_xor_si512(codes, _mm512_set1_epi8(static_cast<char>(0x80)));
  }
  static __mmask64 first(std::int64_t count) {
    return static_cast<__mmask64>((std::uint64_t{1} << count) - 1u);
  }
};

/// Four rows of weights, and those that memory is asked for meanwhile.
struct FourRows {
  const std::int8_t* codes[4];
  std::int64_t ahead;  // bytes from a row to the one that is asked for
  int asked_begin;     // of the four
  int asked_end;

  /// Into the second cache, since the first is full of activations.
  void prefetch_ahead(std::int64_t k) const {
    for (int r = asked_begin; r < asked_end; ++r)
      _mm_prefetch(reinterpret_cast<const char*>(codes[r]) + k + ahead, _MM_HINT_T1);
  }
};

/// Four rows of weights by kTokens of activations: sums[t] has those of the four.
template <class Form, int kTokens>
inline void dots(const FourRows& rows, const typename Form::Code* x, std::int64_t n,
                 __m128i (&sums)[kTokens]) {
  __m512i acc[kTokens][4];
  for (auto& each : acc) {
    for (__m512i& sum : each) sum = _mm512_setzero_si512();
  }
  std::int64_t k = 0;
  for (; k + Form::kCodes <= n; k += Form::kCodes) {
    rows.prefetch_ahead(k);
    __m512i weights[4];
    for (int r = 0; r < 4; ++r) weights[r] = in_place(Form::weights(rows.codes[r] + k));
    for (int t = 0; t < kTokens; ++t) {
      const __m512i q = in_place(_mm512_loadu_si512(x + t * n + k));
      for (int r = 0; r < 4; ++r) acc[t][r] = in_place(Form::add(acc[t][r], weights[r], q));
    }
  }
  if (k < n) {
    for (int t = 0; t < kTokens; ++t) {
      const __m512i q = Form::activations(x + t * n + k, n - k);
      for (int r = 0; r < 4; ++r)
        acc[t][r] = Form::add(acc[t][r], Form::weights(rows.codes[r] + k, n - k), q);
    }
  }
  for (int t = 0; t < kTokens; ++t) sums[t] = sum_lanes(acc[t]);
}

/// Bytes of weights that stay in the second cache while all rows of activations pass by, few of which stay in
/// the first one at a time.
constexpr std::int64_t kCachedBytes = std::int64_t{160} << 10;

struct Output {
  float* lower;
  float* upper;
  std::int64_t stride;
};

/// Rows [begin, end) of weights by kTokens rows of activations from t. Each of the passes over the weights
/// asks for its share of those that follow, so that memory is busy all the time.
template <class Form, int kTokens>
void pass(const ScreenMatrix& w, std::int64_t begin, std::int64_t end,
          const ScreenRows<typename Form::Code>& x, std::int64_t t, const Output& out) {
  const typename Form::Code* const codes = x.codes + t * w.cols;
  __m128i excess[kTokens];
  for (int i = 0; i < kTokens; ++i) excess[i] = Form::excess(codes + i * w.cols, w.cols);
  FourRows rows = {{},
                   (end - begin) * w.cols,
                   static_cast<int>(4 * t / x.rows),
                   static_cast<int>(4 * (t + kTokens) / x.rows)};
  for (std::int64_t m = begin; m < end; m += 4) {
    const std::int64_t count = smaller(4, end - m);
    // Rows that fill up the four repeat the last; their bounds are not stored.
    for (std::int64_t r = 0; r < 4; ++r) rows.codes[r] = w.codes + (m + smaller(r, count - 1)) * w.cols;
    __m128i sums[kTokens];
    dots<Form, kTokens>(rows, codes, w.cols, sums);
    const avx2::RowBounds four(w, m, count);
    for (int i = 0; i < kTokens; ++i)
      four.store(_mm_sub_epi32(sums[i], excess[i]), x, t + i, out.lower, out.upper, out.stride);
  }
}

template <class Form>
void bounds(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
            const ScreenRows<typename Form::Code>& x, const Output& out) {
  const std::int64_t cached_rows = (kCachedBytes / (w.cols + 1) + 4) / 4 * 4;
  for (std::int64_t m = row_begin; m < row_end; m += cached_rows) {
    const std::int64_t end = smaller(m + cached_rows, row_end);
    std::int64_t t = 0;
    for (; t + 6 <= x.rows; t += 6) pass<Form, 6>(w, m, end, x, t, out);
    for (; t + 2 <= x.rows; t += 2) pass<Form, 2>(w, m, end, x, t, out);
    for (; t < x.rows; ++t) pass<Form, 1>(w, m, end, x, t, out);
  }
}

}  // namespace

void screen_bounds(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                   const ScreenRows<std::int16_t>& x, float* lower, float* upper, std::int64_t stride) {
  if (x.rows == 1) {
    avx2::screen_bounds(w, row_begin, row_end, x, lower, upper, stride);
  } else {
    bounds<Wide>(w, row_begin, row_end, x, {lower, upper, stride});
  }
}

void screen_bounds_int8(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                        const ScreenRows<std::int8_t>& x, float* lower, float* upper, std::int64_t stride) {
  bounds<Narrow>(w, row_begin, row_end, x, {lower, upper, stride});
}

}  // namespace bitnet::avx512vnni
