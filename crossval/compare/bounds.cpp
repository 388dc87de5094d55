#include "crossval/compare/bounds.h"

#include <algorithm>
#include <cmath>

namespace crossval {
namespace {

constexpr double kUnit = 0x1p-24;
constexpr double kTiny = 0x1p-126;
// sqrt(2 ln(2 / 1e-12)), as in input_rounding.cpp.
const double kHoeffding = std::sqrt(2 * std::log(2 / 1e-12));

// Half a unit in the last place of binary16.
double half_error(double x) {
  return std::max(std::abs(x) * 0x1p-11, 0x1p-25);
}

double squared(double x) {
  return x * x;
}

}  // namespace

BoundFigures held_to(std::span<const double> bounds, std::span<const float> got,
                     std::span<const float> expected) {
  BoundFigures worst;
  for (std::size_t k = 0; k < bounds.size(); ++k) {
    const double difference = std::abs(static_cast<double>(got[k]) - static_cast<double>(expected[k]));
    const double share = difference == 0 ? 0 : difference / bounds[k];
    if (k == 0 || !(share <= worst.share))
      worst = {share, difference, bounds[k], static_cast<std::int64_t>(k)};
    if (std::isnan(share)) break;  // nothing is worse
  }
  return worst;
}

std::vector<double> bounds_of_roundings(std::span<const float> y, double roundings) {
  std::vector<double> bounds;
  bounds.reserve(y.size());
  for (const float v : y) bounds.push_back(roundings * kUnit * std::abs(static_cast<double>(v)) + kTiny);
  return bounds;
}

std::vector<double> bounds_of_sum(std::span<const float> a, std::span<const float> b) {
  std::vector<double> bounds;
  bounds.reserve(a.size());
  for (std::size_t k = 0; k < a.size(); ++k)
    bounds.push_back(4 * kUnit * (std::abs(static_cast<double>(a[k])) + std::abs(static_cast<double>(b[k]))) +
                     kTiny);
  return bounds;
}

std::vector<double> bounds_of_silu(std::span<const float> y, std::span<const float> x) {
  std::vector<double> bounds;
  bounds.reserve(y.size());
  for (std::size_t k = 0; k < y.size(); ++k)
    bounds.push_back(
        (16 + 2 * std::abs(static_cast<double>(x[k]))) * kUnit * std::abs(static_cast<double>(y[k])) + kTiny);
  return bounds;
}

std::vector<double> bounds_of_product(std::span<const float> y, std::span<const float> bias) {
  std::vector<double> bounds = bounds_of_roundings(y, 8);
  for (std::size_t k = 0; k < bias.size(); ++k)
    bounds[k] += 16 * kUnit * std::abs(static_cast<double>(bias[k]));
  return bounds;
}

std::vector<double> bounds_of_rms_norm(std::span<const float> y) {
  return bounds_of_roundings(y, static_cast<double>(y.size()) / 2 + 8);
}

double bound_of_rope(double x0, double x1, double angle, std::int64_t pair) {
  const double steps = pair == 0 ? 0 : 2 * static_cast<double>(pair) + 4;  // the first angle is the position
  return std::hypot(x0, x1) * (4 + std::abs(angle) * steps) * kUnit + kTiny;
}

double bound_of_score(std::span<const float> q, std::span<const float> k) {
  double magnitude = 0, squares = 0;
  for (std::size_t d = 0; d < q.size(); ++d) {
    const double a = q[d], b = k[d];
    magnitude += std::abs(a * b);
    squares += squared(half_error(a) * b) + squared(a * half_error(b));
  }
  return (static_cast<double>(q.size()) + 4) * kUnit * magnitude + kHoeffding * std::sqrt(squares) + kTiny;
}

std::vector<double> bounds_of_soft_max(std::span<const float> y, std::span<const float> scores,
                                       double scale) {
  double greatest = 0;
  for (const float s : scores) greatest = std::max(greatest, std::abs(static_cast<double>(s)));
  const double cells = static_cast<double>(y.size());
  std::vector<double> bounds;
  bounds.reserve(y.size());
  for (std::size_t c = 0; c < y.size(); ++c) {
    const double arguments = scale * (std::abs(static_cast<double>(scores[c])) + greatest);
    bounds.push_back(std::abs(static_cast<double>(y[c])) * (2 * arguments + cells + 16) * kUnit + kTiny);
  }
  return bounds;
}

std::vector<double> bounds_of_context(std::span<const float> probabilities, const float* values,
                                      std::int64_t stride, std::int64_t width) {
  const auto n = static_cast<std::size_t>(width);
  std::vector<double> magnitudes(n, 0.0), squares(n, 0.0);
  const float* row = values;
  for (const float probability : probabilities) {
    const double p = probability, error = half_error(p);
    for (std::size_t d = 0; d < n; ++d) {
      const double v = row[d];
      magnitudes[d] += std::abs(p * v);
      squares[d] += squared(error * v) + squared(p * half_error(v));
    }
    row += stride;
  }
  const double sum = (static_cast<double>(probabilities.size()) + 4) * kUnit;
  std::vector<double> bounds(n);
  for (std::size_t d = 0; d < n; ++d)
    bounds[d] = sum * magnitudes[d] + kHoeffding * std::sqrt(squares[d]) + kTiny;
  return bounds;
}

std::string source_of_bounds() {
  return "error analysis of binary32 sums in any order, from K and the magnitudes of the inputs";
}

}  // namespace crossval
