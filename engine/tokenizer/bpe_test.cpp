#include "engine/tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>

#include "engine/tokenizer/test_vocabulary.h"

namespace bitnet {
namespace {

Bpe bpe_of(const TestVocabulary& v, bool ignore_merges = false) {
  TextTable table;
  for (const std::string& text : v.tokens) table.insert(text);
  const std::vector<std::string_view> merges(v.merges.begin(), v.merges.end());
  return Bpe(std::move(table), merges, ignore_merges);
}

std::vector<std::string> pieces(const Bpe& bpe, std::string_view bytes) {
  Bpe::Scratch scratch;
  std::vector<Token> ids;
  bpe.encode_piece(bytes, scratch, ids);
  std::vector<std::string> out;
  for (const Token id : ids) out.emplace_back(bpe.token_text(id));
  return out;
}

using Pieces = std::vector<std::string>;

/// The rule, word for word: texts, the pair of the lowest rank, the leftmost of equals, one at a time.
std::vector<Token> plain_encode(const TestVocabulary& v, std::string_view bytes) {
  std::map<std::string, int> rank;
  for (std::size_t i = 0; i < v.merges.size(); ++i) rank.emplace(v.merges[i], static_cast<int>(i));
  std::vector<std::string> symbols;
  for (const char c : bytes) symbols.emplace_back(byte_symbol(static_cast<std::uint8_t>(c)));
  for (;;) {
    int best = std::numeric_limits<int>::max();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = rank.find(symbols[i] + " " + symbols[i + 1]);
      if (found != rank.end() && found->second < best) {
        best = found->second;
        at = i;
      }
    }
    if (best == std::numeric_limits<int>::max()) break;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  std::map<std::string, Token> ids;
  for (std::size_t i = 0; i < v.tokens.size(); ++i) ids[v.tokens[i]] = static_cast<Token>(i);
  std::vector<Token> out;
  for (const std::string& symbol : symbols) {
    if (const auto found = ids.find(symbol); found != ids.end()) {
      out.push_back(found->second);
      continue;
    }
    for (const char c : symbol) {
      if (const auto byte = ids.find(std::string(1, c)); byte != ids.end()) out.push_back(byte->second);
    }
  }
  return out;
}

TEST(Bpe, BytesWithoutMerges) {
  const Bpe bpe = bpe_of(TestVocabulary());
  EXPECT_EQ(pieces(bpe, "a \n\xFF"), (Pieces{"a", "\u0120", "\u010A", "\u00FF"}));
  EXPECT_EQ(pieces(bpe, ""), Pieces{});
}

TEST(Bpe, TheLowestRankFirstAndTheLeftmostOfEquals) {
  TestVocabulary v;
  v.add_merge("b", "c");
  v.add_merge("a", "b");
  v.add_merge("a", "a");
  v.add_merge("aa", "a");
  const Bpe bpe = bpe_of(v);
  EXPECT_EQ(pieces(bpe, "abc"), (Pieces{"a", "bc"}));
  EXPECT_EQ(pieces(bpe, "aaa"), (Pieces{"aaa"}));
  EXPECT_EQ(pieces(bpe, "aaaaa"), (Pieces{"aa", "aaa"}));
  EXPECT_EQ(pieces(bpe, "aab"), (Pieces{"a", "ab"}));
}

TEST(Bpe, TheFirstOfTwoEqualRulesCounts) {
  TestVocabulary v;
  v.add_merge("a", "b");
  v.add_merge("b", "c");
  v.add_merge("a", "b");
  EXPECT_EQ(pieces(bpe_of(v), "abc"), (Pieces{"ab", "c"}));
}

TEST(Bpe, IgnoreMergesTakesWholePieces) {
  TestVocabulary v;
  v.add_merge("a", "b");
  v.add("xyz");  // a token that no rule reaches
  EXPECT_EQ(pieces(bpe_of(v, false), "xyz"), (Pieces{"x", "y", "z"}));
  EXPECT_EQ(pieces(bpe_of(v, true), "xyz"), (Pieces{"xyz"}));
  EXPECT_EQ(pieces(bpe_of(v, true), "xyzab"), (Pieces{"x", "y", "z", "ab"}));
}

TEST(Bpe, RulesThatNameNoTokens) {
  TestVocabulary v;
  v.merges = {"a b", "ab c"};  // "ab" is no token, "abc" is
  v.add("abc");
  EXPECT_EQ(pieces(bpe_of(v), "abc"), (Pieces{"abc"}));
  EXPECT_EQ(pieces(bpe_of(v), "abd"), (Pieces{"a", "b", "d"}));
  // Bytes that the alphabet writes with two bytes: the single bytes of that text are no tokens and are
  // dropped.
  v.merges = {"\u0120 \u0120"};
  EXPECT_EQ(pieces(bpe_of(v), "a  b"), (Pieces{"a", "b"}));
}

TEST(Bpe, EntriesThatAreNoRules) {
  TestVocabulary v;
  v.merges = {"", " ", "ab", " ab", "a  b"};  // the last one joins "a" and " b", which no piece holds
  EXPECT_EQ(pieces(bpe_of(v), "ab"), (Pieces{"a", "b"}));
}

TEST(Bpe, DoesWhatThePlainRuleDoes) {
  std::mt19937 random(11);
  std::size_t merged = 0;
  for (int round = 0; round < 3000; ++round) {
    TestVocabulary v;
    std::vector<std::string> texts = {"a", "b", "c", "\u0120"};
    for (std::size_t n = random() % 12; n > 0; --n) {
      const std::string left = texts[random() % texts.size()];
      const std::string right = texts[random() % texts.size()];
      if (random() % 4 == 0) {
        v.merges.push_back(left + " " + right);
      } else {
        v.add_merge(left, right);
      }
      texts.push_back(left + right);
    }
    const Bpe bpe = bpe_of(v);
    Bpe::Scratch scratch;
    for (int i = 0; i < 10; ++i) {
      std::string bytes(random() % 40, ' ');
      for (char& c : bytes) c = "abc "[random() % 4];
      std::vector<Token> ids;
      bpe.encode_piece(bytes, scratch, ids);
      ASSERT_EQ(ids, plain_encode(v, bytes)) << bytes << " with " << testing::PrintToString(v.merges);
      merged += ids.size() < bytes.size();
    }
  }
  EXPECT_GT(merged, 15000u);
}

TEST(Bpe, AMegabyteInOnePieceTakesThreeLookUpsForAByte) {
  const Bpe bpe = bpe_of(sample_vocabulary());
  for (const char c : {'a', ' ', 'x'}) {
    const std::string text(1 << 20, c);
    Bpe::Scratch scratch;
    std::vector<Token> ids;
    bpe.encode_piece(text, scratch, ids);
    EXPECT_LE(scratch.row.lookups, 3 * text.size()) << c;
    EXPECT_GE(scratch.row.lookups, text.size() - 1) << c;
    const std::size_t joined = c == 'a' ? 8 : c == ' ' ? 4 : 1;
    EXPECT_EQ(ids.size(), text.size() / joined);
  }
}

}  // namespace
}  // namespace bitnet
