#include "engine/gguf/printable.h"

#include <gtest/gtest.h>

namespace bitnet::gguf {
namespace {

TEST(Printable, HarmlessTextStays) {
  EXPECT_EQ(printable("plain text 123 !~"), "plain text 123 !~");
  EXPECT_EQ(printable("\xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80"), "\xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, ControlCharactersAreEscaped) {
  EXPECT_EQ(printable("a\nb\rc\td"), "a\\nb\\rc\\td");
  EXPECT_EQ(printable("\x1b[31m\x07\x7f"), "\\x1b[31m\\x07\\x7f");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(printable("\xc2\x9b"), "\\u{009b}");  // C1: another escape introducer
}

TEST(Printable, DirectionsAndInvisibleCharactersAreEscaped) {
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\u{202e}");
  EXPECT_EQ(printable("\xe2\x81\xa6"), "\\u{2066}");
  EXPECT_EQ(printable("\xe2\x80\x8b"), "\\u{200b}");
  EXPECT_EQ(printable("\xe2\x80\xa8"), "\\u{2028}");
  EXPECT_EQ(printable("\xef\xbb\xbf"), "\\u{feff}");
  EXPECT_EQ(printable("\xf3\xa0\x81\x81"), "\\u{e0041}");
}

TEST(Printable, InvalidUtf8IsEscapedByteByByte) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc3"), "\\xc3");           // cut short
  EXPECT_EQ(printable("\xe4\xb8"), "\\xe4\\xb8");  // cut short
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");  // overlong
  EXPECT_EQ(printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(printable("\xe4"
                      "a"),
            "\\xe4"
            "a");
}

TEST(Printable, BackslashesAreUnambiguous) {
  EXPECT_EQ(printable("\\n"), "\\\\n");
  EXPECT_EQ(printable_message("C:\\n"), "C:\\n");
  EXPECT_EQ(printable_message("a\nb"), "a\\nb");
}

TEST(Printable, LongTextIsCutAtACharacter) {
  EXPECT_EQ(printable("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(printable("abcdefghi", 8), "abcde...");
  EXPECT_EQ(printable("abcd\xe4\xb8\xad\xe4\xb8\xad", 9), "abcd...");
  EXPECT_EQ(printable("abcd\n\n\n", 9), "abcd\\n...");
}

}  // namespace
}  // namespace bitnet::gguf
