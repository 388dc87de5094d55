#include "engine/tokenizer/unicode.h"

#include <gtest/gtest.h>

#include <array>

namespace bitnet::unicode {
namespace {

TEST(Unicode, ClassesOfKnownCodePoints) {
  struct Known {
    char32_t c;
    CharClass kind;
  };
  constexpr Known kKnown[] = {
      {U'a', CharClass::letter},      {U'Z', CharClass::letter},        {U'7', CharClass::number},
      {U'_', CharClass::punctuation}, {U'@', CharClass::punctuation},   {U'$', CharClass::other},
      {U'`', CharClass::other},       {U' ', CharClass::space},         {U'\n', CharClass::space},
      {0x00, CharClass::other},       {0x1C, CharClass::other},         {0x85, CharClass::space},
      {0xA0, CharClass::space},       {0xAA, CharClass::letter},        {0xAD, CharClass::other},
      {0xB2, CharClass::number},      {0xBF, CharClass::punctuation},   {0x0301, CharClass::other},
      {0x03A9, CharClass::letter},    {0x0660, CharClass::number},      {0x0BF0, CharClass::number},
      {0x16EE, CharClass::number},    {0x1680, CharClass::space},       {0x180E, CharClass::other},
      {0x200B, CharClass::other},     {0x2028, CharClass::space},       {0x2167, CharClass::number},
      {0x3000, CharClass::space},     {0x3001, CharClass::punctuation}, {0x3007, CharClass::number},
      {0x3400, CharClass::letter},    {0x4DBF, CharClass::letter},      {0x4E00, CharClass::letter},
      {0x9FFF, CharClass::letter},    {0xA000, CharClass::letter},      {0xAC00, CharClass::letter},
      {0xD7A3, CharClass::letter},    {0xD7A4, CharClass::other},       {0xD800, CharClass::other},
      {0xE000, CharClass::other},     {0xFF11, CharClass::number},      {0xFFFD, CharClass::other},
      {0x1F600, CharClass::other},    {0x20000, CharClass::letter},     {0x2A6DF, CharClass::letter},
      {0x2A6E0, CharClass::other},    {0x31350, CharClass::letter},  // CJK extension H, new in Unicode 15.0
      {0x2EBEF, CharClass::other},    {0x2EBF0, CharClass::letter},     {0x2EE5D, CharClass::letter},
      {0x2EE5E, CharClass::other},   // CJK extension I, of 15.1
      {0x1E4F0, CharClass::number},  // Nag Mundari digit zero, new in 15.0
      {0x10FFFF, CharClass::other},   {0x110000, CharClass::other},
  };
  for (const Known& k : kKnown)
    EXPECT_EQ(classify(k.c), k.kind) << std::hex << static_cast<std::uint32_t>(k.c);
}

TEST(Unicode, CountsOfEveryClass) {
  std::array<int, 5> count{};
  std::array<int, 5> ranges{};
  for (char32_t c = 0; c < 0x110000; ++c) {
    const auto kind = static_cast<std::size_t>(classify(c));
    ++count[kind];
    if (c == 0 || classify(c - 1) != classify(c)) ++ranges[kind];
  }
  // Counted in DerivedGeneralCategory.txt of the same package, not in the file that the table comes from;
  // letters: 136104 in 659 ranges, and the 622 of CJK extension I.
  EXPECT_EQ(count[1], 136104 + 622);
  EXPECT_EQ(count[2], 1831);
  EXPECT_EQ(count[3], 842);
  EXPECT_EQ(count[4], 25);
  EXPECT_EQ(ranges[1], 660);
  EXPECT_EQ(ranges[2], 137);
  EXPECT_EQ(ranges[3], 191);
  EXPECT_EQ(ranges[4], 10);
}

TEST(Unicode, DecodesWhatItEncodes) {
  std::string text;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    text.clear();
    append_utf8(c, text);
    const Decoded d = decode_at(text, 0);
    ASSERT_TRUE(d.valid && d.value == c && d.bytes == text.size())
        << std::hex << static_cast<std::uint32_t>(c);
    for (std::size_t n = 1; n < text.size(); ++n) {
      const std::string_view cut = std::string_view(text).substr(0, n);
      ASSERT_FALSE(decode_at(cut, 0).valid);
      ASSERT_EQ(incomplete_tail(cut), n);
    }
    ASSERT_EQ(incomplete_tail(text), 0u);
  }
}

TEST(Unicode, InvalidBytesStandAlone) {
  constexpr std::string_view kInvalid[] = {"\x80",
                                           "\xBF",
                                           "\xC0\x80",
                                           "\xC1\xBF",
                                           "\xC2",
                                           "\xC3(",
                                           "\xE0\x80\x80",
                                           "\xE0\x9F\xBF",
                                           "\xED\xA0\x80",
                                           "\xED\xBF\xBF",
                                           "\xE2\x82",
                                           "\xE2(\xA1",
                                           "\xF0\x80\x80\x80",
                                           "\xF0\x8F\xBF\xBF",
                                           "\xF4\x90\x80\x80",
                                           "\xF5\x80\x80\x80",
                                           "\xF0\x9F\x98",
                                           "\xFE",
                                           "\xFF"};
  for (const std::string_view text : kInvalid) {
    const Decoded d = decode_at(text, 0);
    EXPECT_FALSE(d.valid) << testing::PrintToString(std::string(text));
    EXPECT_EQ(d.bytes, 1);
    EXPECT_EQ(d.value, char32_t{0xFFFD});
  }
  EXPECT_TRUE(decode_at("\xEF\xBF\xBD", 0).valid);  // a U+FFFD that is really there
}

TEST(Unicode, DecodesLooselyWhatBitnetCppReads) {
  struct Case {
    std::string_view text;
    char32_t value;
    int bytes;
  };
  constexpr Case kCases[] = {
      {"a", U'a', 1},
      {"\xC3\xA9", 0xE9, 2},
      {"\xED\xA0\x80", 0xD800, 3},  // surrogates
      {"\xED\xBF\xBF", 0xDFFF, 3},
      {"\xC0\x80", 0, 2},  // overlong forms
      {"\xC1\xBF", 0x7F, 2},
      {"\xE0\x9F\xBF", 0x7FF, 3},
      {"\xF0\x8F\xBF\xBF", 0xFFFF, 4},
      {"\xF4\x8F\xBF\xBF", 0x10FFFF, 4},
  };
  for (const Case& c : kCases) {
    const Decoded d = decode_loosely(c.text, 0);
    EXPECT_TRUE(d.valid && d.value == c.value && d.bytes == c.bytes) << testing::PrintToString(c.text);
  }
  constexpr std::string_view kInvalid[] = {"\x80",
                                           "\xC3",
                                           "\xC3(",
                                           "\xE2\x82",
                                           "\xE2(\xA1",
                                           "\xF0\x9F\x98",
                                           "\xF4\x90\x80\x80",
                                           "\xF7\xBF\xBF\xBF",
                                           "\xF8\x88\x80\x80\x80",
                                           "\xFF"};
  for (const std::string_view text : kInvalid) {
    const Decoded d = decode_loosely(text, 0);
    EXPECT_TRUE(!d.valid && d.bytes == 1) << testing::PrintToString(text);
  }
}

TEST(Unicode, OverlongForms) {
  for (const std::string_view text : {"", "a", "\u00E9\u20AC\U0001F600", "\xED\xA0\x80", "\xC0", "\x80",
                                      "\xC1 \xBF", "\xE0\xA0\x80", "\xF0\x90\x80\x80"}) {
    EXPECT_FALSE(has_overlong_forms(text)) << testing::PrintToString(text);
    EXPECT_EQ(without_overlong_forms(text), text);
  }
  EXPECT_TRUE(has_overlong_forms("abc\xC1\xA4"));
  EXPECT_EQ(without_overlong_forms("abc\xC1\xA4\xE0\x81\xA5\xF0\x80\x81\xA6\xFF\xED\xA0\x80"),
            "abcdef\xFF\xED\xA0\x80");
  EXPECT_EQ(without_overlong_forms("\xF0\x82\x82\xAC"), "\u20AC");
}

TEST(Unicode, IncompleteTail) {
  EXPECT_EQ(incomplete_tail(""), 0u);
  EXPECT_EQ(incomplete_tail("abc"), 0u);
  EXPECT_EQ(incomplete_tail("abc\xE2"), 1u);
  EXPECT_EQ(incomplete_tail("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_tail("\xE2\x82\xAC"), 0u);
  EXPECT_EQ(incomplete_tail("\x82\xAC"), 0u);  // no first byte
  EXPECT_EQ(incomplete_tail("\xE0\x80"), 0u);  // overlong: cannot become valid
  EXPECT_EQ(incomplete_tail("\xED\xA0"), 0u);  // a surrogate: likewise
  EXPECT_EQ(incomplete_tail("\xF4\x90"), 0u);  // above U+10FFFF: likewise
  EXPECT_EQ(incomplete_tail("\xE2\x28"), 0u);
  EXPECT_EQ(incomplete_tail("\xE2\xE2"), 1u);
}

}  // namespace
}  // namespace bitnet::unicode
