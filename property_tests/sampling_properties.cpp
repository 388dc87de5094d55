// Sampling: the token that a seed draws is the one that a sampler which sorts everything draws, and tokens
// come as often as their probabilities say.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "engine/generate/test_sampling.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

using namespace testing_support;

/// Logits as models give them, and as they make work for a sampler: equal ones, rising ones, none at all.
std::vector<float> any_logits(std::size_t n) {
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  const int kind = *rc::gen::inRange(0, 4);
  const float spread = *rc::gen::element(0.1f, 1.0f, 3.0f, 30.0f);
  std::vector<float> logits(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (kind == 0) {
      double sum = 0;
      for (int k = 0; k < 12; ++k) sum += random.uniform();
      logits[i] = static_cast<float>(sum - 6) * spread;
    } else if (kind == 1) {
      logits[i] = static_cast<float>(random.next() % 5) * spread;
    } else {
      logits[i] = static_cast<float>(kind == 2 ? i : n - i) * spread * 1e-3f;
    }
  }
  RC_LOG() << n << " logits of kind " << kind << ", spread " << spread << "\n";
  return logits;
}

SamplingParams any_params() {
  SamplingParams p;
  p.temperature = *rc::gen::element(0.0f, 0.3f, 0.8f, 1.0f, 2.0f);
  p.top_k = *rc::gen::element(0, 1, 2, 7, 40, 300, 5000);
  p.top_p = *rc::gen::element(0.0f, 0.1f, 0.45f, 0.95f, 0.9999f, 1.0f);
  p.min_p = *rc::gen::element(0.0f, 0.0f, 0.001f, 0.1f, 1.0f);
  p.repetition_penalty = *rc::gen::element(1.0f, 1.0f, 1.1f, 0.5f, 3.0f);
  p.repetition_window = *rc::gen::element(-1, 0, 3, 64);
  p.seed = *rc::gen::arbitrary<std::uint64_t>();
  RC_LOG() << "temperature " << p.temperature << ", top-k " << p.top_k << ", top-p " << p.top_p << ", min-p "
           << p.min_p << ", penalty " << p.repetition_penalty << " over " << p.repetition_window << "\n";
  return p;
}

std::vector<Token> any_history(std::size_t n) {
  return *rc::gen::container<std::vector<Token>>(*rc::gen::inRange<std::size_t>(0, 20),
                                                 rc::gen::inRange(0, static_cast<Token>(n)));
}

CROSSVAL_PROPERTY(SamplingProperties, a_seed_draws_what_a_sort_draws, ()) {
  const auto n = *rc::gen::weightedOneOf<std::size_t>(
      {{3, rc::gen::inRange<std::size_t>(1, 600)}, {1, rc::gen::inRange<std::size_t>(600, 12000)}});
  std::vector<float> logits = any_logits(n);
  for (const std::size_t i : *rc::gen::container<std::vector<std::size_t>>(
           *rc::gen::inRange<std::size_t>(0, 4), rc::gen::inRange<std::size_t>(0, n)))
    logits[i] = *rc::gen::element(std::numeric_limits<float>::quiet_NaN(),
                                  -std::numeric_limits<float>::infinity(), 0.0f, -0.0f, 1e4f);
  const std::size_t one = *rc::gen::inRange<std::size_t>(0, n);
  if (!(logits[one] > -1e30f)) logits[one] = 1;  // that there is one
  const SamplingParams params = any_params();
  const std::vector<Token> history = any_history(n);
  Sampler sampler(params);
  Random random(params.seed);
  for (int i = 0; i < 10; ++i)
    RC_ASSERT(sampler.sample(logits, history) == plain_sample(logits, params, history, random));
}

CROSSVAL_PROPERTY(SamplingProperties, tokens_come_as_often_as_they_should, ()) {
  constexpr int kDraws = 3000;
  const auto n = *rc::gen::inRange<std::size_t>(2, 80);
  const std::vector<float> logits = any_logits(n);
  SamplingParams params = any_params();
  if (params.temperature <= 0) params.temperature = 1.3f;
  const std::vector<Token> history = any_history(n);
  const auto probabilities = plain_probabilities(logits, params, history);
  Sampler sampler(params);
  std::map<Token, int> count;
  for (int i = 0; i < kDraws; ++i) ++count[sampler.sample(logits, history)];
  for (const auto& [token, times] : count) RC_ASSERT(probabilities.contains(token));
  const ChiSquare found = chi_square(probabilities, count, kDraws, 20);
  // Seldom enough for many runs of many cases.
  if (found.cells > 1) RC_ASSERT(found.value < chi_square_limit(found.cells - 1, 8));
}

}  // namespace
}  // namespace bitnet
