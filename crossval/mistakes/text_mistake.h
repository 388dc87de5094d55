#pragma once
// Known mistakes between a text and its token ids.

#include <functional>
#include <string_view>
#include <vector>

#include "engine/gguf/gguf.h"
#include "engine/tokenizer/tokenizer.h"

namespace crossval {

/// A text as a participant is asked for it.
struct TextAsked {
  std::string_view text;
  bool add_special = false;
  bool parse_special = false;
};

using Retokenize = std::function<std::vector<bitnet::Token>(const TextAsked&)>;

struct TextMistake {
  std::string_view name;   // "double-bos"
  std::string_view as_if;  // goes after "differ as if"
  /// Nothing where this vocabulary leaves no room for the mistake. File and tokenizer must outlive it.
  std::function<Retokenize(const bitnet::gguf::File&, const bitnet::Tokenizer&)> make;
};

/// All of them; the order is that in which explanations are tried.
const std::vector<TextMistake>& text_mistakes();
/// Null where none has the name.
const TextMistake* find_text_mistake(std::string_view name);

/// The first mistake that turns the text into just these ids; null where none does.
const TextMistake* explain_tokens(const bitnet::gguf::File& file, const bitnet::Tokenizer& tokenizer,
                                  const TextAsked& asked, const std::vector<bitnet::Token>& ids);

}  // namespace crossval
