#pragma once
// How far two right implementations of one operation may be from each other: an analysis of the rounding
// errors of binary32, value by value, from the magnitudes of the operation's own inputs.
//
// u = 2^-24 is the most that one rounding moves a number by, relatively. A sum of K products in any order at
// all (serial, in lanes, pairwise, fused or not) is within K u sum |terms| of the true one (Higham, Accuracy
// and Stability of Numerical Algorithms, 3.1); the engine's own order is one of them. Values that binary16
// holds on one side and not on the other (q, K, V, probabilities) are off by half a unit in their last place;
// such errors have either sign, and their sum is bounded as in input_rounding.h (Hoeffding, probability
// 1e-12).
//
//   lookups, products of two numbers, ReLU^2: 4 u |y|
//   sum of a and b: 4 u (|a| + |b|)
//   integer product with its scales and bias b: 8 u (|y| + 2 |b|)
//   RMS norm of K values: (K / 2 + 8) u |y|, since the sum of squares enters by its root
//   RoPE, pair i at angle t, r = hypot of the pair: r (4 + t (2 i + 4)) u, since i products make a frequency
//   scores, q . k over K = hd: (K + 4) u sum |q k|, and q and k in binary16
//   softmax over C cells, y = exp(a - max a) / sum: y (2 |a| + 2 |max a| + C + 16) u
//   context, p . v over C cells: (C + 4) u sum |p v|, and p and v in binary16
//   SiLU of x: (16 + 2 |x|) u |y|
//
// A side that computes in double shows its values in binary32, so that the inputs are off by u themselves.
// Everywhere 2^-126 is added: what denormals become is the processor's setting. The head is not among them:
// its input's rounding is what counts (input_rounding.h).

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace crossval {

struct BoundFigures {
  double share = 0;  // greatest |difference| / bound of any value; at most 1 where rounding may explain it
  double difference = 0;  // where the share is greatest ...
  double bound = 0;
  std::int64_t at = 0;  // ... and its column
};

/// Rows of equal length. A difference that is no number has the share NaN.
BoundFigures held_to(std::span<const double> bounds, std::span<const float> got,
                     std::span<const float> expected);

/// So many roundings of each value.
std::vector<double> bounds_of_roundings(std::span<const float> y, double roundings);
std::vector<double> bounds_of_sum(std::span<const float> a, std::span<const float> b);
std::vector<double> bounds_of_silu(std::span<const float> y, std::span<const float> x);
std::vector<double> bounds_of_product(std::span<const float> y, std::span<const float> bias);
std::vector<double> bounds_of_rms_norm(std::span<const float> y);
/// Of one value of a pair of channels.
double bound_of_rope(double x0, double x1, double angle, std::int64_t pair);
/// Of one score; q and k are one head's.
double bound_of_score(std::span<const float> q, std::span<const float> k);
/// Of one head's probabilities; scale is what the scores are multiplied with.
std::vector<double> bounds_of_soft_max(std::span<const float> y, std::span<const float> scores, double scale);
/// Of one head's context; row c of `values` begins at values[c * stride] and is as long as the result.
std::vector<double> bounds_of_context(std::span<const float> probabilities, const float* values,
                                      std::int64_t stride, std::int64_t width);

/// The reason of the bounds in one line, for gates, records and reports.
std::string source_of_bounds();

}  // namespace crossval
