#pragma once
// The engine's kernels: one table of functions per instruction set. The scalar table is the specification;
// every other table gives the same bits for every input its contract admits (design: "one result,
// everywhere").
//
// Shapes are given as [rows][columns]; strides count elements. Pointers need no alignment beyond their
// type's. No kernel allocates, throws, or reads or writes outside the ranges it is told.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/formats/bf16.h"
#include "engine/formats/f16.h"
#include "engine/formats/q4_0.h"
#include "engine/formats/q4_k.h"
#include "engine/formats/q5_0.h"
#include "engine/formats/q6_k.h"
#include "engine/formats/q8_0.h"

namespace bitnet {

/// Matrix elements in one object of a row's type: a number is one, a block says how many.
template <class T>
inline constexpr std::int64_t elements_in = 1;
template <class T>
requires(T::kElements > 1) inline constexpr std::int64_t elements_in<T> = T::kElements;

/// A ternary weight matrix in the I2_S x86 layout (reference-semantics 2.2), [rows][cols], weight = scale *
/// (code - 1). cols is a multiple of 128.
struct TernaryMatrix {
  const std::uint8_t* codes = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  float scale = 0;
};

/// Activations quantized row by row (reference-semantics 3.2): [rows][stride] int8 codes, a scale and the sum
/// of the codes for each row.
struct QuantizedRows {
  const std::int8_t* codes = nullptr;
  const float* scales = nullptr;
  const std::int32_t* sums = nullptr;
  std::int64_t rows = 0;
  std::int64_t stride = 0;
};

/// 256 activations quantized for Q6_K (reference-semantics 6.11): int8 codes in [-127, 127]; of each four
/// neighbouring codes -32 times their sum and a zero, which added to products of weights that are still too
/// great by Q6_K's 32 sets them right; what one code is worth. Aligned, because that pays in vector loads.
struct alignas(64) ActivationBlock {
  std::int8_t codes[q6_k::Block::kElements];
  std::int16_t offsets[q6_k::Block::kElements / 2];
  float scale;
};

/// The screen of a dense matrix: int8 codes [rows][cols], and of each row what one code is worth, a bound of
/// the norm of what the codes lose (infinite where the row is not finite), and a bound of the norms of the
/// row and of what its codes stand for. Made by Kernels::screen_row.
struct ScreenMatrix {
  const std::int8_t* codes = nullptr;
  const float* scales = nullptr;
  const float* errors = nullptr;
  const float* sizes = nullptr;
  std::int64_t cols = 0;
};

/// Activations for a screen: codes [rows][cols] of the matrix, |code| <= 127 where they are int8 (cols <=
/// 65536), else |code| <= (2^31 - 1) / (127 * cols), so that no sum of products leaves int32; of each row
/// what one code is worth (a binary32 number), a bound of its norm, and what a weight row of norm 1 may lose
/// beyond its own error (model/screened_head.h).
template <class Code>
struct ScreenRows {
  const Code* codes = nullptr;
  const double* scales = nullptr;
  const double* norms = nullptr;
  const double* slacks = nullptr;
  std::int64_t rows = 0;
};

// Roundings of the screen's own arithmetic. A norm summed in double over n < 2^30 squares, its root, and the
// rounding to binary32 stay below a relative 2^-20, and so do the few roundings of a radius; a bound rounded
// to binary32 moves by at most 2^-24 (|centre| + radius) + 2^-150.
inline constexpr double kScreenUp = 1 + 0x1p-20;
inline constexpr double kScreenWiden = 0x1p-22;
inline constexpr double kScreenLeast = 0x1p-140;

/// Cells of the KV cache in one page.
inline constexpr std::int64_t kPageCells = 64;

/// Queries that share keys and values: `heads` neighbouring query heads of one KV head, for `tokens` tokens
/// of one sequence that follow one another. Token t sees the cells c < cells + t.
struct QueryGroup {
  std::int64_t tokens = 0;
  std::int64_t heads = 0;
  std::int64_t cells = 0;
};

enum class RopePairing : std::uint8_t {
  neox,      // (i, i + n_rot / 2)
  adjacent,  // (2 i, 2 i + 1)
};

struct Kernels {
  std::string_view name;         // as `--isa` takes it: "scalar", "avx2"
  std::string_view description;  // one line for `doctor`

  /// x[n] -> codes[n], scale, sum. Formula 3.2, product rounded first (clang's form).
  void (*quantize_row)(const float* x, std::int64_t n, std::int8_t* codes, float* scale, std::int32_t* sum);

  /// y[t][m] for m in [row_begin, row_end) and every activation row t: exact integer dot D of codes, then
  /// fl(fl(fl(float(D) - float(S)) / s) * scale) (formula 3.4). y is [x.rows][y_stride], indexed by m itself.
  void (*ternary_matmul)(const TernaryMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                         const QuantizedRows& x, float* y, std::int64_t y_stride);

  /// y[t][m] = dot(w[m], x[t]) for m in [row_begin, row_end): section 6.3 with 16 lanes. w is [..][n], x
  /// [rows][x_stride].
  void (*matmul_f16)(const f16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end, const f16* x,
                     std::int64_t rows, std::int64_t x_stride, float* y, std::int64_t y_stride);

  /// The same for F32 weights and activations: section 6.5 with 16 lanes, tail by fma in order.
  void (*matmul_f32)(const float* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                     const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                     std::int64_t y_stride);

  /// The same for weights that are decoded to binary32, exactly (Q4_K: each rounded once), and then
  /// multiplied as matmul_f32 does.
  void (*matmul_bf16)(const bf16* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                      const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                      std::int64_t y_stride);
  void (*matmul_q8_0)(const q8_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                      const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                      std::int64_t y_stride);
  void (*matmul_q5_0)(const q5_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                      const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                      std::int64_t y_stride);
  void (*matmul_q4_k)(const q4_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                      const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                      std::int64_t y_stride);
  void (*matmul_q4_0)(const q4_0::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                      const float* x, std::int64_t rows, std::int64_t x_stride, float* y,
                      std::int64_t y_stride);

  /// x[n] -> blocks[n / 256], n a multiple of 256. Section 6.11; a block whose greatest magnitude is so small
  /// that 127 / it overflows counts as zero.
  void (*quantize_blocks)(const float* x, std::int64_t n, ActivationBlock* blocks);

  /// y[t][m] = dot(w[m], x[t]) for m in [row_begin, row_end) by section 6.11: exact integer sums in 8 lanes,
  /// one fma a block and lane. w is [..][n], n a multiple of 256, x [rows][n / 256].
  void (*matmul_q6_k)(const q6_k::Block* w, std::int64_t n, std::int64_t row_begin, std::int64_t row_end,
                      const ActivationBlock* x, std::int64_t rows, float* y, std::int64_t y_stride);

  /// One row of n weights as binary32 numbers, exactly (Q4_K: each rounded once).
  void (*decode_bf16)(const bf16* row, std::int64_t n, float* y);
  void (*decode_q8_0)(const q8_0::Block* row, std::int64_t n, float* y);
  void (*decode_q6_k)(const q6_k::Block* row, std::int64_t n, float* y);
  void (*decode_q5_0)(const q5_0::Block* row, std::int64_t n, float* y);
  void (*decode_q4_k)(const q4_k::Block* row, std::int64_t n, float* y);
  void (*decode_q4_0)(const q4_0::Block* row, std::int64_t n, float* y);

  /// y[t] = fl(fl(x[t] * r) * weight), r by section 6.9 (sum of fl(x*x) in double, in order). y may be x.
  void (*rms_norm)(const float* x, std::int64_t rows, std::int64_t x_stride, const float* weight,
                   std::int64_t n, float eps, float* y, std::int64_t y_stride);

  /// Rotates `heads` consecutive heads of `head_dim` in place; cos and sin have n_rot / 2 entries; elements
  /// from n_rot on stay. y0 = fma(x0, c, -fl(x1*s)), y1 = fma(x0, s, fl(x1*c)) (section 6.10).
  void (*rope)(float* x, std::int64_t heads, std::int64_t head_dim, std::int64_t n_rot, RopePairing pairing,
               const float* cos, const float* sin);

  /// scores[t][h][c] = dot(q[t][h], key of cell c) for the cells that token t sees; section 6.3 with 16 lanes
  /// over head_dim. Key of cell c: pages[c / 64] + (c % 64) * cell_stride + offset. q is [tokens] rows,
  /// q_stride apart, of [heads][head_dim]; scores [tokens][heads] rows, scores_stride apart.
  void (*attn_scores)(const QueryGroup& group, const f16* q, std::int64_t q_stride, const f16* const* pages,
                      std::int64_t cell_stride, std::int64_t offset, std::int64_t head_dim, float* scores,
                      std::int64_t scores_stride);

  /// In place over x[0..n): w = fl(x*scale), softmax by section 6.6 in its 16-lane form (chunks of 16 cells;
  /// the cells that pad the last chunk count as e = 0), exponential by 6.7 in its AVX-512 form. n >= 1.
  void (*softmax)(float* x, std::int64_t n, float scale);

  /// out[t][h][d] = sum over the n cells c that token t sees of f16(p[t][h][c]) * value(c, d): section 6.3
  /// with 16 lanes over the cells, the row taken as C = n rounded up to 32 long (so that when C % 64 == 32
  /// the last 32 are the tail added in double). Values are stored channel by channel: value(c, d) = pages[c /
  /// 64][(offset + d) * 64 + c % 64]. Cells a token does not see count as zero and their stored values are
  /// never used for it (they may hold anything). p is [tokens][heads] rows, p_stride apart, and may be
  /// rounded where it is; out [tokens] rows, out_stride apart, of [heads][head_dim].
  void (*attn_context)(const QueryGroup& group, float* p, std::int64_t p_stride, const f16* const* pages,
                       std::int64_t offset, std::int64_t head_dim, float* out, std::int64_t out_stride);

  void (*add)(const float* a, const float* b, std::int64_t n, float* y);  // fl(a + b)
  void (*mul)(const float* a, const float* b, std::int64_t n, float* y);  // fl(a * b)
  void (*relu_squared)(const float* x, std::int64_t n, float* y);         // r = x > 0 ? x : 0; fl(r * r)
  void (*silu)(const float* x, std::int64_t n, float* y);  // section 6.8, 16-lane form throughout
  void (*to_f16)(const float* x, std::int64_t n, f16* y);  // round to nearest even
  void (*to_f32)(const f16* x, std::int64_t n, float* y);  // exact

  /// One row w[n] of a screen: s = fl(greatest |w| / 127), code = w * fl(127 / greatest |w|) rounded to the
  /// nearest (ties to even); error >= |w - s * code|, size >= |w| and >= |s * code| (Euclidean; squares
  /// summed in double in 8 lanes, lane k mod 8, folded 8-4-2-1). Codes and scale are 0 for a zero row and for
  /// one with infinity or NaN, whose error is infinite.
  void (*screen_row)(const f16* w, std::int64_t n, std::int8_t* codes, float* scale, float* error,
                     float* size);

  /// For weight rows m in [row_begin, row_end) and every activation row t, with D the exact integer dot of
  /// codes, in double: centre = s_m * s_t * D, radius = (error * norm + size * slack) * kScreenUp +
  /// |centre| * kScreenWiden + kScreenLeast, then lower[t][m] = float(centre - radius), upper[t][m] =
  /// float(centre + radius). Rows of lower and upper are `stride` apart.
  void (*screen_bounds)(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                        const ScreenRows<std::int16_t>& x, float* lower, float* upper, std::int64_t stride);
  /// The same for coarser activations.
  void (*screen_bounds_int8)(const ScreenMatrix& w, std::int64_t row_begin, std::int64_t row_end,
                             const ScreenRows<std::int8_t>& x, float* lower, float* upper,
                             std::int64_t stride);

  /// Index of the greatest value; the lowest index on ties; NaN is never chosen (0 when all are NaN).
  std::int64_t (*argmax)(const float* x, std::int64_t n);
};

/// All tables compiled into this binary, best first; `scalar` is always among them.
std::span<const Kernels* const> compiled_kernels();
/// Whether this machine can run them.
bool supported(const Kernels& kernels);
/// The table called `isa`; with an empty name the one that the environment variable CROSSVAL_FORCE_ISA names,
/// else the best this machine supports. An unknown or unsupported name is an InputError that lists those
/// available.
const Kernels& select_kernels(std::string_view isa = {});

}  // namespace bitnet
