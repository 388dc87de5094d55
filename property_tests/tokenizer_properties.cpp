// Whatever the bytes: nothing is lost, nothing is invented, and the same text gives the same tokens.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/test_vocabulary.h"
#include "engine/tokenizer/tokenizer.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

constexpr std::array<const char*, 5> kSchemes = {"default", "llama3", "falcon3", "falcon", "gpt-2"};

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

const Tokenizer& tokenizer(const char* scheme) {
  static const std::vector<Tokenizer> all = [] {
    std::vector<Tokenizer> made;
    for (const char* name : kSchemes) made.push_back(sample_vocabulary().make(name));
    return made;
  }();
  for (std::size_t i = 0; i < kSchemes.size(); ++i) {
    if (kSchemes[i] == scheme) return all[i];
  }
  throw std::logic_error("no such scheme");
}

const char* any_scheme() {
  return *rc::gen::elementOf(kSchemes);
}

CROSSVAL_PROPERTY(TokenizerProperties, DecodingUndoesEncoding, ()) {
  const Tokenizer& t = tokenizer(any_scheme());
  const std::string text = *texts();
  RC_ASSERT(t.decode(t.encode(text, false, false)) == text);
}

CROSSVAL_PROPERTY(TokenizerProperties, DecodingUndoesEncodingWithSpecialTokens, ()) {
  const Tokenizer& t = tokenizer(any_scheme());
  const std::string text = *texts();
  RC_ASSERT(t.decode(t.encode(text, false, true), true) == text);
}

CROSSVAL_PROPERTY(TokenizerProperties, PiecesAreTheTextInOrder, ()) {
  const std::string text = *texts();
  const CodePoints points(text);
  std::uint32_t last = 0;
  for (const std::uint32_t end : find_pre_tokenizer(any_scheme())->split(points)) {
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
  RC_ASSERT(sample_vocabulary().make(scheme).encode(text, true, true) == ids);
}

CROSSVAL_PROPERTY(TokenizerProperties, TokensExistAndHoldAtLeastAByteEach, ()) {
  const Tokenizer& t = tokenizer(any_scheme());
  const std::string text = *texts();
  const std::vector<Token> ids = t.encode(text, false, true);
  RC_ASSERT(ids.size() <= text.size());
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
