#include "crossval/compare/input_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace crossval {
namespace {

constexpr double kProbability = 1e-12;
constexpr double kLevels = 127;

// A product x * (1 / scale) is rounded before it becomes a code, so ties fall otherwise within some units of
// the last place of it.
constexpr double kTies = 1 + 0x1p-12;

// An element of so many of its greatest errors, two steps, is one of several codes.
constexpr double kUniformFrom = 4;

std::size_t group_of(const InputRounding& rounding, std::size_t k) {
  if (rounding.run == 0) return 0;
  const std::size_t run = k / static_cast<std::size_t>(rounding.run);
  return rounding.turns == 0 ? run : run % static_cast<std::size_t>(rounding.turns);
}

// Formula 3.2 of the row, minus the row: what our ternary products are off by.
std::vector<double> own_errors(std::span<const float> x) {
  double largest = 1e-5;
  for (const float v : x) largest = std::max(largest, std::abs(static_cast<double>(v)));
  const auto scale = static_cast<float>(127.0 / largest);
  std::vector<double> errors;
  errors.reserve(x.size());
  for (const float v : x) {
    const float product = v * scale;
    errors.push_back(std::nearbyint(static_cast<double>(product)) / scale - v);
  }
  return errors;
}

// How far each element's error spreads, as the square of a standard deviation: e^2 bounds that of any error
// within e of either sign; of an element that spans several steps the digits cut off are uniform, e^2 / 3.
std::vector<double> variances(const InputRounding& rounding, std::span<const float> x) {
  std::vector<double> v = greatest_errors(rounding, x);
  for (std::size_t k = 0; k < v.size(); ++k)
    v[k] *= std::abs(static_cast<double>(x[k])) >= kUniformFrom * v[k] ? v[k] / 3 : v[k];
  return v;
}

// One row's input, prepared: the variances of its errors, and what is known of ours.
struct Prepared {
  std::vector<double> squares;
  std::vector<double> known;  // empty: nothing
};

Prepared prepare(const InputRounding& own, const InputRounding& foreign, std::span<const float> x) {
  Prepared p{.squares = variances(foreign, x), .known = {}};
  if (own.name == "i8_s") {
    p.known = own_errors(x);
  } else {
    const std::vector<double> ours = variances(own, x);
    for (std::size_t k = 0; k < ours.size(); ++k) p.squares[k] += ours[k];
  }
  return p;
}

// Sums of one row of weights with one input.
struct Sums {
  double squares = 0;    // of what each element, and each stored scale, may add
  double known = 0;      // of our rounding
  double magnitude = 0;  // sum |w x|
};

Sums sums_of(std::span<const float> w, std::span<const float> x, const Prepared& p,
             const InputRounding& foreign) {
  Sums s;
  const std::size_t run =
      foreign.scale_error > 0 && foreign.run > 0 ? static_cast<std::size_t>(foreign.run) : w.size();
  for (std::size_t first = 0; first < w.size(); first += run) {
    double share = 0;
    for (std::size_t k = first; k < std::min(first + run, w.size()); ++k) {
      const double weight = w[k], product = weight * x[k];
      share += product;
      s.magnitude += std::abs(product);
      s.squares += weight * weight * p.squares[k];
      if (!p.known.empty()) s.known += weight * p.known[k];
    }
    const double scale = foreign.scale_error * share;
    s.squares += scale * scale;
  }
  return s;
}

double share_of(double difference, double bound) {
  if (difference == 0) return 0;
  return std::abs(difference) / bound;  // of NaN NaN, of a bound of 0 infinity
}

}  // namespace

std::optional<InputRounding> input_rounding(std::string_view name) {
  static const InputRounding kKnown[] = {
      {.name = "f32", .significand = 24, .least = 0x1p-150},
      {.name = "f16", .significand = 11, .least = 0x1p-25},
      {.name = "bf16", .significand = 8, .least = 0x1p-134},
      {.name = "i8_s"},
      {.name = "q8_0", .run = 32, .scale_error = 0x1p-11},
      {.name = "q8_1", .run = 32, .scale_error = 0x1p-11},
      {.name = "q8_0_x4", .run = 32, .scale_error = 0x1p-11},
      {.name = "q8_1_x4", .run = 32, .scale_error = 0x1p-11},
      {.name = "q8_2_x4", .run = 32, .scale_error = 0x1p-8},  // scales in bfloat16
      {.name = "q8_K", .run = 256},
      {.name = "q8_K16", .run = 16, .turns = 4},
      {.name = "q8_K64", .run = 4, .turns = 4},
  };
  const auto* it = std::ranges::find(kKnown, name, &InputRounding::name);
  return it == std::end(kKnown) ? std::nullopt : std::optional(*it);
}

std::vector<double> greatest_errors(const InputRounding& rounding, std::span<const float> x) {
  std::vector<double> errors(x.size());
  if (rounding.significand > 0) {
    for (std::size_t k = 0; k < x.size(); ++k) {
      if (x[k] == 0) continue;
      int exponent = 0;
      std::frexp(x[k], &exponent);  // 2^(exponent-1) <= |x|
      errors[k] = std::max(std::ldexp(1.0, exponent - 1 - rounding.significand), rounding.least);
    }
    return errors;
  }
  std::vector<double> largest(x.empty() ? 0 : x.size(), 0.0);
  for (std::size_t k = 0; k < x.size(); ++k) {
    double& group = largest[group_of(rounding, k)];
    group = std::max(group, std::abs(static_cast<double>(x[k])));
  }
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double half = largest[group_of(rounding, k)] / kLevels / 2;
    errors[k] =
        std::min(half, std::abs(static_cast<double>(x[k]))) * kTies;  // what becomes 0 is off by itself
  }
  return errors;
}

std::vector<RoundingFigures> explain_rounding(const MatrixRows& matrix, const InputRounding& own,
                                              const InputRounding& foreign,
                                              std::span<const RoundedRow> rows) {
  const double factor = std::sqrt(2 * std::log(2 / kProbability));
  const double binary32 = (static_cast<double>(matrix.cols) / 8 + 8) * 0x1p-24;
  const auto width = static_cast<std::size_t>(matrix.cols);
  std::vector<Prepared> prepared;
  for (const RoundedRow& row : rows) prepared.push_back(prepare(own, foreign, row.input));
  // Per row of outputs: d . y, y . y, the same sums' part that is no rounding of the input, and W^T y.
  struct Common {
    double dy = 0, yy = 0, binary32 = 0;
    std::vector<double> wy;
  };
  std::vector<Common> common(rows.size());
  for (Common& c : common) c.wy.resize(width);

  std::vector<RoundingFigures> figures(rows.size());
  std::vector<float> w(width);
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    matrix.decode(r, w);
    for (std::size_t t = 0; t < rows.size(); ++t) {
      const auto at = static_cast<std::size_t>(r);
      const Sums s = sums_of(w, rows[t].input, prepared[t], foreign);
      const double y = rows[t].own[at];
      const double difference = y - rows[t].foreign[at] - s.known;
      // Scales, factor and bias are applied after the sum, each rounded once.
      const double exact = binary32 * s.magnitude + 0x1p-21 * std::abs(y);
      const double bound = factor * std::sqrt(s.squares) + exact;
      const double share = share_of(difference, bound);
      RoundingFigures& f = figures[t];
      if (!(share <= f.share) || r == 0) {
        f.share = std::isnan(share) ? std::numeric_limits<double>::infinity() : share;
        f.difference = difference;
        f.bound = bound;
        f.at = r;
      }
      Common& c = common[t];
      c.dy += difference * y;
      c.yy += y * y;
      c.binary32 += exact * std::abs(y);
      for (std::size_t k = 0; k < width; ++k) c.wy[k] += w[k] * y;
    }
  }
  for (std::size_t t = 0; t < rows.size(); ++t) {
    const Common& c = common[t];
    if (c.yy == 0) continue;
    std::vector<float> u(width);
    for (std::size_t k = 0; k < width; ++k) u[k] = static_cast<float>(c.wy[k] / c.yy);
    RoundingFigures& f = figures[t];
    f.gain = c.dy / c.yy;
    f.gain_bound =
        factor * std::sqrt(sums_of(u, rows[t].input, prepared[t], foreign).squares) + c.binary32 / c.yy;
    f.share = std::max(f.share, share_of(f.gain, f.gain_bound));
  }
  return figures;
}

std::string source_of_bound(const InputRounding& own, const InputRounding& foreign) {
  return "the input is rounded to " + foreign.name + " there and to " + own.name +
         " here: Hoeffding's inequality over the errors of its elements, from the actual row and weights, "
         "probability 1e-12 per value";
}

}  // namespace crossval
