// Activations to int8 and conversions between binary16 and binary32.

#include "engine/kernels/declare.h"
#include "engine/kernels/neon/simd.h"

namespace bitnet::neon {
namespace {

/// Eight codes: the product rounded, then to an integer with ties to even, then clamped by the narrowing.
inline int8x8_t codes_of(F8 x, float32x4_t s) {
  const int32x4_t low = vcvtnq_s32_f32(vmulq_f32(x.low, s));
  const int32x4_t high = vcvtnq_s32_f32(vmulq_f32(x.high, s));
  return vqmovn_s16(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)));
}

}  // namespace

void quantize_row(const float* x, std::int64_t n, std::int8_t* codes, float* scale, std::int32_t* sum) {
  const float32x4_t zero = vdupq_n_f32(0.0f);
  float32x4_t greatest[4] = {zero, zero, zero, zero};
  std::int64_t k = 0;
  for (; k + 16 <= n; k += 16) {
    for (int i = 0; i < 4; ++i) {
      greatest[i] = greater(vabsq_f32(vld1q_f32(x + k + 4 * i)), greatest[i]);
    }
  }
  for (; k < n; k += 8) {
    const F8 some = load_some(x + k, n - k, 0.0f);
    greatest[0] = greater(vabsq_f32(some.low), greatest[0]);
    greatest[1] = greater(vabsq_f32(some.high), greatest[1]);
  }
  const float32x4_t m = greater(greater(greatest[0], greatest[1]), greater(greatest[2], greatest[3]));
  const double amax = static_cast<double>(greatest_lane(m));
  const float s = static_cast<float>(127.0 / (amax > 0.00001 ? amax : 0.00001));

  const float32x4_t vs = vdupq_n_f32(s);
  int32x4_t total = vdupq_n_s32(0);
  for (k = 0; k + 8 <= n; k += 8) {
    const int8x8_t q = codes_of(load(x + k), vs);
    vst1_s8(codes + k, q);
    total = vpadalq_s16(total, vmovl_s8(q));
  }
  if (k < n) {
    std::int8_t rest[8];
    const int8x8_t q = codes_of(load_some(x + k, n - k, 0.0f), vs);  // zeros give zeros
    vst1_s8(rest, q);
    for (std::int64_t i = k; i < n; ++i) codes[i] = rest[i - k];
    total = vpadalq_s16(total, vmovl_s8(q));
  }
  *scale = s;
  *sum = vaddvq_s32(total);
}

void to_f16(const float* x, std::int64_t n, f16* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) vst1q_u16(y + k, narrow(load(x + k)));
  for (; k < n; ++k) y[k] = to_f16_one(x[k]);
}

void to_f32(const f16* x, std::int64_t n, float* y) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8) store(y + k, load_f16(x + k));
  for (; k < n; ++k) y[k] = to_f32_one(x[k]);
}

}  // namespace bitnet::neon
