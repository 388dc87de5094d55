#pragma once
// What a sampler should do, by sorting everything: for tests.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "engine/generate/exponential.h"
#include "engine/generate/sampling.h"

namespace bitnet::testing_support {

/// The logits after the penalty of those in the window, each once.
inline std::vector<float> plain_penalty(std::vector<float> logits, const SamplingParams& p,
                                        std::span<const Token> history) {
  std::vector<bool> penalised(logits.size());
  const std::size_t window =
      p.repetition_window < 0 ? history.size() : static_cast<std::size_t>(p.repetition_window);
  for (std::size_t i = 0; i < history.size() && i < window; ++i) {
    const auto token = static_cast<std::size_t>(history[history.size() - 1 - i]);
    if (penalised[token]) continue;
    penalised[token] = true;
    logits[token] =
        logits[token] > 0 ? logits[token] / p.repetition_penalty : logits[token] * p.repetition_penalty;
  }
  return logits;
}

/// What each token's probability should be: in double, with the host's exp.
inline std::map<Token, double> plain_probabilities(std::vector<float> logits, const SamplingParams& p,
                                                   std::span<const Token> history) {
  logits = plain_penalty(std::move(logits), p, history);
  std::vector<Token> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](Token t) { return static_cast<double>(logits[static_cast<std::size_t>(t)]); };
  std::stable_sort(order.begin(), order.end(), [&](Token a, Token b) { return logit(a) > logit(b); });
  const auto probabilities = [&](double temperature) {
    std::vector<double> w;
    for (const Token t : order) w.push_back(std::exp((logit(t) - logit(order[0])) / temperature));
    const double total = std::accumulate(w.begin(), w.end(), 0.0);
    for (double& x : w) x /= total;
    return w;
  };
  if (p.top_k > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(p.top_k)));
  if (p.top_p < 1) {
    const auto w = probabilities(1);
    double sum = 0;
    std::size_t kept = 0;
    while (kept < w.size()) {
      sum += w[kept++];
      if (sum >= static_cast<double>(p.top_p)) break;
    }
    order.resize(kept);
  }
  if (p.min_p > 0) {
    const auto w = probabilities(1);
    std::size_t kept = 1;
    while (kept < w.size() && w[kept] >= static_cast<double>(p.min_p) * w[0]) ++kept;
    order.resize(kept);
  }
  const auto w = probabilities(static_cast<double>(p.temperature));
  std::map<Token, double> out;
  for (std::size_t i = 0; i < order.size(); ++i) out[order[i]] = w[i];
  return out;
}

/// The token that a sampler should draw with the next number of `random`, to the bit: with the engine's exp,
/// sums added from the best down, those over all logits in the order of the ids. At least one logit is above
/// minus infinity.
inline Token plain_sample(std::vector<float> logits, const SamplingParams& p, std::span<const Token> history,
                          Random& random) {
  logits = plain_penalty(std::move(logits), p, history);
  const auto logit = [&](Token t) { return logits[static_cast<std::size_t>(t)]; };
  std::vector<Token> ids;  // of those that can be drawn
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -std::numeric_limits<float>::infinity()) ids.push_back(static_cast<Token>(i));
  std::vector<Token> order = ids;
  std::stable_sort(order.begin(), order.end(), [&](Token a, Token b) { return logit(a) > logit(b); });
  if (p.temperature <= 0) return order[0];

  const float best = logit(order[0]);
  const auto weight = [&](Token t, double temperature) {
    if (logit(t) == best) return 1.0;
    return exp_of_negative((static_cast<double>(logit(t)) - static_cast<double>(best)) / temperature);
  };
  const auto total = [&](const std::vector<Token>& tokens, double temperature) {
    double sum = 0;
    for (const Token t : tokens) sum += weight(t, temperature);
    return sum;
  };
  const bool few = p.top_k > 0 && static_cast<std::size_t>(p.top_k) < logits.size();
  if (few) order.resize(std::min(order.size(), static_cast<std::size_t>(p.top_k)));
  if (p.top_p < 1) {
    const double wanted = static_cast<double>(p.top_p) * total(few ? order : ids, 1);
    double sum = 0;
    std::size_t kept = 0;
    do sum += weight(order[kept++], 1);
    while (kept < order.size() && sum < wanted);
    order.resize(kept);
  }
  if (p.min_p > 0) {
    const double least = std::min(static_cast<double>(p.min_p), 1.0);
    std::erase_if(order, [&](Token t) { return weight(t, 1) < least; });
  }
  if (!few && p.top_p >= 1) std::sort(order.begin(), order.end());
  const auto temperature = static_cast<double>(p.temperature);
  const double target = random.uniform() * total(order, temperature);
  double sum = 0;
  Token drawn = order[0];
  for (const Token t : order) {
    if (weight(t, temperature) == 0) continue;
    drawn = t;
    sum += weight(t, temperature);
    if (sum > target) break;
  }
  return drawn;
}

/// The chi-square value that a right sampler exceeds once in 3.5 million runs with 5 deviations (Wilson and
/// Hilferty).
inline double chi_square_limit(double degrees, double deviations = 5) {
  const double a = 2 / (9 * degrees);
  return degrees * std::pow(1 - a + deviations * std::sqrt(a), 3);
}

/// The chi-square of draws against their probabilities. Cells with fewer expected draws than `least` are put
/// together.
struct ChiSquare {
  double value = 0;
  int cells = 0;
};
inline ChiSquare chi_square(const std::map<Token, double>& probabilities, const std::map<Token, int>& count,
                            int draws, double least) {
  ChiSquare result;
  const auto add = [&](double observed, double wanted) {
    result.value += (observed - wanted) * (observed - wanted) / wanted;
    ++result.cells;
  };
  double rest_expected = 0;
  double rest = 0;
  for (const auto& [token, probability] : probabilities) {
    const double wanted = probability * draws;
    const auto found = count.find(token);
    const double observed = found == count.end() ? 0 : found->second;
    if (wanted >= least) {
      add(observed, wanted);
    } else {
      rest_expected += wanted;
      rest += observed;
    }
  }
  if (rest_expected >= least) add(rest, rest_expected);
  return result;
}

}  // namespace bitnet::testing_support
