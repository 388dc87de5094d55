#include "engine/generate/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "engine/error.h"
#include "engine/generate/test_sampling.h"
#include "engine/test_allocations.h"

namespace bitnet {
namespace {

using namespace testing_support;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Roughly normal logits.
std::vector<float> random_logits(std::size_t n, std::uint64_t seed, float scale = 2) {
  Random random(seed);
  std::vector<float> logits(n);
  for (float& x : logits) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += random.uniform();
    x = static_cast<float>(sum - 6) * scale;
  }
  return logits;
}

void expect_distribution(const std::vector<float>& logits, const SamplingParams& params,
                         const std::vector<Token>& history = {}, int draws = 40000) {
  const auto expected = plain_probabilities(logits, params, history);
  Sampler sampler(params);
  std::map<Token, int> count;
  for (int i = 0; i < draws; ++i) ++count[sampler.sample(logits, history)];
  for (const auto& [token, n] : count)
    ASSERT_TRUE(expected.contains(token)) << token << " drawn " << n << " times";
  const ChiSquare found = chi_square(expected, count, draws, 10);
  if (found.cells > 1) {
    EXPECT_LT(found.value, chi_square_limit(found.cells - 1)) << found.cells << " cells";
  }
}

TEST(Sampling, GreedyTakesTheLowestOfEquals) {
  Sampler greedy({});
  const std::vector<float> logits = {1, 3, 3, 2};
  EXPECT_EQ(greedy.sample(logits, {}), 1);
  const std::vector<float> one = {-5};
  EXPECT_EQ(greedy.sample(one, {}), 0);
  std::vector<float> many(1000, 0.5f);
  EXPECT_EQ(greedy.sample(many, {}), 0);
  many[999] = 0.75f;
  EXPECT_EQ(greedy.sample(many, {}), 999);
  many[17] = 0.75f;
  EXPECT_EQ(greedy.sample(many, {}), 17);
}

std::vector<SamplingParams> every_path() {
  std::vector<SamplingParams> all;
  for (const float temperature : {0.0f, 1.0f}) {
    for (const int top_k : {0, 3}) {
      for (const float top_p : {1.0f, 0.9f}) {
        for (const float min_p : {0.0f, 0.01f}) {
          SamplingParams p;
          p.temperature = temperature;
          p.top_k = top_k;
          p.top_p = top_p;
          p.min_p = min_p;
          p.seed = 5;
          all.push_back(p);
        }
      }
    }
  }
  return all;
}

TEST(Sampling, NanAndInfinityAreHandledOnEveryPath) {
  const std::vector<float> nans = {kNan, 1, kNan, 2, -kInf, kNan};
  const std::vector<float> infinite = {0, kInf, kNan, kInf, 3};
  const std::vector<float> nothing = {kNan, -kInf, kNan};
  for (const SamplingParams& p : every_path()) {
    Sampler sampler(p);
    for (int i = 0; i < 200; ++i) {
      const Token a = sampler.sample(nans, {});
      EXPECT_TRUE(a == 1 || a == 3) << a;
      const Token b = sampler.sample(infinite, {});
      EXPECT_TRUE(b == 1 || b == 3) << b;
    }
    EXPECT_THROW(sampler.sample(nothing, {}), SystemError);
    EXPECT_THROW(sampler.sample({}, {}), SystemError);
  }
}

TEST(Sampling, RefusesParametersThatMeanNothing) {
  const auto refused = [](auto set) {
    SamplingParams p;
    set(p);
    EXPECT_THROW(Sampler{p}, InputError);
  };
  refused([](SamplingParams& p) { p.temperature = kNan; });
  refused([](SamplingParams& p) { p.temperature = kInf; });
  refused([](SamplingParams& p) { p.top_p = kNan; });
  refused([](SamplingParams& p) { p.min_p = kNan; });
  refused([](SamplingParams& p) { p.repetition_penalty = 0; });
  refused([](SamplingParams& p) { p.repetition_penalty = -1; });
  refused([](SamplingParams& p) { p.repetition_penalty = kNan; });
}

TEST(Sampling, RepetitionPenalty) {
  SamplingParams p;
  p.repetition_penalty = 2;
  p.repetition_window = 2;
  const std::vector<float> logits = {4, 3, -1, -1.5f};
  const auto pick = [&](std::vector<Token> history) { return Sampler(p).sample(logits, history); };
  EXPECT_EQ(pick({}), 0);
  EXPECT_EQ(pick({0}), 1);
  EXPECT_EQ(pick({0, 2, 2}), 0);  // out of the window
  EXPECT_EQ(pick({0, 1}), 0);     // both are penalised
  EXPECT_EQ(pick({1, 0, 0}), 1);  // 1 is out of the window
  EXPECT_EQ(pick({-1, 99}), 0);   // ids that do not exist are passed over
  p.repetition_window = -1;
  EXPECT_EQ(pick({0, 2, 2, 2, 2}), 1);  // all
  p.repetition_window = 0;
  EXPECT_EQ(pick({0}), 0);
  const std::vector<float> near = {4, 1.5f};
  p.repetition_window = 64;
  const std::vector<Token> twice = {0, 0};
  EXPECT_EQ(Sampler(p).sample(near, twice), 0);  // penalised once: 4 / 2 > 1.5 > 4 / 2 / 2
  const std::vector<float> negative = {-1, -1.5f};
  p.repetition_window = 64;
  const std::vector<Token> history = {0};
  EXPECT_EQ(Sampler(p).sample(negative, history), 1);  // a negative logit is multiplied
}

TEST(Sampling, SameSeedSameTokens) {
  const auto logits = random_logits(500, 1);
  SamplingParams p;
  p.temperature = 0.9f;
  const auto draw = [&](std::uint64_t seed) {
    p.seed = seed;
    Sampler sampler(p);
    std::vector<Token> out;
    for (int i = 0; i < 100; ++i) out.push_back(sampler.sample(logits, {}));
    return out;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
}

// Computed by a program of its own, in another language: the stream, exp and the order of the draw, on any
// platform.
TEST(Sampling, TheTokensOfASeed) {
  std::vector<float> logits(64);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 37 % 64) / 8;
  SamplingParams p;
  p.temperature = 1.5f;
  p.seed = 42;
  const auto draw = [&] {
    Sampler sampler(p);
    std::vector<Token> out;
    for (int i = 0; i < 12; ++i) out.push_back(sampler.sample(logits, {}));
    return out;
  };
  EXPECT_EQ(draw(), (std::vector<Token>{6, 24, 43, 57, 62, 50, 44, 55, 50, 38, 43, 19}));
  p.top_k = 10;
  EXPECT_EQ(draw(), (std::vector<Token>{19, 57, 50, 43, 62, 5, 5, 24, 5, 31, 50, 57}));
}

TEST(Sampling, DistributionOfEachRuleAndOfAllTogether) {
  const auto logits = random_logits(200, 2);
  SamplingParams p;
  p.temperature = 1;
  p.seed = 100;
  expect_distribution(logits, p);
  p.temperature = 0.7f;
  expect_distribution(logits, p);
  p.temperature = 2;
  expect_distribution(logits, p);
  p.top_k = 40;
  expect_distribution(logits, p);
  p.top_p = 0.9f;
  expect_distribution(logits, p);
  p.min_p = 0.05f;
  expect_distribution(logits, p);
  p.repetition_penalty = 1.3f;
  expect_distribution(logits, p, {1, 5, 5, 9, 199, 17, 3});
  p.top_k = 0;
  expect_distribution(logits, p, {1, 5, 5, 9, 199, 17, 3});
  p.min_p = 0;
  p.top_p = 0.5f;
  expect_distribution(logits, p);
  p.top_p = 1;
  p.min_p = 0.1f;
  expect_distribution(logits, p);
}

TEST(Sampling, EqualLogitsAreCutByTheirIds) {
  std::vector<float> logits(200, 1.0f);
  logits[150] = 2;
  SamplingParams p;
  p.temperature = 1;
  p.top_k = 4;
  expect_distribution(logits, p);  // 150, 0, 1 and 2, nothing else
  p.top_k = 0;
  p.top_p = 0.02f;
  expect_distribution(logits, p);
}

TEST(Sampling, ManyMoreLogitsThanTheBufferHolds) {
  // Rising logits fill the buffer again and again; top-p needs more than its first guess.
  std::vector<float> logits(5000);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i) * 1e-3f;
  SamplingParams p;
  p.temperature = 1;
  p.top_k = 50;
  expect_distribution(logits, p, {}, 5000);
  p.top_k = 0;
  p.top_p = 0.6f;  // the best 900 or so
  expect_distribution(logits, p, {}, 5000);
  p.top_p = 0.9999f;  // nearly all
  expect_distribution(logits, p, {}, 1000);
}

// Nearly even chances among the k best, so that all of them are drawn and nothing else is.
TEST(Sampling, TopKIsTheRightSet) {
  Random random(6);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> logits(2000);
    for (float& x : logits) x = static_cast<float>(random.next() % 400) * 1e-3f;
    SamplingParams p;
    p.temperature = 1000;
    p.top_k = 1 + static_cast<int>(random.next() % 6);
    p.seed = random.next();
    const auto expected = plain_probabilities(logits, p, {});
    Sampler sampler(p);
    std::set<Token> drawn;
    for (int i = 0; i < 200; ++i) drawn.insert(sampler.sample(logits, {}));
    std::set<Token> wanted;
    for (const auto& [token, probability] : expected) wanted.insert(token);
    ASSERT_EQ(drawn, wanted);
  }
}

TEST(Sampling, ADrawnTokenAllocatesNothing) {
  const auto logits = random_logits(10000, 4);
  const std::vector<Token> history = {1, 2, 3};
  for (SamplingParams p : every_path()) {
    p.repetition_penalty = 1.1f;
    Sampler sampler(p);
    for (int i = 0; i < 3; ++i) sampler.sample(logits, history);
    const long before = test_allocations().count;
    for (int i = 0; i < 30; ++i) sampler.sample(logits, history);
    EXPECT_EQ(test_allocations().count, before);
  }
}

}  // namespace
}  // namespace bitnet
