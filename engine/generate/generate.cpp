#include "engine/generate/generate.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/tokenizer/unicode.h"

namespace bitnet {
namespace {

/// Hands on what is settled and complete.
class Stream {
 public:
  explicit Stream(const OnText& on_text) : on_text_(on_text) {}

  void show(const StopScanner& scanner, bool last) {
    if (!on_text_) return;
    std::string_view part = std::string_view(scanner.text()).substr(shown_, scanner.settled() - shown_);
    if (!last) part.remove_suffix(unicode::incomplete_tail(part));
    if (part.empty()) return;
    shown_ += part.size();
    on_text_(part);
  }

 private:
  const OnText& on_text_;
  std::size_t shown_ = 0;
};

/// The loop; draw(tokens, history) evaluates the tokens and returns what follows.
template <class Draw>
Generation decode(const Tokenizer& tokenizer, Draw&& draw, std::span<const Token> prompt,
                  const StopRules& stop, const OnText& on_text) {
  if (prompt.empty()) throw InputError("the prompt has no tokens; a model needs at least one to answer");
  if (stop.max_tokens < 0)
    throw InputError("max_tokens is " + std::to_string(stop.max_tokens) + "; it must not be negative");
  StopScanner scanner(stop.strings);
  Stream stream(on_text);
  Generation result;
  if (stop.max_tokens == 0) return result;

  // Room for most answers, so that a drawn token allocates nothing.
  const auto expected = static_cast<std::size_t>(std::min(stop.max_tokens, 4096));
  std::vector<Token> history(prompt.begin(), prompt.end());
  history.reserve(history.size() + expected);
  result.tokens.reserve(expected);
  scanner.reserve(expected * 8);
  std::string piece;

  std::span<const Token> next = prompt;
  while (true) {
    const Token token = draw(next, std::span<const Token>(history));
    history.push_back(token);
    result.tokens.push_back(token);
    if (stop.eog && tokenizer.is_eog(token)) {
      result.reason = StopReason::eog;
      break;
    }
    piece.clear();
    tokenizer.append_piece(token, piece);
    if (scanner.feed(piece)) {
      result.reason = StopReason::stop_string;
      break;
    }
    if (result.tokens.size() == static_cast<std::size_t>(stop.max_tokens)) break;
    stream.show(scanner, false);
    next = std::span<const Token>(history).last(1);
  }
  scanner.finish();
  stream.show(scanner, true);
  result.text = scanner.text();
  return result;
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

}  // namespace bitnet
