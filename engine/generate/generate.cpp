#include "engine/generate/generate.h"

#include <limits>

#include "engine/error.h"

namespace bitnet {
namespace {

/// The loop; draw(tokens, history) evaluates the tokens and returns what follows.
template <class Draw>
Generation decode(const Tokenizer& tokenizer, Draw&& draw, std::span<const Token> prompt,
                  const StopRules& stop, const OnText& on_text) {
  Decoding decoding(tokenizer, prompt, stop, on_text);
  for (std::span<const Token> next = prompt; !decoding.done(); next = decoding.history().last(1))
    decoding.take(draw(next, decoding.history()));
  return std::move(decoding).result();
}

}  // namespace

Generation generate(const Tokenizer& tokenizer, const EvaluateNext& evaluate, std::span<const Token> prompt,
                    const GenerateOptions& options, const OnText& on_text) {
  Sampler sampler(options.sampling);
  const auto draw = [&](std::span<const Token> next, std::span<const Token> history) {
    const std::span<const float> logits = evaluate(next);
    if (logits.size() != static_cast<std::size_t>(tokenizer.size())) {
      throw InputError("the model gives " + std::to_string(logits.size()) +
                       " logits, but the vocabulary has " + std::to_string(tokenizer.size()) + " tokens");
    }
    return sampler.sample(logits, history);
  };
  return decode(tokenizer, draw, prompt, options.stop, on_text);
}

Generation generate_greedy(const Tokenizer& tokenizer, const PickNext& pick, std::span<const Token> prompt,
                           const StopRules& stop, const OnText& on_text) {
  const auto draw = [&](std::span<const Token> next, std::span<const Token>) { return pick(next); };
  return decode(tokenizer, draw, prompt, stop, on_text);
}

Token token_of(Token best, float logit) {
  if (!(logit > -std::numeric_limits<float>::infinity()))
    throw SystemError("no logit is a number above minus infinity");
  return best;
}

int room_for_answer(std::size_t prompt_tokens, std::int64_t n_ctx) {
  const auto prompt = static_cast<std::int64_t>(prompt_tokens);
  if (prompt >= n_ctx)
    throw InputError("the prompt has " + std::to_string(prompt) +
                     " tokens, which leaves no room in the context of " + std::to_string(n_ctx) +
                     "; shorten it");
  return static_cast<int>(n_ctx - prompt);
}

}  // namespace bitnet
