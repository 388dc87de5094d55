#include "crossval/compare/metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace crossval {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double cosine_of(double dot, double got2, double expected2) {
  if (got2 == 0 && expected2 == 0) return 1;
  if (got2 == 0 || expected2 == 0) return 0;
  return dot / (std::sqrt(got2) * std::sqrt(expected2));
}

}  // namespace

RowMetrics compare_rows(std::span<const float> got, std::span<const float> expected) {
  RowMetrics m;
  double dot = 0, got2 = 0, expected2 = 0, difference2 = 0, largest = -1;
  std::size_t outlier = 0;
  bool finite = true;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double g = got[i], e = expected[i];
    m.bits += std::bit_cast<std::uint32_t>(got[i]) != std::bit_cast<std::uint32_t>(expected[i]);
    if (!std::isfinite(g) || !std::isfinite(e)) {
      // The first such value is the coordinate to show; nothing else in the row is worth a figure.
      if (finite) {
        m.at = static_cast<std::int64_t>(i);
        m.got = got[i];
        m.expected = expected[i];
      }
      finite = false;
      continue;
    }
    const double difference = g - e;
    dot += g * e;
    got2 += g * g;
    expected2 += e * e;
    difference2 += difference * difference;
    if (finite && std::abs(difference) > m.max_abs) {
      m.max_abs = std::abs(difference);
      m.at = static_cast<std::int64_t>(i);
      m.got = got[i];
      m.expected = expected[i];
    }
    if (std::abs(e) > largest) {
      largest = std::abs(e);
      outlier = i;
    }
  }
  if (!finite) {
    m.cosine = m.nmse = m.norm_ratio = m.cosine_trimmed = kNan;
    m.max_abs = kNan;
    return m;
  }
  if (m.bits == 0) {
    if (!got.empty()) m.got = m.expected = got[0];
    return m;
  }
  m.cosine = cosine_of(dot, got2, expected2);
  m.nmse = difference2 == 0 ? 0 : expected2 == 0 ? kInfinity : difference2 / expected2;
  m.norm_ratio = got2 == 0 && expected2 == 0 ? 1
                 : expected2 == 0            ? kInfinity
                                             : std::sqrt(got2) / std::sqrt(expected2);

  // A second pass without the outlier: subtracting its square from the sums would cancel all other digits.
  dot = got2 = expected2 = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (i == outlier) continue;
    const double g = got[i], e = expected[i];
    dot += g * e;
    got2 += g * g;
    expected2 += e * e;
  }
  m.cosine_trimmed = cosine_of(dot, got2, expected2);
  return m;
}

LogitMetrics compare_logits(std::span<const float> got, std::span<const float> expected) {
  LogitMetrics m;
  const auto argmax = [](std::span<const float> x) {
    std::size_t best = 0;
    bool any = false;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (!std::isnan(x[i]) && (!any || x[i] > x[best])) {
        best = i;
        any = true;
      }
    return best;
  };
  const std::size_t g1 = argmax(got), e1 = argmax(expected);
  m.top1_got = static_cast<std::int64_t>(g1);
  m.top1_expected = static_cast<std::int64_t>(e1);

  double second = -kInfinity;
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (i != e1 && expected[i] > second) second = expected[i];
  m.margin = static_cast<double>(expected[e1]) - second;

  const auto log_sum = [](std::span<const float> x, double top) {
    double sum = 0;
    for (float v : x) sum += std::exp(v - top);
    return top + std::log(sum);
  };
  const double zg = log_sum(got, got[g1]), ze = log_sum(expected, expected[e1]);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double log_e = expected[i] - ze, p = std::exp(log_e);
    if (p > 0 || std::isnan(p)) m.kl += p * (log_e - (got[i] - zg));
  }

  const auto best = [](std::span<const float> x) {
    std::vector<std::size_t> order(x.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto k = std::min<std::size_t>(10, order.size());
    // NaN last, then by value, then by index: a strict order whatever the logits hold.
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                      [&](std::size_t a, std::size_t b) {
                        if (std::isnan(x[a]) != std::isnan(x[b])) return std::isnan(x[b]);
                        if (!std::isnan(x[a]) && x[a] != x[b]) return x[a] > x[b];
                        return a < b;
                      });
    order.resize(k);
    std::sort(order.begin(), order.end());
    return order;
  };
  const auto a = best(got), b = best(expected);
  std::vector<std::size_t> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  m.topk_overlap = b.empty() ? 1 : static_cast<double>(common.size()) / static_cast<double>(b.size());
  return m;
}

}  // namespace crossval
