#include "crossval/mistakes/text_mistake.h"

#include <algorithm>
#include <memory>
#include <string>

#include "engine/error.h"

namespace crossval {
namespace {

using bitnet::Token;
using bitnet::Tokenizer;
using bitnet::gguf::File;
using Ids = std::vector<Token>;

Ids sound(const Tokenizer& tokenizer, const TextAsked& asked) {
  return tokenizer.encode(asked.text, asked.add_special, asked.parse_special);
}

Retokenize double_bos(const File&, const Tokenizer& tokenizer) {
  if (!tokenizer.bos()) return {};
  return [&tokenizer](const TextAsked& asked) {
    Ids ids = sound(tokenizer, asked);
    if (asked.add_special) ids.insert(ids.begin(), *tokenizer.bos());
    return ids;
  };
}

Retokenize without_bos(const File&, const Tokenizer& tokenizer) {
  if (!tokenizer.bos() || !tokenizer.add_bos()) return {};
  return [&tokenizer](const TextAsked& asked) {
    Ids ids = sound(tokenizer, asked);
    if (asked.add_special && !ids.empty() && ids.front() == *tokenizer.bos()) ids.erase(ids.begin());
    return ids;
  };
}

Retokenize specials_as_text(const File&, const Tokenizer& tokenizer) {
  return [&tokenizer](const TextAsked& asked) {
    return sound(tokenizer, {asked.text, asked.add_special, /*parse_special=*/false});
  };
}

// The words of a text, each `from` replaced.
Retokenize rewritten(const Tokenizer& tokenizer, std::string_view from, std::string_view to) {
  return [&tokenizer, from, to](const TextAsked& asked) {
    std::string text(asked.text);
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
    return sound(tokenizer, {text, asked.add_special, asked.parse_special});
  };
}

std::function<Retokenize(const File&, const Tokenizer&)> rewrites(std::string_view from,
                                                                  std::string_view to) {
  return [from, to](const File&, const Tokenizer& tokenizer) { return rewritten(tokenizer, from, to); };
}

std::function<Retokenize(const File&, const Tokenizer&)> splits_as(std::string_view pre) {
  return [pre](const File& file, const Tokenizer& tokenizer) -> Retokenize {
    if (tokenizer.pre() == pre) return {};
    std::shared_ptr<const Tokenizer> other;
    try {
      other = std::make_shared<const Tokenizer>(file, Tokenizer::Options{.pre = std::string(pre)});
    } catch (const bitnet::InputError&) {
      return {};  // not a vocabulary of this kind
    }
    return [other](const TextAsked& asked) { return sound(*other, asked); };
  };
}

}  // namespace

const std::vector<TextMistake>& text_mistakes() {
  static const std::vector<TextMistake> kAll{
      {"double-bos", "BOS were added twice", double_bos},
      {"bos-missing", "BOS were not added", without_bos},
      {"specials-as-text", "special tokens were taken for plain text", specials_as_text},
      {"template-without-end-of-turn", "the chat template were one that does not end its turns",
       rewrites("<|eot_id|>", "")},
      {"template-single-line-feed", "the chat template had one line feed after each header",
       rewrites("<|end_header_id|>\n\n", "<|end_header_id|>\n")},
      {"pre-tokenizer-default", "the pre-tokenizer were `default`", splits_as("default")},
      {"pre-tokenizer-llama-bpe", "the pre-tokenizer were `llama-bpe`", splits_as("llama-bpe")},
      {"pre-tokenizer-gpt-2", "the pre-tokenizer were `gpt-2`", splits_as("gpt-2")},
      {"pre-tokenizer-falcon", "the pre-tokenizer were `falcon`", splits_as("falcon")},
      {"pre-tokenizer-qwen2", "the pre-tokenizer were `qwen2`", splits_as("qwen2")},
  };
  return kAll;
}

const TextMistake* find_text_mistake(std::string_view name) {
  const auto it = std::ranges::find(text_mistakes(), name, &TextMistake::name);
  return it == text_mistakes().end() ? nullptr : &*it;
}

const TextMistake* explain_tokens(const File& file, const Tokenizer& tokenizer, const TextAsked& asked,
                                  const Ids& ids) {
  if (sound(tokenizer, asked) == ids) return nullptr;
  for (const TextMistake& mistake : text_mistakes())
    if (const Retokenize retokenize = mistake.make(file, tokenizer); retokenize && retokenize(asked) == ids)
      return &mistake;
  return nullptr;
}

}  // namespace crossval
