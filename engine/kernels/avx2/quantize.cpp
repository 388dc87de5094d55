// Activations to int8 and conversions between binary16 and binary32.

#include "engine/kernels/avx2/simd.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx2 {
namespace {

/// Eight codes before they are clamped: ties to even by adding 1.5 * 2^23.
inline __m256i rounded(const float* x, __m256 s) {
  const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(x), s), _mm256_set1_ps(0x1.8p23f));
  const __m256i bits = _mm256_and_si256(_mm256_castps_si256(shifted), _mm256_set1_epi32(0x007fffff));
  return _mm256_sub_epi32(bits, _mm256_set1_epi32(0x00400000));
}

/// Thirty-two codes, clamped by the saturation of the packing.
inline __m256i codes_of(const float* x, __m256 s) {
  const __m256i first = _mm256_packs_epi32(rounded(x, s), rounded(x + 8, s));
  const __m256i second = _mm256_packs_epi32(rounded(x + 16, s), rounded(x + 24, s));
  const __m256i packed = _mm256_packs_epi16(first, second);  // by halves: groups of four out of order
  return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

}  // namespace

void quantize_row(const float* x, std::int64_t n, std::int8_t* codes, float* scale, std::int32_t* sum) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 greatest[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  std::int64_t k = 0;
  for (; k + 32 <= n; k += 32) {
    for (int i = 0; i < 4; ++i) {
      // The second operand wins over a NaN in the first, as in scalar.
      greatest[i] = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + k + 8 * i)), greatest[i]);
    }
  }
  for (; k < n; k += 8) {
    const __m256 some = _mm256_maskload_ps(x + k, first_lanes(n - k));
    greatest[0] = _mm256_max_ps(_mm256_andnot_ps(sign, some), greatest[0]);
  }
  __m256 m = _mm256_max_ps(_mm256_max_ps(greatest[0], greatest[1]), _mm256_max_ps(greatest[2], greatest[3]));
  m = _mm256_max_ps(m, _mm256_permute2f128_ps(m, m, 1));
  m = _mm256_max_ps(m, _mm256_shuffle_ps(m, m, 0x4e));
  m = _mm256_max_ps(m, _mm256_shuffle_ps(m, m, 0xb1));
  const double amax = static_cast<double>(_mm256_cvtss_f32(m));
  const float s = static_cast<float>(127.0 / (amax > 0.00001 ? amax : 0.00001));

  const __m256 vs = _mm256_set1_ps(s);
  const __m256i ones8 = _mm256_set1_epi8(1);
  const __m256i ones16 = _mm256_set1_epi16(1);
  __m256i total = _mm256_setzero_si256();
  for (k = 0; k + 32 <= n; k += 32) {
    const __m256i q = codes_of(x + k, vs);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + k), q);
    total = _mm256_add_epi32(total, _mm256_madd_epi16(_mm256_maddubs_epi16(ones8, q), ones16));
  }
  if (k < n) {
    float rest[32] = {};
    std::int8_t rest_codes[32];
    for (std::int64_t i = k; i < n; ++i) rest[i - k] = x[i];
    const __m256i q = codes_of(rest, vs);  // zeros give zeros
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(rest_codes), q);
    for (std::int64_t i = k; i < n; ++i) codes[i] = rest_codes[i - k];
    total = _mm256_add_epi32(total, _mm256_madd_epi16(_mm256_maddubs_epi16(ones8, q), ones16));
  }
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  *scale = s;
  *sum = _mm_cvtsi128_si32(four);
}

void to_f16(const float* x, std::int64_t n, f16* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(x + k), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + k), h);
  }
  for (; k < n; ++k) y[k] = to_f16_one(x[k]);
}

void to_f32(const f16* x, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) _mm256_storeu_ps(y + k, load_f16(x + k));
  for (; k < n; ++k) y[k] = to_f32_one(x[k]);
}

}  // namespace bitnet::avx2
