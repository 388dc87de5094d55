#include "engine/generate/sampling.h"

#include <algorithm>
#include <array>
#include <functional>
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

// Logits whose maximum tells whether one of them can be among the best.
constexpr std::size_t kBlock = 256;

/// The largest logit of a block, minus infinity if there is none. Comparisons with NaN are false, so NaN
/// never wins.
float largest(std::span<const float, kBlock> block) {
  // Independent, and so many that the compiler keeps the loop and runs it at full width; a maximum has no
  // order.
  std::array<float, 64> best;
  best.fill(kLowest);
  for (std::size_t i = 0; i < kBlock; i += best.size())
    for (std::size_t j = 0; j < best.size(); ++j) best[j] = block[i + j] > best[j] ? block[i + j] : best[j];
  for (std::size_t half = best.size() / 2; half > 0; half /= 2)
    for (std::size_t j = 0; j < half; ++j) best[j] = best[j + half] > best[j] ? best[j + half] : best[j];
  return best[0];
}

/// exp((logit - best) / temperature): proportional to the probability, 1 for the best, 0 for NaN.
double weight(float logit, float best, double temperature) {
  if (logit == best) return 1.0;  // also where both are infinite
  return exp_of_negative((static_cast<double>(logit) - static_cast<double>(best)) / temperature);
}

/// The order of candidates.
constexpr auto better = [](const auto& a, const auto& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
};

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
  const float best = measure_blocks(logits);
  if (best == kLowest) throw SystemError("sampling: no logit is a number above minus infinity");
  if (params_.temperature <= 0)
    return static_cast<Token>(std::find(logits.begin(), logits.end(), best) - logits.begin());

  if (params_.top_k > 0 && static_cast<std::size_t>(params_.top_k) < logits.size()) {
    collect_top(logits, static_cast<std::size_t>(params_.top_k));
    sort_candidates();
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

/// Leaves the largest logit of each block in maxima_ and returns that of all.
float Sampler::measure_blocks(std::span<const float> logits) {
  maxima_.clear();
  maxima_.reserve(logits.size() / kBlock + 1);
  float best = kLowest;
  const auto measure = [&](std::span<const float, kBlock> block) {
    maxima_.push_back(largest(block));
    best = maxima_.back() > best ? maxima_.back() : best;
  };
  for (; logits.size() >= kBlock; logits = logits.subspan(kBlock)) measure(logits.first<kBlock>());
  if (logits.empty()) return best;
  std::array<float, kBlock> rest;
  rest.fill(kLowest);
  std::copy(logits.begin(), logits.end(), rest.begin());
  measure(rest);
  return best;
}

/// Leaves in candidates_ the `k` best, or all above minus infinity where they are fewer.
void Sampler::collect_top(std::span<const float> logits, std::size_t k) {
  // The k-th largest of the blocks' maxima is a threshold: so many logits reach it. Logits from there on are
  // collected; whenever the buffer is full it is cut back to its k best, and the threshold rises to the last
  // of them. One that equals that threshold has a higher id than those kept and loses.
  float threshold = kLowest;
  if (maxima_.size() >= k) {
    ordered_ = maxima_;
    const auto kth = ordered_.begin() + static_cast<std::ptrdiff_t>(k) - 1;
    std::nth_element(ordered_.begin(), kth, ordered_.end(), std::greater<>());
    threshold = *kth;
  }
  bool may_equal = threshold > kLowest;
  const auto may_be_kept = [&](float x) { return x > threshold || (may_equal && x == threshold); };

  const std::size_t full = std::min(2 * k + 256, logits.size() + 1);
  candidates_.clear();
  candidates_.reserve(full);
  const auto cut = [&] {
    if (candidates_.size() <= k) return;
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k) - 1,
                     candidates_.end(), better);
    candidates_.resize(k);
    threshold = candidates_[k - 1].logit;
    may_equal = false;
  };
  for (std::size_t block = 0; block < maxima_.size(); ++block) {
    if (!may_be_kept(maxima_[block])) continue;
    const std::size_t end = std::min((block + 1) * kBlock, logits.size());
    for (std::size_t i = block * kBlock; i < end; ++i) {
      if (!may_be_kept(logits[i])) continue;
      candidates_.push_back({logits[i], static_cast<Token>(i)});
      if (candidates_.size() == full) cut();
    }
  }
  cut();
}

void Sampler::sort_candidates() {
  std::sort(candidates_.begin(), candidates_.end(), better);
}

/// Leaves the weight of each logit in weights_ and returns their sum, added in the order of the ids.
double Sampler::weigh_all(std::span<const float> logits, float best, double temperature) {
  weights_.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) weights_[i] = weight(logits[i], best, temperature);
  double total = 0;
  for (const double w : weights_) total += w;
  return total;
}

/// Leaves in candidates_ the fewest best that reach top_p.
void Sampler::select_top_p(std::span<const float> logits, float best) {
  const double wanted = static_cast<double>(params_.top_p) * weigh_all(logits, best, 1.0);
  for (std::size_t k = 256;; k *= 8) {
    k = std::min(k, logits.size());
    collect_top(logits, k);
    const bool all = candidates_.size() < k || k == logits.size();
    // Too few by far more than the order of additions can change need not be sorted.
    double sum = 0;
    for (const Candidate& c : candidates_) sum += weights_[static_cast<std::size_t>(c.id)];
    if (!all && sum < wanted * (1 - 1e-9)) continue;
    sort_candidates();
    sum = 0;
    for (std::size_t kept = 0; kept < candidates_.size(); ++kept) {
      sum += weights_[static_cast<std::size_t>(candidates_[kept].id)];
      if (sum >= wanted) {
        candidates_.resize(kept + 1);
        return;
      }
    }
    if (all) return;
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
  double total = weigh_all(logits, best, static_cast<double>(params_.temperature));
  if (params_.min_p > 0) {
    const double least = least_weight(params_.min_p);
    total = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (!(weight(logits[i], best, 1.0) >= least)) weights_[i] = 0;
      total += weights_[i];
    }
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
