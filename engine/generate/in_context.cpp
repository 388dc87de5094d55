#include "engine/generate/in_context.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace bitnet {

std::int64_t common_prefix(std::span<const Token> prompt, std::span<const Token> evaluated) {
  if (prompt.empty()) return 0;
  return std::ranges::mismatch(prompt.first(prompt.size() - 1), evaluated).in2 - evaluated.begin();
}

Generation generate(Context& context, int sequence, std::span<const Token> prompt,
                    const GenerateOptions& options, const OnText& on_text) {
  const std::int64_t common = common_prefix(prompt, context.tokens(sequence));
  context.truncate(sequence, common);
  auto known = static_cast<std::size_t>(common);  // of the tokens to be evaluated
  std::vector<BatchRow> rows;
  const auto rows_of = [&](std::span<const Token> tokens) {
    rows.clear();
    for (const Token token : tokens.subspan(std::exchange(known, 0)))
      rows.push_back({.token = token, .sequence = sequence, .logits = false});
    rows.back().logits = true;
    return std::span<const BatchRow>(rows);
  };
  const auto pick = [&](std::span<const Token> tokens) {
    const Pick best = context.forward_greedy(rows_of(tokens)).front();
    return token_of(best.token, best.logit);
  };
  const auto evaluate = [&](std::span<const Token> tokens) { return context.forward(rows_of(tokens)); };
  const Tokenizer& tokenizer = context.model().tokenizer();
  return options.sampling.greedy() ? generate_greedy(tokenizer, pick, prompt, options.stop, on_text)
                                   : generate(tokenizer, evaluate, prompt, options, on_text);
}

}  // namespace bitnet
