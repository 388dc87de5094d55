#include "engine/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

namespace bitnet {
namespace {

std::vector<std::string> split(std::string_view name, std::string_view text) {
  const PreTokenizer* pre = find_pre_tokenizer(name);
  EXPECT_NE(pre, nullptr) << name;
  const CodePoints points(text);
  std::vector<std::string> pieces;
  std::size_t begin = 0;
  for (const std::uint32_t end : pre->split(points)) {
    pieces.emplace_back(text.substr(begin, points.offset[end] - begin));
    begin = points.offset[end];
  }
  return pieces;
}

struct Case {
  std::string_view text;
  std::vector<std::string> pieces;
};

void expect_splits(std::string_view name, const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(split(name, c.text), c.pieces) << name << ": " << c.text;
}

TEST(PreTokenizer, Gpt2) {
  expect_splits("gpt-2", {
                             {"", {}},
                             {"Hello world", {"Hello", " world"}},
                             {" ", {" "}},
                             {"   ", {"   "}},
                             {"a   b", {"a", "  ", " b"}},
                             {"a\n\nb", {"a", "\n", "\n", "b"}},
                             {"a \n b", {"a", " \n", " b"}},
                             {"a  ", {"a", "  "}},
                             {"we're I'M he'll", {"we", "'re", " I", "'", "M", " he", "'ll"}},
                             {"'s't'm'd've'x", {"'s", "'t", "'m", "'d", "'ve", "'", "x"}},
                             {"'l", {"'", "l"}},
                             {"3.14 1234567", {"3", ".", "14", " 1234567"}},
                             {"x=1+2", {"x", "=", "1", "+", "2"}},
                             {" !?! ok", {" !?!", " ok"}},
                             {"\tx", {"\t", "x"}},
                             {"caf\u00E9 \u4F60\u597D\u3002", {"caf\u00E9", " \u4F60\u597D", "\u3002"}},
                             {"e\u0301a", {"e", "\u0301", "a"}},  // a combining mark is no letter
                             {"\u00A0x", {"\u00A0", "x"}},        // only U+0020 joins the word after it
                             {"\u2167\u00B2 \u0664", {"\u2167\u00B2", " \u0664"}},
                         });
}

TEST(PreTokenizer, Llama3) {
  expect_splits("llama3", {
                              {"", {}},
                              {"Hello world", {"Hello", " world"}},
                              {"a   b", {"a", "  ", " b"}},
                              {"we're I'M HE'LL", {"we", "'re", " I", "'M", " HE", "'LL"}},
                              {"'x", {"'x"}},  // any one code point may lead a word
                              {"'lx", {"'lx"}},
                              {"(ab", {"(ab"}},
                              {"((ab", {"((", "ab"}},
                              {"\tab", {"\tab"}},
                              {"\nab", {"\n", "ab"}},
                              {"1234567", {"123", "456", "7"}},
                              {" 1234", {" ", "123", "4"}},
                              {"1a", {"1", "a"}},
                              {"a1b22", {"a", "1", "b", "22"}},
                              {"hi!\n\nyo", {"hi", "!\n\n", "yo"}},
                              {"a \n \n  b", {"a", " \n \n", " ", " b"}},
                              {"a\r\n\r\nb", {"a", "\r\n\r\n", "b"}},
                              {"a\n  ", {"a", "\n", "  "}},
                              {"a ", {"a", " "}},
                              {"x  !", {"x", " ", " !"}},
                              {"x = y", {"x", " =", " y"}},
                              {" \n", {" \n"}},
                              {"\u4F60\u597D\uFF0C\u4E16\u754C", {"\u4F60\u597D", "\uFF0C\u4E16\u754C"}},
                              {"e\u0301a", {"e", "\u0301a"}},
                              {"\u0664\u0665\u0666\u0667", {"\u0664\u0665\u0666", "\u0667"}},
                              {"\U0001F600\U0001F600 a", {"\U0001F600\U0001F600", " a"}},
                          });
  EXPECT_EQ(find_pre_tokenizer("llama-bpe"), find_pre_tokenizer("llama3"));
  EXPECT_EQ(find_pre_tokenizer("llama-v3"), find_pre_tokenizer("llama3"));
}

TEST(PreTokenizer, Default) {
  expect_splits("default",
                {
                    {"", {}},
                    {"Hello, world!", {"Hello", ",", " world", "!"}},
                    {"we're", {"we", "'", "re"}},  // the mark is cut off before contractions are looked for
                    {"a ,b", {"a", " ", ",", "b"}},
                    {"a  ,", {"a", "  ", ","}},
                    {"a  b", {"a", " ", " b"}},
                    {"x=$1+`y`", {"x", "=$", "1", "+", "`", "y", "`"}},
                    {"1234567", {"123", "456", "7"}},
                    {" 1234", {" ", "123", "4"}},
                    {"a12", {"a", "12"}},
                    {"\u0661\u0662\u0663\u0664", {"\u0661\u0662\u0663\u0664"}},
                    {"\u06611234", {"\u0661", "123", "4"}},
                    {"12\u0661345", {"12\u0661", "345"}},
                    {"...!?", {"...!?"}},
                    {"\u00BFqu\u00E9?", {"\u00BF", "qu\u00E9", "?"}},
                    {"\U0001F600!", {"\U0001F600", "!"}},
                    {"a~b^c|d", {"a", "~", "b", "^", "c", "|", "d"}},
                });
}

TEST(PreTokenizer, Falcons) {
  expect_splits("falcon", {
                              {"a 1234", {"a", " ", "123", "4"}},
                              {"a 12", {"a", " 12"}},
                              {"`x` = 5", {"`", "x", "`", " ", "=", " 5"}},
                              {"\u06611234\u0662", {"\u0661", "123", "4\u0662"}},
                          });
  expect_splits("falcon3", {
                               {"a 1234", {"a", " ", "1", "2", "3", "4"}},
                               {"`x`1", {"`", "x", "`", "1"}},
                               {"\u06611\u0662", {"\u0661", "1", "\u0662"}},
                           });
  EXPECT_EQ(find_pre_tokenizer("falcon_e"), find_pre_tokenizer("falcon3"));
}

TEST(PreTokenizer, Qwen2) {
  expect_splits("qwen2", {
                             {"", {}},
                             {"Hello world", {"Hello", " world"}},
                             {"a 1234", {"a", " ", "1", "2", "3", "4"}},  // each number by itself
                             {"\u0664\u00B2x", {"\u0664", "\u00B2", "x"}},
                             {"we're I'M HE'LL", {"we", "'re", " I", "'M", " HE", "'LL"}},
                             {"(ab", {"(ab"}},
                             {"hi!\n\nyo", {"hi", "!\n\n", "yo"}},
                             {"a \n \n  b", {"a", " \n \n", " ", " b"}},
                             {"a\u3000\u3000b", {"a", "\u3000", "\u3000b"}},
                         });
}

TEST(PreTokenizer, DeepSeekLlm) {
  expect_splits(
      "deepseek-llm",
      {
          {"", {}},
          {"Hello world", {"Hello", " world"}},
          {"a\r\n\nb", {"a", "\r", "\n", "\n", "b"}},  // each line break by itself
          {"a  b", {"a", " ", " b"}},                  // one space goes with the word
          {"a\tb", {"a", "\tb"}},                      // of any kind
          {"a\u3000b\u00A0c", {"a", "\u3000b", "\u00A0c"}},
          {"we're", {"we", "'", "re"}},
          {"a !b", {"a", " !", "b"}},
          {"12 345", {"12", " ", "345"}},
          {"x\u0664\u00B2", {"x", "\u0664\u00B2"}},
          {"a  ", {"a", "  "}},
          {" ", {" "}},
          // The ASCII letters count as punctuation too: words are cut between them and other letters.
          {"caf\u00E9 \u00E9t\u00E9", {"caf", "\u00E9", " \u00E9", "t", "\u00E9"}},
          {"\u0436\u0416", {"\u0436\u0416"}},
          {"\u4F60\u597Da\uFF0C\u4E16 \u754C", {"\u4F60\u597D", "a", "\uFF0C", "\u4E16", " ", "\u754C"}},
          {"\u0E01\u0E02\uD55C", {"\u0E01\u0E02\uD55C"}},  // all from U+0800 to the end of CJK, and Hangul
          {"\u4DBF\u9FA5\u9FA6", {"\u4DBF\u9FA5", "\u9FA6"}},
          {"\u05D0\u05D1 \u05D2", {"\u05D0\u05D1 \u05D2"}},  // letters without case before U+0800
          {"!\u3001.", {"!", "\u3001", "."}},                // punctuation, but from U+0800 on
          {"\u3001\u3002\u3003", {"\u3001\u3002", "\u3003"}},
          {"\U00010400\U0001F600", {"\U00010400", "\U0001F600"}},
          {"\u10D0", {"\u10D0"}},
          {"a\u0301b", {"a", "\u0301", "b"}},
          {"a\u1680b", {"a", "\u1680b"}},  // white space among the East Asian ranges
          {"\u2018a\u2019.", {"\u2018", "a", "\u2019", "."}},
      });
}

TEST(PreTokenizer, InvalidBytesAreOneCodePointEach) {
  // A stray continuation byte, a value too high, a sequence cut short.
  EXPECT_EQ(split("gpt-2", "a\x80\xFF b"), (std::vector<std::string>{"a", "\x80\xFF", " b"}));
  EXPECT_EQ(split("llama3", "\xF4\x90\x80\x80"), (std::vector<std::string>{"\xF4\x90\x80\x80"}));
  EXPECT_EQ(CodePoints("\xF4\x90\x80\x80").size(), 4u);
  EXPECT_EQ(split("default", "\xE2\x82"), (std::vector<std::string>{"\xE2\x82"}));
  EXPECT_EQ(CodePoints("\xE2\x82").size(), 2u);
}

TEST(PreTokenizer, SurrogatesAreCodePoints) {
  EXPECT_EQ(CodePoints("\xED\xA0\x80").size(), 1u);
  // One code point may lead a word; three could not.
  EXPECT_EQ(split("llama3", "\xED\xA0\x80x"), (std::vector<std::string>{"\xED\xA0\x80x"}));
}

// Scanning them again and again would take hours.
TEST(PreTokenizer, MegabytesOfTheSame) {
  for (const std::string_view part : {"a", " ", "1", "!", "\n", " a", "\u3000", "'", "\u4F60", "\xFF"}) {
    std::string text;
    for (int i = 0; i < 1 << 20; ++i) text += part;
    const CodePoints points(text);
    for (const char* name : {"default", "llama3", "falcon3", "falcon", "gpt-2", "deepseek-llm", "qwen2"})
      EXPECT_EQ(find_pre_tokenizer(name)->split(points).back(), points.size()) << name << ": " << part;
  }
}

TEST(PreTokenizer, Habits) {
  EXPECT_TRUE(find_pre_tokenizer("llama-bpe")->ignore_merges);
  EXPECT_TRUE(find_pre_tokenizer("llama-bpe")->add_bos);
  for (const std::string_view name : {"default", "falcon3", "falcon", "gpt-2", "deepseek-llm", "qwen2"}) {
    EXPECT_FALSE(find_pre_tokenizer(name)->ignore_merges) << name;
    EXPECT_FALSE(find_pre_tokenizer(name)->add_bos) << name;
    EXPECT_EQ(find_pre_tokenizer(name)->name, name);
  }
  EXPECT_EQ(find_pre_tokenizer("jina-v2-es"), nullptr);
  EXPECT_EQ(find_pre_tokenizer(""), nullptr);
  EXPECT_NE(pre_tokenizer_names().find("llama-bpe, llama3"), std::string::npos);
}

}  // namespace
}  // namespace bitnet
