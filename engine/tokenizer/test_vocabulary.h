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

/// A SentencePiece vocabulary: <unk>, <s>, </s> and the 256 bytes, ids 0 to 258.
struct SpmTestVocabulary {
  static constexpr Token kFirstByte = 3;

  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  VocabData data;  // everything else; its views are filled by `view`

  SpmTestVocabulary() {
    data.source = "test.gguf";
    data.model = "llama";
    add("<unk>", 0, TokenType::unknown);
    add("<s>", 0, TokenType::control);
    add("</s>", 0, TokenType::control);
    for (int b = 0; b < 256; ++b) {
      constexpr char kHex[] = "0123456789ABCDEF";
      add({'<', '0', 'x', kHex[b / 16], kHex[b % 16], '>'}, 0, TokenType::byte);
    }
  }

  Token add(std::string text, float score, TokenType type = TokenType::normal) {
    tokens.push_back(std::move(text));
    scores.push_back(score);
    types.push_back(static_cast<std::int32_t>(type));
    return static_cast<Token>(tokens.size() - 1);
  }

  /// Views into this object.
  VocabData view() const {
    VocabData v = data;
    v.tokens.assign(tokens.begin(), tokens.end());
    v.types = types;
    v.scores = scores;
    return v;
  }

  Tokenizer make() const { return Tokenizer(view(), Tokenizer::Options{}); }
};

/// Letters, words, and runs of spaces and of the letter a; the longer the token, the lower its score, and
/// some share theirs.
inline SpmTestVocabulary sample_spm_vocabulary() {
  SpmTestVocabulary v;
  const std::string space = "\u2581";
  v.add("aaaa", -4);
  for (const char* text : {"he", "ll", "wo", "rl", "aa"}) v.add(text, -1);
  v.add("hell", -2);
  v.add("hello", -3);
  v.add(space + "hello", -4);
  v.add(space + "t", -1.5f);
  v.add(space + "the", -3);
  v.add("world", -5);
  v.add(space + "world", -6);
  v.add("worl", -4.5f);
  v.add(space + space, -0.5f);
  v.add(space + space + space + space, -0.75f);
  v.add("\u00E9", -7);
  v.add("\u4F60\u597D", -8);
  for (const char c : std::string_view("abcdehlortw'.")) v.add(std::string(1, c), -100);
  v.add(space, -100);
  return v;
}

}  // namespace bitnet
