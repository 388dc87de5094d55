// Whatever the bytes: nothing is lost, nothing is invented, and the same text gives the same tokens.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/test_vocabulary.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/unicode.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

constexpr std::array<const char*, 7> kPreTokenizers = {"default", "llama3",       "falcon3", "falcon",
                                                       "gpt-2",   "deepseek-llm", "qwen2"};
// SentencePiece, with a space before the text and without.
constexpr std::array<const char*, 9> kSchemes = {"default",      "llama3", "falcon3", "falcon",      "gpt-2",
                                                 "deepseek-llm", "qwen2",  "spm",     "spm-no-space"};

/// What the scanners and the merges tell apart: words, marks, digits and white space of several scripts,
/// contractions, special tokens, and bytes that are no UTF-8 (strays, overlong forms, surrogates, values too
/// high, ends cut off).
const std::vector<std::string>& fragments() {
  static const std::vector<std::string> all = {"hello",
                                               " the",
                                               " world",
                                               "a",
                                               "aaaa",
                                               "Z",
                                               "'s",
                                               "'LL",
                                               "'",
                                               "1",
                                               "123",
                                               "42",
                                               " ",
                                               "  ",
                                               "    ",
                                               "\n",
                                               "\r\n",
                                               "\t",
                                               "!",
                                               "...",
                                               "$",
                                               "`",
                                               "=",
                                               "_",
                                               "\u00E9",
                                               "\u00DF",
                                               "\u4F60\u597D",
                                               "\u3002",
                                               "\u00A0",
                                               "\u2028",
                                               "\u3000",
                                               "\u0301",
                                               "\u0661",
                                               "\u2167",
                                               "\u00B2",
                                               "\u200D",
                                               "\U0001F600",
                                               "\U0002EBF0",
                                               "\uFFFD",
                                               "<|eot_id|>",
                                               "<|begin_of_text|>",
                                               "<|eot",
                                               "_id|>",
                                               "<|",
                                               "|>",
                                               "\x80",
                                               "\xBF",
                                               "\xC0\x80",
                                               "\xC3",
                                               "\xE2\x82",
                                               "\xED\xA0\x80",
                                               "\xF0\x9F\x98",
                                               "\xF4\x90\x80\x80",
                                               "\xFF",
                                               std::string(1, '\0')};
  return all;
}

rc::Gen<std::string> texts() {
  const auto known = rc::gen::elementOf(fragments());
  const auto byte = rc::gen::map(rc::gen::inRange(0, 256), [](int b) {
    return std::string(1, static_cast<char>(static_cast<std::uint8_t>(b)));
  });
  const auto parts = rc::gen::container<std::vector<std::string>>(rc::gen::oneOf(known, known, known, byte));
  return rc::gen::map(parts, [](const std::vector<std::string>& all) {
    std::string text;
    for (const std::string& part : all) text += part;
    return text;
  });
}

bool is_spm(std::string_view scheme) {
  return scheme.starts_with("spm");
}

Tokenizer make(std::string_view scheme) {
  if (!is_spm(scheme)) return sample_vocabulary().make(std::string(scheme));
  SpmTestVocabulary v = sample_spm_vocabulary();
  v.add("<|eot_id|>", 0, TokenType::control);
  v.data.add_space_prefix = scheme == "spm";
  return v.make();
}

const Tokenizer& tokenizer(std::string_view scheme) {
  static const std::map<std::string_view, Tokenizer> all = [] {
    std::map<std::string_view, Tokenizer> made;
    for (const char* name : kSchemes) made.emplace(name, make(name));
    return made;
  }();
  return all.at(scheme);
}

const char* any_scheme() {
  return *rc::gen::elementOf(kSchemes);
}

/// What is left of a text: byte-level BPE shortens overlong forms. SentencePiece writes spaces as U+2581, and
/// takes every U+2581 for one, unless a sequence that is cut short swallows its first byte.
std::string kept(std::string_view scheme, const std::string& text) {
  if (!is_spm(scheme)) return unicode::without_overlong_forms(text);
  const std::string space = "\u2581";
  std::string escaped;
  for (const char c : text) escaped += c == ' ' ? space : std::string(1, c);
  std::string out;
  for (std::size_t pos = 0; pos < escaped.size();) {
    const auto first = static_cast<std::uint8_t>(escaped[pos]);
    const std::string character = escaped.substr(pos, first < 0xC0   ? 1
                                                      : first < 0xE0 ? 2
                                                      : first < 0xF0 ? 3
                                                                     : 4);
    out += character == space ? " " : character;
    pos += character.size();
  }
  return out;
}

CROSSVAL_PROPERTY(TokenizerProperties, DecodingUndoesEncoding, ()) {
  const char* scheme = any_scheme();
  const Tokenizer& t = tokenizer(scheme);
  const std::string text = *texts();
  RC_ASSERT(t.decode(t.encode(text, false, false)) == kept(scheme, text));
}

CROSSVAL_PROPERTY(TokenizerProperties, DecodingUndoesEncodingWithSpecialTokens, ()) {
  const char* scheme = any_scheme();
  RC_PRE(scheme != std::string_view("spm"));  // it puts spaces after special tokens, which stay
  const Tokenizer& t = tokenizer(scheme);
  const std::string text = *texts();
  RC_ASSERT(t.decode(t.encode(text, false, true), true) == kept(scheme, text));
}

CROSSVAL_PROPERTY(TokenizerProperties, DecodingJoinsThePieces, ()) {
  const char* scheme = any_scheme();
  const Tokenizer& t = tokenizer(scheme);
  const bool special = *rc::gen::arbitrary<bool>();
  const auto ids = *rc::gen::container<std::vector<Token>>(rc::gen::inRange<Token>(0, t.size()));
  std::string joined;
  for (const Token id : ids) joined += t.piece(id, special);
  const bool drops =
      scheme == std::string_view("spm") && !ids.empty() && t.piece(ids[0], special).starts_with(' ');
  RC_ASSERT(t.decode(ids, special) == joined.substr(drops ? 1 : 0));
}

CROSSVAL_PROPERTY(TokenizerProperties, PiecesAreTheTextInOrder, ()) {
  const std::string text = *texts();
  const CodePoints points(text);
  std::uint32_t last = 0;
  for (const std::uint32_t end : find_pre_tokenizer(*rc::gen::elementOf(kPreTokenizers))->split(points)) {
    RC_ASSERT(end > last);
    last = end;
  }
  RC_ASSERT(last == points.size());
  RC_ASSERT(points.offset.back() == text.size());
  for (std::uint32_t i = 0; i < points.size(); ++i) RC_ASSERT(points.offset[i] < points.offset[i + 1]);
}

CROSSVAL_PROPERTY(TokenizerProperties, EncodingIsAFunctionOfTheText, ()) {
  const char* scheme = any_scheme();
  const std::string text = *texts();
  const std::vector<Token> ids = tokenizer(scheme).encode(text, true, true);
  RC_ASSERT(tokenizer(scheme).encode(text, true, true) == ids);
  RC_ASSERT(make(scheme).encode(text, true, true) == ids);
}

CROSSVAL_PROPERTY(TokenizerProperties, TokensExistAndHoldAtLeastAByteEach, ()) {
  const char* scheme = any_scheme();
  const Tokenizer& t = tokenizer(scheme);
  const std::string text = *texts();
  const std::vector<Token> ids = t.encode(text, false, true);
  // SentencePiece may add a space to the text and after each special token.
  RC_ASSERT(ids.size() <= (is_spm(scheme) ? 2 * text.size() + 1 : text.size()));
  for (const Token id : ids) RC_ASSERT(id >= 0 && id < t.size());
}

CROSSVAL_PROPERTY(TokenizerProperties, ASpecialTokenSeparatesWhatIsAroundIt, ()) {
  const Tokenizer& t = tokenizer(any_scheme());
  const std::string before = *texts();
  const std::string after = *texts();
  std::vector<Token> expected = t.encode(before, false, true);
  expected.push_back(*t.find("<|eot_id|>"));
  for (const Token id : t.encode(after, false, true)) expected.push_back(id);
  RC_ASSERT(t.encode(before + "<|eot_id|>" + after, false, true) == expected);
}

}  // namespace
}  // namespace bitnet
