#include "reference/process/words.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace crossval {
namespace {

using Words = std::vector<std::string>;

TEST(Words, AreSplitAsAPosixShellSplitsThem) {
  EXPECT_EQ(split_words("a  b\tc\nd "), (Words{"a", "b", "c", "d"}));
  EXPECT_EQ(split_words("'a b' c"), (Words{"a b", "c"}));
  EXPECT_EQ(split_words(R"("a b"c' d'\ e)"), (Words{"a bc d e"}));
  EXPECT_EQ(split_words(R"(x '' "")"), (Words{"x", "", ""}));
  EXPECT_EQ(split_words(R"('a\b' "a\b" "\"\\\$\`" a\b)"), (Words{R"(a\b)", R"(a\b)", R"("\$`)", "ab"}));
  EXPECT_EQ(split_words("a\\\nb \"c\\\nd\" 'e\\\nf'"), (Words{"ab", "cd", "e\\\nf"}));
}

TEST(Words, NothingIsExpanded) {
  EXPECT_EQ(split_words("echo $HOME ~ * ; rm -rf / | x > y # z"),
            (Words{"echo", "$HOME", "~", "*", ";", "rm", "-rf", "/", "|", "x", ">", "y", "#", "z"}));
  EXPECT_EQ(split_words("\"$(id)\" `id`"), (Words{"$(id)", "`id`"}));
}

TEST(Words, WhatIsNotClosedOrEmptyIsRefused) {
  for (const std::string& text :
       {std::string("a 'b"), std::string("a \"b"), std::string("a\\"), std::string("\"a\\\""),
        std::string(" \n"), std::string(), std::string("'' x"), std::string("a\0b", 3)})
    EXPECT_THROW(split_words(text), bitnet::InputError) << text;
}

}  // namespace
}  // namespace crossval
