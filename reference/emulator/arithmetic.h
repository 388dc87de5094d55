#pragma once
// bitnet.cpp's sums and functions, by what its vector code does lane by lane (reference-semantics 3 and 6).
// `width` is the number of binary32 lanes of the build that is imitated: 16 (AVX-512) or 8 (AVX2). Each loop
// may be compiled twice, for any CPU and for one with AVX2 and FMA; both give the same bits, because every
// addition stands where it is written and fused operations are correctly rounded wherever they run.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace crossval::emulation {

enum class Quantizer : std::uint8_t {
  product,  // the product is rounded to binary32 before it is rounded to a code (clang)
  fused,    // the exact product is rounded to a code (GCC, release build with FMA)
  reported  // as users report of the third generation: no floor, ties away from zero
};
enum class Sums : std::uint8_t { exact, int16 };

/// The loops of one width.
struct Loops {
  int width;
  /// 6.3: four accumulators, products rounded; x and y hold binary16 values.
  float (*dot_f16)(const float* x, const float* y, std::int64_t n);
  /// 6.5: four accumulators, fused.
  float (*dot_f32)(const float* x, const float* y, std::int64_t n);
  /// 6.4: one accumulator, fused; n is a multiple of the width.
  float (*dot_tiny)(const float* x, const float* y, std::int64_t n);
  /// The same for four rows of x, one after another.
  void (*dots_tiny)(const float* x, const float* y, std::int64_t n, float* out);
  /// The sums of 6.3 and of 6.4 for `channels` columns at once: out[d] = sum over c of p[c] *
  /// values[c*stride+d]. The row counts as `padded` long; what lies beyond `cells` is zero. scratch: 64 *
  /// channels.
  void (*context_f16)(const float* p, const float* values, std::int64_t stride, std::int64_t cells,
                      std::int64_t padded, std::int64_t channels, float* scratch, float* out);
  void (*context_tiny)(const float* p, const float* values, std::int64_t stride, std::int64_t cells,
                       std::int64_t channels, float* scratch, float* out);
  /// 6.6, in place.
  void (*soft_max)(float* x, std::int64_t n, float scale);
  /// 6.8, in place; n is a multiple of the width.
  void (*silu)(float* x, std::int64_t n);
  /// 3.3: the sum of code times q over n weights, a multiple of 128.
  std::int32_t (*code_dot)(const std::byte* codes, const std::int8_t* q, std::int64_t n, Sums sums);
  /// binary16 to binary32.
  void (*widen)(const std::byte* half, std::int64_t n, float* out);
};

/// For this CPU. width: 16 or 8.
const Loops& loops_of(int width);
/// For any CPU.
const Loops& plain_loops_of(int width);

/// 6.7, one value.
float exponential(float x, int width);

/// The codes of a row (3.2), their scale and their sum.
struct Codes {
  std::vector<std::int8_t> q;
  float scale = 0;
  std::int32_t sum = 0;
};
void quantize(std::span<const float> x, Quantizer quantizer, Codes& out);

/// The F32 result of a ternary product (3.4).
float epilogue(std::int32_t dot, const Codes& codes, float weight_scale, Quantizer quantizer);

/// 6.9: x normed and multiplied by the weight.
void rms_norm(const float* x, std::span<const float> weight, float eps, float* y);

/// Blocks of 256 codes for a Q6_K product (6.11).
struct BlockCodes {
  std::vector<std::int8_t> q;
  std::vector<float> scale;  // one per block
};
void quantize_blocks(std::span<const float> x, BlockCodes& out);
inline constexpr std::int64_t kQ6Values = 256;
inline constexpr std::int64_t kQ6Bytes = 210;
/// One row of Q6_K, n values, a multiple of 256.
void decode_q6_k(const std::byte* row, std::int64_t n, float* out);
float dot_q6_k(const std::byte* row, const BlockCodes& x);

inline constexpr std::int64_t kQ8Values = 32;
inline constexpr std::int64_t kQ8Bytes = 34;
inline constexpr std::int64_t kQ5Bytes = 22;
inline constexpr std::int64_t kQ4Bytes = 18;
inline constexpr std::int64_t kQ4kBytes = 144;
/// One row of Q8_0, Q5_0 or Q4_0 (n a multiple of 32), of Q4_K (of 256) or of BF16.
void decode_q8_0(const std::byte* row, std::int64_t n, float* out);
void decode_q5_0(const std::byte* row, std::int64_t n, float* out);
void decode_q4_0(const std::byte* row, std::int64_t n, float* out);
void decode_q4_k(const std::byte* row, std::int64_t n, float* out);
void decode_bf16(const std::byte* row, std::int64_t n, float* out);

}  // namespace crossval::emulation
