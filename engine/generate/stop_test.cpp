#include "engine/generate/stop.h"

#include <gtest/gtest.h>

#include "engine/error.h"
#include "engine/generate/random.h"

namespace bitnet {
namespace {

TEST(Stop, NamesOfTheReasons) {
  EXPECT_EQ(to_string(StopReason::eog), "eog");
  EXPECT_EQ(to_string(StopReason::stop_string), "stop_string");
  EXPECT_EQ(to_string(StopReason::max_tokens), "max_tokens");
}

TEST(Stop, WithoutStringsEverythingIsSettled) {
  StopScanner s({});
  EXPECT_FALSE(s.feed("abc"));
  EXPECT_EQ(s.settled(), 3u);
  EXPECT_EQ(s.text(), "abc");
}

TEST(Stop, FindsAStringAcrossPieces) {
  StopScanner s({"STOP"});
  EXPECT_FALSE(s.feed("a S"));
  EXPECT_EQ(s.settled(), 2u);  // the S may be the beginning
  EXPECT_FALSE(s.feed("TO"));
  EXPECT_EQ(s.settled(), 2u);
  EXPECT_TRUE(s.feed("P and more"));
  EXPECT_EQ(s.text(), "a ");
  EXPECT_EQ(s.settled(), 2u);
  EXPECT_TRUE(s.stopped());
  EXPECT_TRUE(s.feed("ignored"));
  EXPECT_EQ(s.text(), "a ");
}

TEST(Stop, APartialMatchIsLetGo) {
  StopScanner s({"\n\nQ:"});
  EXPECT_FALSE(s.feed("x\n\n"));
  EXPECT_EQ(s.settled(), 1u);
  EXPECT_FALSE(s.feed("\n"));
  EXPECT_EQ(s.settled(), 2u);  // the last two line breaks may still be the beginning
  EXPECT_FALSE(s.feed("A"));
  EXPECT_EQ(s.settled(), 5u);
  EXPECT_EQ(s.text(), "x\n\n\nA");
}

TEST(Stop, OverlappingBeginnings) {
  StopScanner s({"aab"});
  EXPECT_TRUE(s.feed("aaab"));
  EXPECT_EQ(s.text(), "a");
}

TEST(Stop, TheStringThatIsCompleteFirstWins) {
  StopScanner s({"abcdef", "cd"});
  EXPECT_TRUE(s.feed("abcdef"));
  EXPECT_EQ(s.text(), "ab");
}

TEST(Stop, OfTwoThatEndTogetherTheLonger) {
  StopScanner s({"b", "aab", "ab"});
  EXPECT_TRUE(s.feed("xaab"));
  EXPECT_EQ(s.text(), "x");
}

TEST(Stop, FinishSettlesTheRest) {
  StopScanner s({"STOP"});
  EXPECT_FALSE(s.feed("STO"));
  EXPECT_EQ(s.settled(), 0u);
  s.finish();
  EXPECT_EQ(s.settled(), 3u);
}

TEST(Stop, EmptyStringsAreRefused) {
  EXPECT_THROW(StopScanner({"a", ""}), InputError);
}

TEST(Stop, TheCutDoesNotMatterAndTheRuleHolds) {
  Random random(9);
  const auto word = [&](std::size_t longest) {
    std::string text(1 + random.next() % longest, ' ');
    for (char& c : text) c = static_cast<char>('a' + random.next() % 2);
    return text;
  };
  int stops = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> strings;
    for (std::uint64_t n = random.next() % 4; n > 0; --n) strings.push_back(word(6));
    const std::string text = word(30);
    // The rule: the shortest beginning of the text that ends with a string, without the longest such string.
    std::string expected = text;
    bool found = false;
    for (std::size_t end = 1; end <= text.size() && !found; ++end) {
      for (const std::string& s : strings) {
        if (std::string_view(text).substr(0, end).ends_with(s) &&
            (!found || end - s.size() < expected.size())) {
          expected = text.substr(0, end - s.size());
          found = true;
        }
      }
    }
    StopScanner s(strings);
    std::string shown;  // what a reader saw, never taken back
    for (std::size_t pos = 0; pos < text.size() && !s.stopped();) {
      const std::size_t n = 1 + random.next() % 5;
      s.feed(std::string_view(text).substr(pos, n));
      pos += n;
      ASSERT_GE(s.settled(), shown.size());
      ASSERT_EQ(s.text().compare(0, shown.size(), shown), 0);
      shown = s.text().substr(0, s.settled());
    }
    ASSERT_EQ(s.stopped(), found);
    ASSERT_EQ(s.text(), expected) << text;
    stops += found;
  }
  EXPECT_GT(stops, 5000);
}

}  // namespace
}  // namespace bitnet
