// SiLU. The other elementwise operations are as fast as memory lets them be on 256 bits.

#include "engine/kernels/avx512vnni/exp.h"
#include "engine/kernels/declare.h"

namespace bitnet::avx512vnni {

void silu(const float* x, std::int64_t n, float* y) {
  for (std::int64_t k = 0; k < n; k += kLanes) {
    const __mmask16 mask = first_lanes(n - k);
    const __m512 v = _mm512_maskz_loadu_ps(mask, x + k);
    const __m512 e = polynomial_exp(_mm512_sub_ps(_mm512_setzero_ps(), v));
    _mm512_mask_storeu_ps(y + k, mask, _mm512_div_ps(v, _mm512_add_ps(_mm512_set1_ps(1.0f), e)));
  }
}

}  // namespace bitnet::avx512vnni
