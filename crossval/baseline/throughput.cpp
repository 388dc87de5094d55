#include "crossval/baseline/throughput.h"

#include <algorithm>
#include <chrono>

namespace crossval {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Spent {
  double prefill = 0, decode = 0;
  std::int64_t rounds = 0;
};

// Prompt and answer, until both have taken long enough.
Spent measure_once(Participant& participant, std::span<const Token> prompt, std::span<const Token> answer,
                   double least_seconds) {
  const TapId logits{bitnet::Tap::result_output, -1};
  const auto nothing = [](TapId) { return false; };
  const auto only_logits = [logits](TapId id) { return id == logits; };
  const auto ignore = [](Tensor&&) {};
  Spent spent;
  do {
    participant.reset();
    auto start = Clock::now();
    participant.eval(prompt, nothing, ignore);
    spent.prefill += seconds_since(start);
    start = Clock::now();
    for (std::size_t i = 0; i < answer.size(); ++i)
      participant.eval(answer.subspan(i, 1), only_logits, ignore);
    spent.decode += seconds_since(start);
    ++spent.rounds;
  } while (std::min(spent.prefill, spent.decode) < least_seconds);
  return spent;
}

}  // namespace

std::vector<Speed> measure_speed(Participant& participant, std::span<const Token> tokens, std::int64_t n_ctx,
                                 SpeedOptions options) {
  options.prompt = std::clamp<std::int64_t>(n_ctx * 3 / 4, 1, options.prompt);
  options.generated = std::clamp<std::int64_t>(n_ctx - options.prompt, 1, options.generated);
  std::vector<Token> fed;
  for (std::int64_t i = 0; i < options.prompt + options.generated; ++i)
    fed.push_back(tokens[static_cast<std::size_t>(i) % tokens.size()]);
  const std::span all(fed);
  const auto prompt = all.first(static_cast<std::size_t>(options.prompt));
  const auto answer = all.subspan(prompt.size());

  // No case of any suite: nothing about it can be known beforehand.
  participant.begin_case("\x01speed");
  std::vector<Speed> speeds;
  speeds.push_back({.phase = "prefill", .tokens = options.prompt, .tokens_per_second = {}});
  speeds.push_back({.phase = "decode", .tokens = options.generated, .tokens_per_second = {}});
  const auto start = Clock::now();
  measure_once(participant, prompt, answer, 0);
  for (int i = 0; i < options.measurements; ++i) {
    if (i >= options.fewest && seconds_since(start) > options.enough_seconds) break;
    const Spent spent = measure_once(participant, prompt, answer, options.least_seconds);
    const double times[] = {spent.prefill, spent.decode};
    for (std::size_t phase = 0; phase < speeds.size(); ++phase) {
      speeds[phase].seconds += times[phase];
      speeds[phase].processed += speeds[phase].tokens * spent.rounds;
      speeds[phase].tokens_per_second.push_back(static_cast<double>(speeds[phase].tokens * spent.rounds) /
                                                times[phase]);
    }
  }
  participant.reset();
  return speeds;
}

void add_speeds(std::vector<Speed>& all, const std::vector<Speed>& more) {
  if (all.empty()) {
    all = more;
    return;
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].processed += more[i].processed;
    all[i].seconds += more[i].seconds;
    all[i].tokens_per_second.insert(all[i].tokens_per_second.end(), more[i].tokens_per_second.begin(),
                                    more[i].tokens_per_second.end());
  }
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double spread(std::vector<double> values) {
  if (values.size() < 2) return 0;
  std::ranges::sort(values);
  const std::size_t out = values.size() >= 5 ? 1 : 0;
  return values[values.size() - 1 - out] / values[out] - 1;
}

}  // namespace crossval
