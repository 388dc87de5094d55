#include "engine/tokenizer/spm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <random>

#include "engine/error.h"
#include "engine/tokenizer/test_vocabulary.h"

namespace bitnet {
namespace {

using Pieces = std::vector<std::string>;

Spm spm_of(const SpmTestVocabulary& v) {
  TextTable table;
  for (const std::string& text : v.tokens) table.insert(text);
  return Spm(std::move(table), v.scores);
}

Pieces pieces(const Spm& spm, std::string_view text, bool space_before = false) {
  Spm::Scratch scratch;
  std::vector<Token> ids;
  spm.encode(text, space_before, scratch, ids);
  Pieces out;
  for (const Token id : ids) out.emplace_back(spm.token_text(id));
  return out;
}

/// The rule, word for word: texts, the pair of the highest score, the leftmost of equals, one at a time.
Pieces plain_pieces(const SpmTestVocabulary& v, std::string_view text) {
  std::map<std::string, float> score;
  for (std::size_t i = 0; i < v.tokens.size(); ++i) score[v.tokens[i]] = v.scores[i];
  std::string escaped;
  for (const char c : text) escaped += c == ' ' ? "\u2581" : std::string(1, c);
  Pieces symbols;
  for (std::size_t i = 0; i < escaped.size();) {
    const auto b = static_cast<std::uint8_t>(escaped[i]);
    const std::size_t n = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : b >= 0xC0 ? 2 : 1;
    symbols.emplace_back(escaped.substr(i, n));
    i += n;
  }
  for (;;) {
    const float* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = score.find(symbols[i] + symbols[i + 1]);
      if (found == score.end() || (best != nullptr && found->second <= *best)) continue;
      best = &found->second;
      at = i;
    }
    if (best == nullptr) break;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  Pieces out;
  for (const std::string& symbol : symbols) {
    if (score.contains(symbol)) {
      out.push_back(symbol);
      continue;
    }
    for (const char c : symbol)
      out.push_back(
          v.tokens[static_cast<std::size_t>(SpmTestVocabulary::kFirstByte) + static_cast<std::uint8_t>(c)]);
  }
  return out;
}

TEST(Spm, TheHighestScoreFirstAndTheLeftmostOfEquals) {
  SpmTestVocabulary v;
  for (const char* text : {"a", "b", "c"}) v.add(text, -9);
  v.add("bc", -1);
  v.add("ab", -2);
  v.add("aa", -3);
  v.add("aaa", -4);
  const Spm spm = spm_of(v);
  EXPECT_EQ(pieces(spm, "abc"), (Pieces{"a", "bc"}));
  EXPECT_EQ(pieces(spm, "aab"), (Pieces{"a", "ab"}));
  EXPECT_EQ(pieces(spm, "aaa"), (Pieces{"aaa"}));
  EXPECT_EQ(pieces(spm, "aaaaa"), (Pieces{"aa", "aaa"}));
  EXPECT_EQ(pieces(spm, ""), Pieces{});
}

TEST(Spm, ScoresOfZeroAndInfinity) {
  SpmTestVocabulary v;
  v.add("ab", -0.0f);
  v.add("bc", 0.0f);
  v.add("cd", std::numeric_limits<float>::infinity());
  v.add("xy", -std::numeric_limits<float>::infinity());
  const Spm spm = spm_of(v);
  EXPECT_EQ(pieces(spm, "abcd"), (Pieces{"ab", "cd"}));
  EXPECT_EQ(pieces(spm, "abc"), (Pieces{"ab", "<0x63>"}));  // the zeros are equal
  EXPECT_EQ(pieces(spm, "xy"), (Pieces{"xy"}));
}

TEST(Spm, SpacesAreWrittenAsU2581) {
  const Spm spm = spm_of(sample_spm_vocabulary());
  EXPECT_EQ(pieces(spm, "hello the world"), (Pieces{"hello", "\u2581the", "\u2581world"}));
  EXPECT_EQ(pieces(spm, "hello", true), (Pieces{"\u2581hello"}));
  EXPECT_EQ(pieces(spm, " hello", true), (Pieces{"\u2581\u2581", "hello"}));
  EXPECT_EQ(pieces(spm, "\u2581hello"), (Pieces{"\u2581hello"}));  // one and the same
  EXPECT_EQ(pieces(spm, "", true), (Pieces{"\u2581"}));
}

TEST(Spm, WhatIsNoTokenBecomesItsBytes) {
  const Spm spm = spm_of(sample_spm_vocabulary());
  EXPECT_EQ(pieces(spm, "\n"), (Pieces{"<0x0A>"}));
  EXPECT_EQ(pieces(spm, "\u20AC"), (Pieces{"<0xE2>", "<0x82>", "<0xAC>"}));
  EXPECT_EQ(pieces(spm, "\u00E9"), (Pieces{"\u00E9"}));
  // Not a character by itself, but a part of a token.
  EXPECT_EQ(pieces(spm, "\u4F60\u597D\u4F60"), (Pieces{"\u4F60\u597D", "<0xE4>", "<0xBD>", "<0xA0>"}));
}

TEST(Spm, BytesThatAreNoUtf8) {
  SpmTestVocabulary v = sample_spm_vocabulary();
  v.add("\xE4h", -9);
  const Spm spm = spm_of(v);
  EXPECT_EQ(pieces(spm, "\x80\xBF"), (Pieces{"<0x80>", "<0xBF>"}));
  // A first byte takes in what follows it, whatever that is, as far as there is something.
  EXPECT_EQ(pieces(spm, "\xE4hello"), (Pieces{"<0xE4>", "<0x68>", "<0x65>", "ll", "o"}));
  EXPECT_EQ(pieces(spm, "\xE4h"), (Pieces{"\xE4h"}));
  EXPECT_EQ(pieces(spm, "a\xF0"), (Pieces{"a", "<0xF0>"}));
}

TEST(Spm, WithoutByteTokensTheByteItselfAndElseARefusal) {
  TextTable table;
  for (const char* text : {"<unk>", "a", "\n", "\xC3"}) table.insert(text);
  const Spm spm(std::move(table), std::vector<float>{0, -1, -2, -3});
  EXPECT_EQ(pieces(spm, "a\n"), (Pieces{"a", "\n"}));
  try {
    pieces(spm, "a\xC3\xA9");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("<0xA9>"), std::string::npos) << e.what();
  }
}

TEST(Spm, DoesWhatThePlainRuleDoes) {
  std::mt19937 random(7);
  std::size_t merged = 0;
  for (int round = 0; round < 1000; ++round) {
    SpmTestVocabulary v;
    std::vector<std::string> texts = {"a", "b", "\u00E9", "\u2581"};
    for (std::size_t n = random() % 14; n > 0; --n) {
      const std::string text = texts[random() % texts.size()] + texts[random() % texts.size()];
      if (std::find(v.tokens.begin(), v.tokens.end(), text) != v.tokens.end()) continue;
      texts.push_back(text);
      v.add(text, -static_cast<float>(random() % 6));
    }
    const Spm spm = spm_of(v);
    for (int i = 0; i < 10; ++i) {
      std::string text;
      for (std::size_t n = random() % 30; n > 0; --n)
        text += std::array<std::string, 5>{"a", "b", " ", "\u00E9", "\xC3"}[random() % 5];
      if (text.ends_with('\xC3')) text += 'b';
      const Pieces expected = plain_pieces(v, text);
      ASSERT_EQ(pieces(spm, text), expected)
          << testing::PrintToString(text) << " with " << testing::PrintToString(v.tokens);
      merged += std::any_of(expected.begin(), expected.end(), [](const auto& p) { return p[0] != '<'; });
    }
  }
  EXPECT_GT(merged, 5000u);
}

TEST(Spm, AMegabyteTakesThreeLookUpsForACharacter) {
  const Spm spm = spm_of(sample_spm_vocabulary());
  for (const char c : {'a', ' ', 'x'}) {
    const std::string text(1 << 20, c);
    Spm::Scratch scratch;
    std::vector<Token> ids;
    spm.encode(text, false, scratch, ids);
    EXPECT_LE(scratch.row.lookups, 3 * text.size()) << c;
    EXPECT_GE(scratch.row.lookups, text.size() - 1) << c;
    EXPECT_EQ(ids.size(), text.size() / (c == 'x' ? 1 : 4)) << c;
  }
}

TEST(Spm, NamesOfBytes) {
  EXPECT_EQ(Spm::byte_of("<0x00>"), 0);
  EXPECT_EQ(Spm::byte_of("<0xFF>"), 255);
  EXPECT_EQ(Spm::byte_of("<0x1a>"), 0x1A);
  for (const char* text :
       {"", "<0x>", "<0x1>", "<0x123>", "<0xG0>", "<0x0G>", "<0x00", "[0x00]", "<0X00>", "<0x00)"})
    EXPECT_EQ(Spm::byte_of(text), -1) << text;
}

TEST(Spm, TextsOfTokens) {
  const auto text = [](std::string_view token) {
    std::string out;
    Spm::append_text(token, out);
    return out;
  };
  EXPECT_EQ(text("\u2581a\u2581\u2581b\u2581"), " a  b ");
  EXPECT_EQ(text("a"), "a");
  EXPECT_EQ(text("\xE2\x96"), "\xE2\x96");  // the first two bytes of U+2581
  EXPECT_EQ(text(""), "");
}

}  // namespace
}  // namespace bitnet
