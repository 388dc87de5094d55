#pragma once
// The decode loop: a prompt in, an answer out, for any model that gives logits.

#include <cstdint>
#include <functional>
#include <span>

#include "engine/generate/decoding.h"
#include "engine/generate/sampling.h"
#include "engine/generate/stop.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet {

/// Evaluates `tokens` after everything evaluated before and returns the logits that follow the last of them
/// (n_vocab). They need to live until the next call only. First called with the whole prompt, then with one
/// token each.
using EvaluateNext = std::function<std::span<const float>(std::span<const Token> tokens)>;

/// The same for greedy decoding: evaluates `tokens` and returns the next one, which is what a Sampler at
/// temperature 0 and without penalty would make of the logits.
using PickNext = std::function<Token(std::span<const Token> tokens)>;

struct GenerateOptions {
  SamplingParams sampling;
  StopRules stop;
};

/// Throws InputError for an empty prompt, a negative limit, an empty stop string, sampling parameters out of
/// range, and a model whose logits are not one per token of the vocabulary. What `evaluate` and `on_text`
/// throw passes through.
Generation generate(const Tokenizer& tokenizer, const EvaluateNext& evaluate, std::span<const Token> prompt,
                    const GenerateOptions& options, const OnText& on_text = {});

/// Greedy decoding by a model that picks its tokens itself. Throws as above.
Generation generate_greedy(const Tokenizer& tokenizer, const PickNext& pick, std::span<const Token> prompt,
                           const StopRules& stop, const OnText& on_text = {});

/// `best`, which has the largest logit. Throws SystemError where no logit is above minus infinity, as
/// Sampler::sample does.
Token token_of(Token best, float logit);

/// How many tokens an answer may have, so that the context holds prompt and answer. Throws InputError where
/// that is none.
int room_for_answer(std::size_t prompt_tokens, std::int64_t n_ctx);

}  // namespace bitnet
