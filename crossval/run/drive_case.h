#pragma once
// One participant driven through a case: the prompt, then one token per step, its own picks or the case's
// continuation.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "crossval/run/answer.h"
#include "crossval/run/plan.h"
#include "engine/generate/sampling.h"
#include "reference/participant.h"

namespace crossval {

/// Calls `evaluate(step, tokens, last_of_step)`, which returns the logits of the last row, for at most
/// `tokens_per_evaluation` tokens at a time, and `on_step(tokens)` after each step. Returns the number of
/// positions.
template <class Evaluate, class OnStep>
std::int64_t drive_case(const PlannedCase& c, const bitnet::Tokenizer& tokenizer,
                        std::int64_t tokens_per_evaluation, Evaluate evaluate, OnStep on_step) {
  bitnet::Sampler sampler(c.spec.sampling);
  Answer answer(c.spec, tokenizer);
  std::vector<Token> fed = c.tokens, history = c.tokens;
  const auto n = static_cast<std::size_t>(tokens_per_evaluation);
  for (std::int64_t step = 0;; ++step) {
    std::span<const float> logits;
    for (std::size_t at = 0; at < fed.size(); at += n)
      logits = evaluate(step, std::span<const Token>(fed).subspan(at, std::min(n, fed.size() - at)),
                        at + n >= fed.size());
    on_step(fed);
    Token next = sampler.sample(logits, history);
    if (!c.spec.continuation.empty()) {
      if (step >= std::ssize(c.spec.continuation)) break;
      next = c.spec.continuation[static_cast<std::size_t>(step)];
    } else {
      if (answer.done()) break;
      answer.add(next);
      if (answer.done()) break;
    }
    history.push_back(next);
    fed.assign(1, next);
  }
  return std::ssize(history);
}

}  // namespace crossval
