#include "engine/generate/decoding.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/tokenizer/unicode.h"

namespace bitnet {

Decoding::Decoding(const Tokenizer& tokenizer, std::span<const Token> prompt, const StopRules& stop,
                   OnText on_text)
    : tokenizer_(&tokenizer),
      max_tokens_(static_cast<std::size_t>(std::max(stop.max_tokens, 0))),
      eog_(stop.eog),
      on_text_(std::move(on_text)),
      scanner_(stop.strings),
      done_(stop.max_tokens == 0) {
  if (prompt.empty()) throw InputError("the prompt has no tokens; a model needs at least one to answer");
  if (stop.max_tokens < 0)
    throw InputError("max_tokens is " + std::to_string(stop.max_tokens) + "; it must not be negative");
  if (done_) return;
  // Room for most answers.
  const std::size_t expected = std::min<std::size_t>(max_tokens_, 4096);
  history_.reserve(prompt.size() + expected);
  history_.assign(prompt.begin(), prompt.end());
  result_.tokens.reserve(expected);
  scanner_.reserve(expected * 8);
}

void Decoding::take(Token token) {
  history_.push_back(token);
  result_.tokens.push_back(token);
  if (eog_ && tokenizer_->is_eog(token)) return finish(StopReason::eog);
  piece_.clear();
  tokenizer_->append_piece(token, piece_);
  if (scanner_.feed(piece_)) return finish(StopReason::stop_string);
  if (result_.tokens.size() == max_tokens_) return finish(StopReason::max_tokens);
  show(false);
}

void Decoding::finish(StopReason reason) {
  done_ = true;
  result_.reason = reason;
  scanner_.finish();
  show(true);
  result_.text = scanner_.text();
}

// Hands on what is settled and complete.
void Decoding::show(bool last) {
  if (!on_text_) return;
  std::string_view part = std::string_view(scanner_.text()).substr(shown_, scanner_.settled() - shown_);
  if (!last) part.remove_suffix(unicode::incomplete_tail(part));
  if (part.empty()) return;
  shown_ += part.size();
  on_text_(part);
}

}  // namespace bitnet
