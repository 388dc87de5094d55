#include "engine/tokenizer/special_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace bitnet {
namespace {

using Fragment = SpecialMatcher::Fragment;
using Tokens = std::vector<std::string>;

SpecialMatcher matcher_of(const Tokens& tokens) {
  SpecialMatcher m;
  for (std::size_t i = 0; i < tokens.size(); ++i) m.add(tokens[i], static_cast<std::int32_t>(i));
  m.build();
  return m;
}

std::string show(std::string_view text, const std::vector<Fragment>& fragments) {
  std::string out;
  for (const Fragment& f : fragments) {
    const std::string part(text.substr(f.begin, f.end - f.begin));
    out += f.token == SpecialMatcher::kText ? "'" + part + "' " : std::to_string(f.token) + " ";
  }
  return out;
}

/// The rule, word for word: token by token, longest first, each searched left to right in what text remains.
std::vector<Fragment> plain_partition(const Tokens& tokens, std::string_view text) {
  std::vector<std::int32_t> order(tokens.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  const auto size = [&](std::int32_t i) { return tokens[static_cast<std::size_t>(i)].size(); };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return size(a) > size(b); });
  std::vector<Fragment> fragments;
  if (!text.empty()) fragments.push_back({0, text.size(), SpecialMatcher::kText});
  for (const std::int32_t token : order) {
    std::vector<Fragment> next;
    for (Fragment f : fragments) {
      while (f.token == SpecialMatcher::kText && f.begin < f.end) {
        const std::size_t at =
            text.substr(f.begin, f.end - f.begin).find(tokens[static_cast<std::size_t>(token)]);
        if (at == std::string_view::npos) break;
        if (at > 0) next.push_back({f.begin, f.begin + at, SpecialMatcher::kText});
        next.push_back({f.begin + at, f.begin + at + size(token), token});
        f.begin += at + size(token);
      }
      if (f.begin < f.end) next.push_back(f);
    }
    fragments = std::move(next);
  }
  return fragments;
}

TEST(SpecialMatcher, NoTokensOrNoText) {
  EXPECT_EQ(show("abc", matcher_of({}).partition("abc")), "'abc' ");
  EXPECT_TRUE(matcher_of({"x"}).partition("").empty());
  EXPECT_TRUE(matcher_of({}).partition("").empty());
}

TEST(SpecialMatcher, CutsAtTokens) {
  const SpecialMatcher m = matcher_of({"<s>", "</s>", "<|x|>"});
  EXPECT_EQ(show("<s>a<|x|><|x|>b</s>", m.partition("<s>a<|x|><|x|>b</s>")), "0 'a' 2 2 'b' 1 ");
  EXPECT_EQ(show("<|x<|x|>|>", m.partition("<|x<|x|>|>")), "'<|x' 2 '|>' ");
}

TEST(SpecialMatcher, TheLongestTokenGoesFirstWhereverItIs) {
  // Leftmost-first would take "ab" and leave "cde".
  EXPECT_EQ(show("abcde", matcher_of({"ab", "bcd"}).partition("abcde")), "'a' 1 'e' ");
  EXPECT_EQ(show("abcabcd", matcher_of({"abc", "abcd"}).partition("abcabcd")), "0 1 ");
  // "abbb" takes the end of "aaa"; a shorter token fits into what is left of it.
  EXPECT_EQ(show("aaabbb", matcher_of({"aa", "aaa", "abbb", "a"}).partition("aaabbb")), "0 2 ");
}

TEST(SpecialMatcher, OneTokenLeftToRight) {
  EXPECT_EQ(show("aaaaa", matcher_of({"aa"}).partition("aaaaa")), "0 0 'a' ");
}

TEST(SpecialMatcher, OfEquallyLongTokensTheFirstAdded) {
  EXPECT_EQ(show("abc", matcher_of({"ab", "bc"}).partition("abc")), "0 'c' ");
  EXPECT_EQ(show("abc", matcher_of({"bc", "ab"}).partition("abc")), "'a' 0 ");
}

TEST(SpecialMatcher, DoesWhatThePlainRuleDoes) {
  std::mt19937 random(7);
  const auto word = [&](std::size_t longest) {
    std::string text(1 + random() % longest, ' ');
    for (char& c : text) c = static_cast<char>('a' + random() % 3);
    return text;
  };
  std::size_t with_match = 0;
  for (int round = 0; round < 20000; ++round) {
    Tokens tokens;
    for (std::size_t n = random() % 8; n > 0; --n) {
      const std::string token = word(6);
      if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
    }
    const std::string text = word(24);
    const auto expected = plain_partition(tokens, text);
    with_match += expected.size() > 1;
    ASSERT_EQ(show(text, matcher_of(tokens).partition(text)), show(text, expected))
        << text << " with " << testing::PrintToString(tokens);
  }
  EXPECT_GT(with_match, 5000u);
}

// Anything that looks at every token for every place would need 1e11 steps here, and not end within the time
// that a test has.
TEST(SpecialMatcher, ManyTokensInAMegabyte) {
  Tokens tokens;
  for (int i = 0; i < 100000; ++i) tokens.push_back("<|reserved_special_token_" + std::to_string(i) + "|>");
  for (std::size_t n = 1; n <= 2000; ++n) tokens.push_back(std::string(n, 'a'));
  std::string text;
  while (text.size() < 500000) text += "<|reserved_special_token_<|reserved_special_token_77|>";
  text += std::string(500000, 'a');
  const SpecialMatcher m = matcher_of(tokens);
  const auto fragments = m.partition(text);
  EXPECT_GT(fragments.size(), 500000u / 60 * 2);
  EXPECT_EQ(fragments.back().token, 101999);  // the longest run of a's
}

}  // namespace
}  // namespace bitnet
