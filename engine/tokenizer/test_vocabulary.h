#pragma once
// Small vocabularies for tests, made in memory.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tokenizer/byte_alphabet.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {

/// Starts with the 256 byte symbols, ids 0 to 255 in the order of the bytes, and no merges.
struct TestVocabulary {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<std::string> merges;
  VocabData data;  // everything else; its views are filled by `view`

  TestVocabulary() {
    data.source = "test.gguf";
    data.model = "gpt2";
    for (int b = 0; b < 256; ++b) add(byte_symbol(static_cast<std::uint8_t>(b)));
  }

  Token add(std::string_view text, TokenType type = TokenType::normal) {
    tokens.emplace_back(text);
    types.push_back(static_cast<std::int32_t>(type));
    return static_cast<Token>(tokens.size() - 1);
  }

  /// The rule that joins `left` and `right` (in the byte alphabet), and its token unless there is one.
  Token add_merge(std::string_view left, std::string_view right) {
    merges.push_back(std::string(left) + " " + std::string(right));
    const std::string text = std::string(left) + std::string(right);
    const auto found = std::find(tokens.begin(), tokens.end(), text);
    return found != tokens.end() ? static_cast<Token>(found - tokens.begin()) : add(text);
  }

  /// Views into this object.
  VocabData view() const {
    VocabData v = data;
    v.tokens.assign(tokens.begin(), tokens.end());
    v.types = types;
    v.merges.emplace(merges.begin(), merges.end());
    return v;
  }

  Tokenizer make(const std::string& pre = "") const { return Tokenizer(view(), Tokenizer::Options{pre}); }
};

/// English-like merges, runs of the letter a, spaces and digits, and Llama 3's special tokens.
inline TestVocabulary sample_vocabulary() {
  TestVocabulary v;
  const std::pair<std::string_view, std::string_view> merges[] = {
      {"h", "e"},   {"l", "l"},       {"\u0120", "t"},      {"\u0120t", "he"},
      {"he", "ll"}, {"hell", "o"},    {"\u0120", "w"},      {"o", "r"},
      {"or", "l"},  {"orl", "d"},     {"\u0120w", "orld"},  {"a", "a"},
      {"aa", "aa"}, {"aaaa", "aaaa"}, {"\u0120", "\u0120"}, {"\u0120\u0120", "\u0120\u0120"},
      {"1", "2"},   {"12", "3"},      {"\u00C3", "\u00A9"}, {"\u010A", "\u010A"}};
  for (const auto& [left, right] : merges) v.add_merge(left, right);
  v.data.ids = {{"bos_token_id", static_cast<std::uint32_t>(v.add("<|begin_of_text|>", TokenType::control))},
                {"eos_token_id", static_cast<std::uint32_t>(v.add("<|end_of_text|>", TokenType::control))}};
  v.add("<|start_header_id|>", TokenType::control);
  v.add("<|end_header_id|>", TokenType::control);
  v.add("<|eot_id|>", TokenType::control);
  return v;
}

}  // namespace bitnet
