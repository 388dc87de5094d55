#include "engine/generate/sampling.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "engine/error.h"
#include "engine/generate/exponential.h"

namespace bitnet {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

bool finite(float x) {
  return x - x == 0.0f;
}

/// The largest logit, minus infinity if there is none. Comparisons with NaN are false, so NaN never wins.
float largest(std::span<const float> logits) {
  std::array<float, 16> best;  // independent, so that the loop runs at full width; a maximum has no order
  best.fill(kLowest);
  std::size_t i = 0;
  for (; i + best.size() <= logits.size(); i += best.size()) {
    for (std::size_t j = 0; j < best.size(); ++j) best[j] = logits[i + j] > best[j] ? logits[i + j] : best[j];
  }
  for (; i < logits.size(); ++i) best[0] = logits[i] > best[0] ? logits[i] : best[0];
  for (const float b : best) best[0] = b > best[0] ? b : best[0];
  return best[0];
}

/// exp((logit - best) / temperature): proportional to the probability, 1 for the best, 0 for NaN.
double weight(float logit, float best, double temperature) {
  if (logit == best) return 1.0;  // also where both are infinite
  return exp_of_negative((static_cast<double>(logit) - static_cast<double>(best)) / temperature);
}

/// What min_p asks of a weight; the best has 1 and always meets it.
double least_weight(float min_p) {
  return std::min(static_cast<double>(min_p), 1.0);
}

}  // namespace

Sampler::Sampler(const SamplingParams& params) : params_(params), random_(params.seed) {
  const auto check = [](bool good, const char* name, float value, const char* must) {
    if (!good)
      throw InputError(std::string("sampling: ") + name + " is " + std::to_string(value) + "; it must be " +
                       must);
  };
  check(finite(params.temperature), "temperature", params.temperature, "a finite number");
  check(finite(params.top_p), "top_p", params.top_p, "a finite number");
  check(finite(params.min_p), "min_p", params.min_p, "a finite number");
  check(finite(params.repetition_penalty) && params.repetition_penalty > 0, "repetition_penalty",
        params.repetition_penalty, "a finite number above 0");
}

Token Sampler::sample(std::span<const float> logits, std::span<const Token> history) {
  logits = penalise(logits, history);
  const float best = largest(logits);
  if (best == kLowest) throw SystemError("sampling: no logit is a number above minus infinity");
  if (params_.temperature <= 0)
    return static_cast<Token>(std::find(logits.begin(), logits.end(), best) - logits.begin());

  if (params_.top_k > 0 && static_cast<std::size_t>(params_.top_k) < logits.size()) {
    select_top(logits, static_cast<std::size_t>(params_.top_k));
    if (params_.top_p < 1) {
      double total = 0;
      for (const Candidate& c : candidates_) total += weight(c.logit, best, 1.0);
      double sum = 0;
      std::size_t kept = 0;
      do sum += weight(candidates_[kept++].logit, best, 1.0);
      while (kept < candidates_.size() && sum < static_cast<double>(params_.top_p) * total);
      candidates_.resize(kept);
    }
    return draw_candidate(best);
  }
  if (params_.top_p < 1) {
    select_top_p(logits, best);
    return draw_candidate(best);
  }
  return draw_any(logits, best);
}

std::span<const float> Sampler::penalise(std::span<const float> logits, std::span<const Token> history) {
  if (params_.repetition_penalty == 1 || params_.repetition_window == 0) return logits;
  if (params_.repetition_window > 0) {
    history = history.last(std::min(history.size(), static_cast<std::size_t>(params_.repetition_window)));
  }
  penalised_.assign(logits.begin(), logits.end());
  for (const Token token : history) {
    if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) continue;
    const auto i = static_cast<std::size_t>(token);
    // From the logit itself, so that a token that came twice is penalised once.
    penalised_[i] =
        logits[i] > 0 ? logits[i] / params_.repetition_penalty : logits[i] * params_.repetition_penalty;
  }
  return penalised_;
}

/// Leaves in candidates_ the `k` best, sorted, or all above minus infinity where they are fewer.
void Sampler::select_top(std::span<const float> logits, std::size_t k) {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  // Logits above a threshold are collected; whenever the buffer is full it is cut back to its k best, and the
  // threshold rises to the last of them. One that equals the threshold has a higher id than those kept and
  // loses.
  const std::size_t full = std::min(2 * k + 256, logits.size() + 1);
  candidates_.clear();
  candidates_.reserve(full);
  float threshold = kLowest;
  const auto cut = [&] {
    if (candidates_.size() <= k) return;
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k) - 1,
                     candidates_.end(), better);
    candidates_.resize(k);
    threshold = candidates_[k - 1].logit;
  };
  constexpr std::size_t kBlock = 64;
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, logits.size());
    int any = 0;
    for (std::size_t i = begin; i < end; ++i) any |= logits[i] > threshold ? 1 : 0;
    if (any == 0) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (!(logits[i] > threshold)) continue;
      candidates_.push_back({logits[i], static_cast<Token>(i)});
      if (candidates_.size() == full) cut();
    }
  }
  cut();
  std::sort(candidates_.begin(), candidates_.end(), better);
}

/// Leaves in candidates_ the fewest best that reach top_p.
void Sampler::select_top_p(std::span<const float> logits, float best) {
  double total = 0;
  for (const float x : logits) total += weight(x, best, 1.0);
  const double wanted = static_cast<double>(params_.top_p) * total;
  for (std::size_t k = 256;; k *= 8) {
    k = std::min(k, logits.size());
    select_top(logits, k);
    double sum = 0;
    for (std::size_t kept = 0; kept < candidates_.size(); ++kept) {
      sum += weight(candidates_[kept].logit, best, 1.0);
      if (sum >= wanted) {
        candidates_.resize(kept + 1);
        return;
      }
    }
    if (candidates_.size() < k || k == logits.size()) return;  // there are no more
  }
}

/// Among candidates_, after min_p and the temperature.
Token Sampler::draw_candidate(float best) {
  if (params_.min_p > 0) {
    const double least = least_weight(params_.min_p);
    std::size_t kept = 0;
    while (kept < candidates_.size() && weight(candidates_[kept].logit, best, 1.0) >= least) ++kept;
    candidates_.resize(kept);
  }
  weights_.resize(candidates_.size());
  double total = 0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    total += weights_[i] = weight(candidates_[i].logit, best, static_cast<double>(params_.temperature));
  }
  const double target = random_.uniform() * total;
  double sum = 0;
  for (std::size_t i = 0; i + 1 < candidates_.size(); ++i) {
    sum += weights_[i];
    if (sum > target) return candidates_[i].id;
  }
  return candidates_.back().id;
}

/// Among all, in the order of their ids, after min_p and the temperature.
Token Sampler::draw_any(std::span<const float> logits, float best) {
  weights_.resize(logits.size());
  const bool all = params_.min_p <= 0;
  const double least = least_weight(params_.min_p);
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const bool kept = all || weight(logits[i], best, 1.0) >= least;
    total += weights_[i] = kept ? weight(logits[i], best, static_cast<double>(params_.temperature)) : 0.0;
  }
  const double target = random_.uniform() * total;
  double sum = 0;
  std::size_t last = 0;  // of those that can be drawn
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (weights_[i] == 0) continue;
    sum += weights_[i];
    last = i;
    if (sum > target) break;
  }
  return static_cast<Token>(last);
}

}  // namespace bitnet
