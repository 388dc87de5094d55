#pragma once
// How much of the difference between two rows of a matrix product the rounding of its input explains.
//
// No engine multiplies a quantized matrix with the row x that it is given: it rounds the row first, to
// binary16, to blocks of int8 codes, ... Two engines that round otherwise differ in every value, and none of
// them is wrong. With each element off by an error of its own, at most e_k, an output is off by the sum of
// w_k times it: errors of either sign, as independent as the digits behind the last one kept. By Hoeffding's
// inequality such a sum passes t = sqrt(2 ln(2 / p) * sum w_k^2 v_k) with a probability below p, with v_k =
// e_k^2, and with e_k^2 / 3 where the error is uniform: where x_k spans two steps or more. That is the bound,
// for every value of every row from the actual x and w; with p = 1e-12 it is 7.5 standard deviations, and the
// greatest of 1e5 values is seen at half of it. Two more terms are in it:
// - a stored scale (binary16 in Q8_0) is off by a relative error of its own: another such sum, over the
//   blocks, of that error times the block's share of the product;
// - sums in binary32: (K / 8 + 8) 2^-24 sum |w_k x_k|, for any order of at least eight lanes.
//
// A fault that scales a whole matrix by 1 % would stay within it, since each value moves by little. Hence a
// second figure, the gain: what the row of differences has in common with the row of outputs, g = (d . y) /
// (y . y). It is a sum over the input's errors too, with the weights u = W^T y / (y . y), and has a bound of
// the same kind, some sqrt(K) times narrower than the values have.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace crossval {

/// What a row is rounded to before it is multiplied.
struct InputRounding {
  std::string name;        // as ggml calls the type: "q8_0"
  int significand = 0;     // bits of a floating type; 0: integers up to 127 times a scale
  double least = 0;        // floating types: half the distance of the smallest numbers
  std::int64_t run = 0;    // integers: so many neighbours take the same scale; 0: the whole row
  std::int64_t turns = 0;  // integers: scales of a row, which the runs take in turn; 0: each run has its own
  double scale_error = 0;  // relative, of a scale as it is stored
};

/// By the name of the type: f32, f16, bf16, i8_s, q8_0, q8_1, q8_0_x4, q8_1_x4, q8_2_x4, q8_K, q8_K16,
/// q8_K64; nothing for another.
std::optional<InputRounding> input_rounding(std::string_view name);

/// The most by which each element of a row can be off, stored scales apart.
std::vector<double> greatest_errors(const InputRounding& rounding, std::span<const float> x);

struct RoundingFigures {
  double share = 0;       // greatest |difference| / bound of any value, or |gain| / gain_bound; 1: all of it
  double difference = 0;  // where the share of a value is greatest ...
  double bound = 0;
  std::int64_t at = 0;  // ... and its column
  double gain = 0;
  double gain_bound = 0;
};

/// The matrix of a product, row by row.
struct MatrixRows {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::function<void(std::int64_t row, std::span<float>)> decode;
};

/// One input row and what two engines made of it.
struct RoundedRow {
  std::span<const float> input;
  std::span<const float> own;  // input rounded in our way
  std::span<const float> foreign;
};

/// Figures for each row. Our rounding of ternary products (`i8_s`) is known to the bit, so that its part of
/// the difference is taken off instead of being bounded.
std::vector<RoundingFigures> explain_rounding(const MatrixRows& matrix, const InputRounding& own,
                                              const InputRounding& foreign, std::span<const RoundedRow> rows);

/// The reason of the bound in one line, for records and reports.
std::string source_of_bound(const InputRounding& own, const InputRounding& foreign);

}  // namespace crossval
