#pragma once
// The decode loop: a prompt in, an answer out, for any model that gives logits.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

/// Receives the answer as it grows. Sequences of UTF-8 arrive whole: only bytes that belong to none come as
/// they are, at the latest when the answer ends. All parts together are Generation::text.
using OnText = std::function<void(std::string_view part)>;

struct GenerateOptions {
  SamplingParams sampling;
  StopRules stop;
};

struct Generation {
  std::vector<Token>
      tokens;        // all that were drawn, the end-of-generation token or those of a stop string included
  std::string text;  // their pieces without special tokens, up to the stop string
  StopReason reason = StopReason::max_tokens;
};

/// Throws InputError for an empty prompt, a negative limit, an empty stop string, sampling parameters out of
/// range, and a model whose logits are not one per token of the vocabulary. What `evaluate` and `on_text`
/// throw passes through.
Generation generate(const Tokenizer& tokenizer, const EvaluateNext& evaluate, std::span<const Token> prompt,
                    const GenerateOptions& options, const OnText& on_text = {});

/// Greedy decoding by a model that picks its tokens itself. Throws as above.
Generation generate_greedy(const Tokenizer& tokenizer, const PickNext& pick, std::span<const Token> prompt,
                           const StopRules& stop, const OnText& on_text = {});

}  // namespace bitnet
