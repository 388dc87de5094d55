#pragma once
// An answer that grows token by token, whoever draws them.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/generate/stop.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet {

/// Receives the answer as it grows. Sequences of UTF-8 arrive whole: only bytes that belong to none come as
/// they are, at the latest when the answer ends. All parts together are Generation::text.
using OnText = std::function<void(std::string_view part)>;

struct Generation {
  std::vector<Token>
      tokens;        // all that were drawn, the end-of-generation token or those of a stop string included
  std::string text;  // their pieces without special tokens, up to the stop string
  StopReason reason = StopReason::max_tokens;
};

/// The tokenizer must outlive it.
class Decoding {
 public:
  /// Throws InputError for an empty prompt, a negative limit and an empty stop string.
  Decoding(const Tokenizer& tokenizer, std::span<const Token> prompt, const StopRules& stop, OnText on_text);

  /// Whether the answer is complete: from the start where the limit is 0.
  bool done() const { return done_; }
  /// Adds the token that was drawn; not once it is done. A token allocates nothing in most answers.
  void take(Token token);
  /// Prompt and answer.
  std::span<const Token> history() const { return history_; }
  /// What it came to, once it is done.
  Generation result() && { return std::move(result_); }

 private:
  void show(bool last);
  void finish(StopReason reason);

  const Tokenizer* tokenizer_;
  std::size_t max_tokens_;
  bool eog_;
  OnText on_text_;
  StopScanner scanner_;
  std::size_t shown_ = 0;  // bytes of the text
  std::vector<Token> history_;
  std::string piece_;
  Generation result_;
  bool done_ = false;
};

}  // namespace bitnet
