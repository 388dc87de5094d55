#include "reference/emulator/arithmetic.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "reference/emulator/half.h"

#if defined(__GNUC__)
#define CROSSVAL_INLINE inline __attribute__((always_inline))
#else
#define CROSSVAL_INLINE inline
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define CROSSVAL_AVX2 __attribute__((target("avx2,fma,f16c")))
#endif

namespace crossval::emulation {
namespace {

// ---- How lanes become one number ----

// 16 lanes: the upper half is added to the lower half until one is left (6.3, 6.4, 6.6).
CROSSVAL_INLINE float fold(float (&v)[16]) {
  for (int l = 0; l < 8; ++l) v[l] += v[l + 8];
  for (int l = 0; l < 4; ++l) v[l] += v[l + 4];
  return (v[0] + v[2]) + (v[1] + v[3]);
}

// 8 lanes in vec_dot (6.3): after one such step, neighbours in pairs.
CROSSVAL_INLINE float fold_dot(float (&v)[8]) {
  for (int l = 0; l < 4; ++l) v[l] += v[l + 4];
  return (v[0] + v[1]) + (v[2] + v[3]);
}
CROSSVAL_INLINE float fold_dot(float (&v)[16]) {
  return fold(v);
}

// 8 lanes in tinyBLAS and softmax (6.4): the pairs lie two apart.
CROSSVAL_INLINE float fold_sum(float (&v)[8]) {
  for (int l = 0; l < 4; ++l) v[l] += v[l + 4];
  return (v[0] + v[2]) + (v[1] + v[3]);
}
CROSSVAL_INLINE float fold_sum(float (&v)[16]) {
  return fold(v);
}

// ---- Dots ----

template <int L>
CROSSVAL_INLINE float join(float (&a)[4 * L]) {
  float u[L];
  for (int l = 0; l < L; ++l) u[l] = (a[l] + a[2 * L + l]) + (a[L + l] + a[3 * L + l]);
  return fold_dot(u);
}

// Products of two binary16 numbers are exact in binary32: multiply and add is what the fused operation gives.
template <int L>
CROSSVAL_INLINE float dot_f16(const float* x, const float* y, std::int64_t n) {
  float a[4 * L] = {};
  const std::int64_t whole = n / (4 * L) * (4 * L);
  for (std::int64_t i = 0; i < whole; i += 4 * L)
    for (int l = 0; l < 4 * L; ++l) a[l] += x[i + l] * y[i + l];
  double sum = static_cast<double>(join<L>(a));
  for (std::int64_t i = whole; i < n; ++i) sum += static_cast<double>(x[i] * y[i]);
  return static_cast<float>(sum);
}

template <int L>
CROSSVAL_INLINE float dot_f32(const float* x, const float* y, std::int64_t n) {
  float a[4 * L] = {};
  const std::int64_t whole = n / (4 * L) * (4 * L);
  for (std::int64_t i = 0; i < whole; i += 4 * L)
    for (int l = 0; l < 4 * L; ++l) a[l] = __builtin_fmaf(x[i + l], y[i + l], a[l]);
  float sum = join<L>(a);
  for (std::int64_t i = whole; i < n; ++i) sum = __builtin_fmaf(x[i], y[i], sum);
  return sum;
}

// Of four rows of x with the same y: the additions of one sum wait for each other.
template <int L>
CROSSVAL_INLINE void dots_tiny(const float* x, const float* y, std::int64_t n, float* out) {
  float a[4][L] = {};
  for (std::int64_t i = 0; i < n; i += L)
    for (int r = 0; r < 4; ++r)
      for (int l = 0; l < L; ++l) a[r][l] = __builtin_fmaf(x[r * n + i + l], y[i + l], a[r][l]);
  for (int r = 0; r < 4; ++r) out[r] = fold_sum(a[r]);
}

template <int L>
CROSSVAL_INLINE float dot_tiny(const float* x, const float* y, std::int64_t n) {
  float a[L] = {};
  for (std::int64_t i = 0; i < n; i += L)
    for (int l = 0; l < L; ++l) a[l] = __builtin_fmaf(x[i + l], y[i + l], a[l]);
  return fold_sum(a);
}

// The same sums with the lanes in rows of `scratch`, so that loops run along the channels.
template <int L>
CROSSVAL_INLINE void context_f16(const float* p, const float* values, std::int64_t stride, std::int64_t cells,
                                 std::int64_t padded, std::int64_t channels, float* scratch, float* out) {
  std::fill(scratch, scratch + 4 * L * channels, 0.0f);
  const std::int64_t whole = padded / (4 * L) * (4 * L);
  const std::int64_t laned = whole < cells ? whole : cells;
  for (std::int64_t c = 0; c < laned; ++c) {
    const float probability = p[c];
    const float* value = values + c * stride;
    float* a = scratch + c % (4 * L) * channels;
    for (std::int64_t d = 0; d < channels; ++d) a[d] += probability * value[d];
  }
  for (std::int64_t d = 0; d < channels; ++d) {
    float a[4 * L];
    for (int l = 0; l < 4 * L; ++l) a[l] = scratch[l * channels + d];
    double sum = static_cast<double>(join<L>(a));
    for (std::int64_t c = laned; c < cells; ++c) sum += static_cast<double>(p[c] * values[c * stride + d]);
    out[d] = static_cast<float>(sum);
  }
}

template <int L>
CROSSVAL_INLINE void context_tiny(const float* p, const float* values, std::int64_t stride,
                                  std::int64_t cells, std::int64_t channels, float* scratch, float* out) {
  std::fill(scratch, scratch + L * channels, 0.0f);
  for (std::int64_t c = 0; c < cells; ++c) {
    const float probability = p[c];
    const float* value = values + c * stride;
    float* a = scratch + c % L * channels;
    for (std::int64_t d = 0; d < channels; ++d) a[d] = __builtin_fmaf(value[d], probability, a[d]);
  }
  for (std::int64_t d = 0; d < channels; ++d) {
    float a[L];
    for (int l = 0; l < L; ++l) a[l] = scratch[l * channels + d];
    out[d] = fold_sum(a);
  }
}

// ---- The exponential (6.7) ----

CROSSVAL_INLINE float two_to(float n) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23);
}

template <int L>
CROSSVAL_INLINE float exponential_of(float x) {
  const float z = __builtin_fmaf(x, 0x1.715476p+0f, 0x1.8p23f);
  const float n = z - 0x1.8p23f;
  const float b = __builtin_fmaf(-n, 0x1.7f7d1cp-20f, __builtin_fmaf(-n, 0x1.62e4p-1f, x));
  const float u = b * b;
  const float inner = __builtin_fmaf(__builtin_fmaf(0x1.0e4020p-7f, b, 0x1.573e2ep-5f), u,
                                     __builtin_fmaf(0x1.555e66p-3f, b, 0x1.fffdb6p-2f));
  const float magnitude = n < 0 ? -n : n;
  if constexpr (L == 16) {
    const float poly = __builtin_fmaf(inner, u, __builtin_fmaf(0x1.ffffecp-1f, b, 1.0f));
    if (magnitude > 192.0f) return n < 0 ? 0.0f : std::numeric_limits<float>::infinity();
    if (magnitude <= 126.0f) {
      // Exact unless the result is subnormal: then binary64 keeps the one rounding.
      if (n > -125.0f) return poly * two_to(n);
    }
    if (!(magnitude <= 192.0f)) return poly;  // NaN
    const double scale =
        std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(n) + 1023) << 52);
    return static_cast<float>(static_cast<double>(poly) * scale);
  } else {
    const float poly = __builtin_fmaf(inner, u, 0x1.ffffecp-1f * b);
    if (magnitude <= 126.0f) {
      const float k = two_to(n);
      return __builtin_fmaf(poly, k, k);
    }
    if (!(magnitude > 126.0f)) return poly;  // NaN
    const std::uint32_t g = n <= 0 ? 0x82000000u : 0u;
    const float s1 = std::bit_cast<float>(0x7f000000u + g);
    if (magnitude > 192.0f) return s1 * s1;
    const float s2 = std::bit_cast<float>((std::bit_cast<std::uint32_t>(z) << 23) - g);
    return __builtin_fmaf(s2, poly, s2) * s1;
  }
}

template <int L>
CROSSVAL_INLINE void soft_max(float* x, std::int64_t n, float scale) {
  float greatest = -std::numeric_limits<float>::infinity();
  for (std::int64_t k = 0; k < n; ++k) {
    x[k] *= scale;
    greatest = x[k] > greatest ? x[k] : greatest;
  }
  double sum = 0;
  for (std::int64_t k = 0; k < n; k += L) {
    float chunk[L] = {};  // masked cells are exactly 0
    const std::int64_t here = n - k < L ? n - k : L;
    for (std::int64_t l = 0; l < here; ++l) chunk[l] = x[k + l] = exponential_of<L>(x[k + l] - greatest);
    sum += static_cast<double>(fold_sum(chunk));
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  for (std::int64_t k = 0; k < n; ++k) x[k] *= inverse;
}

template <int L>
CROSSVAL_INLINE void silu(float* x, std::int64_t n) {
  for (std::int64_t k = 0; k < n; ++k) x[k] = x[k] / (1.0f + exponential_of<L>(0.0f - x[k]));
}

// ---- Ternary products ----

// 32 bytes hold 128 weights: byte p those at p, p+32, p+64, p+96, the first in its highest bits (2.2). Each
// of 16 int16 lanes takes two of the 32 columns, and is added to an int32 lane after so many blocks: 32 in
// the reference, where it may wrap by then; 8 for exact sums, where it can not, not even if every code is 3.
CROSSVAL_INLINE std::int64_t blocks_per_group(Sums sums) {
  return sums == Sums::exact ? 8 : 32;
}

CROSSVAL_INLINE std::int32_t code_dot(const std::byte* codes, const std::int8_t* q, std::int64_t n,
                                      Sums sums) {
  const std::int64_t blocks = n / 128, group = blocks_per_group(sums);
  std::int32_t total = 0;
  for (std::int64_t first = 0; first < blocks; first += group) {
    const std::int64_t last = first + group < blocks ? first + group : blocks;
    std::uint16_t lane[16] = {};
    for (std::int64_t block = first; block < last; ++block)
      for (int p = 0; p < 32; ++p) {
        const auto byte = std::to_integer<std::uint8_t>(codes[32 * block + p]);
        const std::int8_t* x = q + 128 * block + p;
        const int sum =
            (byte >> 6) * x[0] + ((byte >> 4) & 3) * x[32] + ((byte >> 2) & 3) * x[64] + (byte & 3) * x[96];
        lane[p / 2] = static_cast<std::uint16_t>(lane[p / 2] + sum);
      }
    for (std::uint16_t value : lane) total += static_cast<std::int16_t>(value);
  }
  return total;
}

#if defined(CROSSVAL_AVX2)
// What compilers do not make of the above: one instruction multiplies a code and an activation in each of two
// columns and adds the products.
CROSSVAL_AVX2 inline __m256i load_32(const void* bytes) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(bytes));
}
CROSSVAL_AVX2 inline __m256i products(__m256i shifted, const std::int8_t* x) {
  return _mm256_maddubs_epi16(_mm256_and_si256(shifted, _mm256_set1_epi8(3)), load_32(x));
}
CROSSVAL_AVX2 inline std::int32_t code_dot_avx2(const std::byte* codes, const std::int8_t* q, std::int64_t n,
                                                Sums sums) {
  const std::int64_t blocks = n / 128, group = blocks_per_group(sums);
  __m256i total = _mm256_setzero_si256();
  for (std::int64_t first = 0; first < blocks; first += group) {
    const std::int64_t last = first + group < blocks ? first + group : blocks;
    __m256i lanes = _mm256_setzero_si256();
    for (std::int64_t block = first; block < last; ++block) {
      const __m256i bytes = load_32(codes + 32 * block);
      const std::int8_t* x = q + 128 * block;
      const __m256i high = _mm256_add_epi16(products(_mm256_srli_epi16(bytes, 6), x),
                                            products(_mm256_srli_epi16(bytes, 4), x + 32));
      const __m256i low =
          _mm256_add_epi16(products(_mm256_srli_epi16(bytes, 2), x + 64), products(bytes, x + 96));
      lanes = _mm256_add_epi16(lanes, _mm256_add_epi16(high, low));
    }
    total = _mm256_add_epi32(total, _mm256_madd_epi16(lanes, _mm256_set1_epi16(1)));
  }
  std::int32_t sums_of_lanes[8];
  std::memcpy(sums_of_lanes, &total, sizeof(total));
  std::int32_t sum = 0;
  for (std::int32_t value : sums_of_lanes) sum += value;
  return sum;
}
#endif

CROSSVAL_INLINE void widen(const std::byte* half, std::int64_t n, float* out) {
  for (std::int64_t k = 0; k < n; ++k) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, half + 2 * k, 2);
    out[k] = f16_to_f32(bits);
  }
}

#if defined(CROSSVAL_AVX2)
CROSSVAL_AVX2 inline void widen_f16c(const std::byte* half, std::int64_t n, float* out) {
  std::int64_t k = 0;
  for (; k + 8 <= n; k += 8)
    _mm256_storeu_ps(out + k,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(half + 2 * k))));
  widen(half + 2 * k, n - k, out + k);
}
#endif

// ---- Compiled once for any CPU and once for AVX2 with FMA and F16C ----

// NOLINTBEGIN(bugprone-macro-parentheses): an attribute and functions
#define CROSSVAL_LOOPS(NAME, TARGET, TERNARY, WIDEN)                                                         \
  template <int L>                                                                                           \
  struct NAME {                                                                                              \
    TARGET static float f16(const float* x, const float* y, std::int64_t n) { return dot_f16<L>(x, y, n); }  \
    TARGET static float f32(const float* x, const float* y, std::int64_t n) { return dot_f32<L>(x, y, n); }  \
    TARGET static void tiny_4(const float* x, const float* y, std::int64_t n, float* out) {                  \
      dots_tiny<L>(x, y, n, out);                                                                            \
    }                                                                                                        \
    TARGET static float tiny(const float* x, const float* y, std::int64_t n) {                               \
      return dot_tiny<L>(x, y, n);                                                                           \
    }                                                                                                        \
    TARGET static void columns_f16(const float* p, const float* v, std::int64_t stride, std::int64_t cells,  \
                                   std::int64_t padded, std::int64_t channels, float* scratch, float* out) { \
      context_f16<L>(p, v, stride, cells, padded, channels, scratch, out);                                   \
    }                                                                                                        \
    TARGET static void columns_tiny(const float* p, const float* v, std::int64_t stride, std::int64_t cells, \
                                    std::int64_t channels, float* scratch, float* out) {                     \
      context_tiny<L>(p, v, stride, cells, channels, scratch, out);                                          \
    }                                                                                                        \
    TARGET static void probabilities(float* x, std::int64_t n, float scale) { soft_max<L>(x, n, scale); }    \
    TARGET static void sigmoid_unit(float* x, std::int64_t n) { silu<L>(x, n); }                             \
    TARGET static std::int32_t ternary(const std::byte* c, const std::int8_t* q, std::int64_t n, Sums s) {   \
      return TERNARY(c, q, n, s);                                                                            \
    }                                                                                                        \
    TARGET static void halves(const std::byte* h, std::int64_t n, float* out) { WIDEN(h, n, out); }          \
    static constexpr Loops kLoops{                                                                           \
        L, f16, f32, tiny, tiny_4, columns_f16, columns_tiny, probabilities, sigmoid_unit, ternary, halves}; \
  };

CROSSVAL_LOOPS(Plain, , code_dot, widen)
#if defined(CROSSVAL_AVX2)
CROSSVAL_LOOPS(Wide, CROSSVAL_AVX2, code_dot_avx2, widen_f16c)
#endif
#undef CROSSVAL_LOOPS
// NOLINTEND(bugprone-macro-parentheses)

#if defined(CROSSVAL_AVX2)
// clang 14 does not take "f16c" in __builtin_cpu_supports.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

}  // namespace

const Loops& plain_loops_of(int width) {
  return width == 16 ? Plain<16>::kLoops : Plain<8>::kLoops;
}

const Loops& loops_of(int width) {
#if defined(CROSSVAL_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
    return width == 16 ? Wide<16>::kLoops : Wide<8>::kLoops;
#endif
  return plain_loops_of(width);
}

float exponential(float x, int width) {
  return width == 16 ? exponential_of<16>(x) : exponential_of<8>(x);
}

void quantize(std::span<const float> x, Quantizer quantizer, Codes& out) {
  const bool reported = quantizer == Quantizer::reported;
  double greatest = reported ? 0.0 : 0.00001;
  for (float v : x) {
    const double magnitude = std::fabs(static_cast<double>(v));
    if (magnitude > greatest || std::isnan(magnitude)) greatest = magnitude;
  }
  out.scale = greatest == 0 ? 0.0f : static_cast<float>(127.0 / greatest);
  out.q.resize(x.size());
  out.sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const float product = x[k] * out.scale;
    double code = 0;
    switch (quantizer) {
      case Quantizer::product:
        code = std::nearbyint(product);
        break;
      case Quantizer::fused:  // exact in binary64
        code = std::nearbyint(static_cast<double>(x[k]) * static_cast<double>(out.scale));
        break;
      case Quantizer::reported:
        code = std::round(product);
        break;
    }
    const int q = std::isnan(code) ? 0 : static_cast<int>(std::clamp(code, -128.0, 127.0));
    out.q[k] = static_cast<std::int8_t>(q);
    out.sum += q;
  }
}

float epilogue(std::int32_t dot, const Codes& codes, float weight_scale, Quantizer quantizer) {
  const float difference = static_cast<float>(dot) - static_cast<float>(codes.sum);
  if (quantizer != Quantizer::reported) return difference / codes.scale * weight_scale;
  return codes.scale == 0 ? 0.0f : difference * (weight_scale / codes.scale);
}

void rms_norm(const float* x, std::span<const float> weight, float eps, float* y) {
  double sum = 0;
  for (std::size_t k = 0; k < weight.size(); ++k) sum += static_cast<double>(x[k] * x[k]);
  const auto mean = static_cast<float>(sum / static_cast<double>(weight.size()));
  const float scale = 1.0f / std::sqrt(mean + eps);
  for (std::size_t k = 0; k < weight.size(); ++k) y[k] = x[k] * scale * weight[k];
}

// ---- Q6_K (6.11) ----

namespace {

struct Q6Block {
  std::uint8_t low[128];
  std::uint8_t high[64];
  std::int8_t scales[16];
  std::uint16_t d;

  int value(int e) const {
    const int h = e / 128, k = e % 128 / 32, l = e % 32;
    const int nibble = (low[64 * h + 32 * (k & 1) + l] >> (4 * (k / 2))) & 15;
    return (nibble | ((high[32 * h + l] >> (2 * k)) & 3) << 4) - 32;
  }
  int scale(int e) const { return scales[e / 16]; }
};
static_assert(sizeof(Q6Block) == kQ6Bytes);

}  // namespace

void quantize_blocks(std::span<const float> x, BlockCodes& out) {
  out.q.assign(x.size(), 0);
  out.scale.assign(x.size() / kQ6Values, 0);
  for (std::size_t b = 0; b < out.scale.size(); ++b) {
    const auto block = x.subspan(b * kQ6Values, kQ6Values);
    float greatest = 0;  // with its sign
    for (float v : block)
      if (std::fabs(v) > std::fabs(greatest)) greatest = v;
    const float inverse = -127.0f / greatest;
    // Of a zero block nothing is left, nor of one so small that the inverse overflows: its codes are 0.
    if (greatest == 0 || std::isinf(inverse)) continue;
    for (std::size_t k = 0; k < block.size(); ++k)
      out.q[b * kQ6Values + k] =
          static_cast<std::int8_t>(std::min(127.0f, std::nearbyint(inverse * block[k])));
    out.scale[b] = 1.0f / inverse;
  }
}

void decode_q6_k(const std::byte* row, std::int64_t n, float* out) {
  for (std::int64_t b = 0; b < n / kQ6Values; ++b) {
    Q6Block block;
    std::memcpy(&block, row + b * kQ6Bytes, sizeof(block));
    const float d = f16_to_f32(block.d);
    for (int e = 0; e < kQ6Values; ++e)
      out[b * kQ6Values + e] = d * static_cast<float>(block.scale(e)) * static_cast<float>(block.value(e));
  }
}

float dot_q6_k(const std::byte* row, const BlockCodes& x) {
  float lanes[8] = {};
  for (std::size_t b = 0; b < x.scale.size(); ++b) {
    Q6Block block;
    std::memcpy(&block, row + static_cast<std::int64_t>(b) * kQ6Bytes, sizeof(block));
    std::int32_t sums[8] = {};
    for (int e = 0; e < kQ6Values; ++e)
      sums[e % 32 / 4] += block.value(e) * block.scale(e) * x.q[b * kQ6Values + static_cast<std::size_t>(e)];
    const float d = x.scale[b] * f16_to_f32(block.d);
    for (int l = 0; l < 8; ++l) lanes[l] = std::fma(d, static_cast<float>(sums[l]), lanes[l]);
  }
  return fold_sum(lanes);
}

// ---- Types of heads whose arithmetic is the engine's ----

namespace {

float half_at(const std::byte* p) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, p, sizeof(bits));
  return f16_to_f32(bits);
}

int low(std::byte b) {
  return std::to_integer<int>(b & std::byte{15});
}
int high(std::byte b) {
  return std::to_integer<int>(b >> 4);
}

}  // namespace

void decode_q8_0(const std::byte* row, std::int64_t n, float* out) {
  for (std::int64_t b = 0; b < n / kQ8Values; ++b) {
    const std::byte* block = row + b * kQ8Bytes;  // a binary16 scale, 32 codes
    for (std::int64_t k = 0; k < kQ8Values; ++k)
      out[b * kQ8Values + k] = half_at(block) * static_cast<float>(static_cast<std::int8_t>(block[2 + k]));
  }
}

void decode_q4_0(const std::byte* row, std::int64_t n, float* out) {
  for (const std::byte* block = row; n > 0; n -= 32, out += 32, block += kQ4Bytes)
    for (int p = 0; p < 16; ++p) {
      out[p] = half_at(block) * static_cast<float>(low(block[2 + p]) - 8);
      out[p + 16] = half_at(block) * static_cast<float>(high(block[2 + p]) - 8);
    }
}

void decode_q5_0(const std::byte* row, std::int64_t n, float* out) {
  for (const std::byte* block = row; n > 0; n -= 32, out += 32, block += kQ5Bytes) {
    std::uint32_t fifths = 0;
    std::memcpy(&fifths, block + 2, sizeof(fifths));
    for (int k = 0; k < 32; ++k) {
      const std::byte both = block[6 + k % 16];
      const int code = (k < 16 ? low(both) : high(both)) | static_cast<int>(fifths >> k & 1) << 4;
      out[k] = half_at(block) * static_cast<float>(code - 16);
    }
  }
}

void decode_q4_k(const std::byte* row, std::int64_t n, float* out) {
  for (const std::byte* block = row; n > 0; n -= kQ6Values, block += kQ4kBytes)
    for (int part = 0; part < 8; ++part) {
      const std::byte* six = block + 4;
      int scale = std::to_integer<int>(six[part & 3]) & 63;
      int offset = std::to_integer<int>(six[4 + (part & 3)]) & 63;
      if (part >= 4) {
        scale = low(six[part + 4]) | std::to_integer<int>(six[part - 4] >> 6) << 4;
        offset = high(six[part + 4]) | std::to_integer<int>(six[part] >> 6) << 4;
      }
      for (int k = 0; k < 32; ++k) {
        const std::byte both = block[16 + part / 2 * 32 + k];
        const int code = part % 2 == 0 ? low(both) : high(both);
        const float product = half_at(block) * static_cast<float>(scale) * static_cast<float>(code);
        *out++ = product - half_at(block + 2) * static_cast<float>(offset);
      }
    }
}

void decode_bf16(const std::byte* row, std::int64_t n, float* out) {
  for (std::int64_t k = 0; k < n; ++k) {
    std::uint16_t upper = 0;
    std::memcpy(&upper, row + 2 * k, sizeof(upper));
    out[k] = std::bit_cast<float>(static_cast<std::uint32_t>(upper) << 16);
  }
}

}  // namespace crossval::emulation
