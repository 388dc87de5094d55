#pragma once
// scalar/exp.h for sixteen numbers.

#include "engine/kernels/avx512vnni/simd.h"

namespace bitnet::avx512vnni {
namespace {

inline __m512 polynomial_exp(__m512 number) {
  // Beyond these |n| > 192, and the scaling gives 0 or infinity as it must. The second operand wins over a
  // NaN in it.
  const __m512 x = _mm512_max_ps(_mm512_set1_ps(-150.0f), _mm512_min_ps(_mm512_set1_ps(150.0f), number));
  const __m512 round = _mm512_set1_ps(0x1.8p23f);
  const __m512 z = _mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p+0f), round);
  const __m512 n = _mm512_sub_ps(z, round);
  const __m512 b = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f),
                                    _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x));
  const __m512 u = _mm512_mul_ps(b, b);
  const __m512 high = _mm512_fmadd_ps(_mm512_set1_ps(0x1.0e4020p-7f), b, _mm512_set1_ps(0x1.573e2ep-5f));
  const __m512 middle = _mm512_fmadd_ps(_mm512_set1_ps(0x1.555e66p-3f), b, _mm512_set1_ps(0x1.fffdb6p-2f));
  const __m512 low = _mm512_fmadd_ps(_mm512_set1_ps(0x1.ffffecp-1f), b, _mm512_set1_ps(1.0f));
  const __m512 p = _mm512_fmadd_ps(_mm512_fmadd_ps(high, u, middle), u, low);
  // p * 2^n with one rounding.
  return _mm512_scalef_ps(p, n);
}

}  // namespace
}  // namespace bitnet::avx512vnni
