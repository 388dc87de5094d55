#include "engine/generate/generate.h"

#include <gtest/gtest.h>

#include "engine/error.h"
#include "engine/test_allocations.h"
#include "engine/tokenizer/test_vocabulary.h"

namespace bitnet {
namespace {

/// A model that says a given answer, whatever it is told, and remembers what it was told.
struct Parrot {
  const Tokenizer& tokenizer;
  std::vector<Token> answer;
  std::vector<std::vector<Token>> calls = {};
  std::vector<float> logits = {};

  EvaluateNext evaluate() {
    return [this](std::span<const Token> tokens) -> std::span<const float> {
      calls.emplace_back(tokens.begin(), tokens.end());
      logits.assign(static_cast<std::size_t>(tokenizer.size()), 0.0f);
      logits[static_cast<std::size_t>(answer.at(calls.size() - 1))] = 9;
      return logits;
    };
  }
};

class Generate : public testing::Test {
 protected:
  Tokenizer tokenizer = sample_vocabulary().make();
  std::vector<Token> prompt = {'Q', ':'};
  std::vector<std::string> parts;
  OnText on_text = [this](std::string_view part) { parts.emplace_back(part); };

  Generation run(Parrot& parrot, const GenerateOptions& options) {
    parts.clear();
    Generation g = generate(tokenizer, parrot.evaluate(), prompt, options, on_text);
    std::string joined;
    for (const std::string& part : parts) joined += part;
    EXPECT_EQ(joined, g.text);
    return g;
  }

  std::vector<Token> bytes(std::string_view text) {
    std::vector<Token> out;
    for (const char c : text) out.push_back(static_cast<std::uint8_t>(c));
    return out;
  }
};

using Parts = std::vector<std::string>;

TEST_F(Generate, EndsWithTheModel) {
  const Token eot = *tokenizer.find("<|eot_id|>");
  const Token hello = *tokenizer.find("hello");
  Parrot parrot{tokenizer, {hello, '!', eot}};
  const Generation g = run(parrot, {});
  EXPECT_EQ(g.reason, StopReason::eog);
  EXPECT_EQ(g.text, "hello!");
  EXPECT_EQ(g.tokens, (std::vector<Token>{hello, '!', eot}));
  EXPECT_EQ(parts, (Parts{"hello", "!"}));
  EXPECT_EQ(parrot.calls, (std::vector<std::vector<Token>>{{'Q', ':'}, {hello}, {'!'}}));
}

TEST_F(Generate, EndTokensMayBeIgnored) {
  const Token eot = *tokenizer.find("<|eot_id|>");
  Parrot parrot{tokenizer, {eot, 'a', 'b'}};
  GenerateOptions options;
  options.stop.eog = false;
  options.stop.max_tokens = 3;
  const Generation g = run(parrot, options);
  EXPECT_EQ(g.reason, StopReason::max_tokens);
  EXPECT_EQ(g.text, "ab");
  EXPECT_EQ(g.tokens.size(), 3u);
}

TEST_F(Generate, TheLimitCountsTokens) {
  Parrot parrot{tokenizer, bytes("abcdef")};
  GenerateOptions options;
  options.stop.max_tokens = 4;
  const Generation g = run(parrot, options);
  EXPECT_EQ(g.reason, StopReason::max_tokens);
  EXPECT_EQ(g.text, "abcd");
  EXPECT_EQ(parrot.calls.size(), 4u);  // the last token is not evaluated: nobody asks what follows

  options.stop.max_tokens = 0;
  Parrot silent{tokenizer, {}};
  const Generation none = run(silent, options);
  EXPECT_EQ(none.reason, StopReason::max_tokens);
  EXPECT_TRUE(none.tokens.empty());
  EXPECT_TRUE(silent.calls.empty());
}

TEST_F(Generate, StopStringsAreHeldBackAndCutOff) {
  Parrot parrot{tokenizer, bytes("ab\nQ:xyz")};
  GenerateOptions options;
  options.stop.strings = {"\nQ:"};
  const Generation g = run(parrot, options);
  EXPECT_EQ(g.reason, StopReason::stop_string);
  EXPECT_EQ(g.text, "ab");
  EXPECT_EQ(g.tokens.size(), 5u);
  EXPECT_EQ(parts, (Parts{"a", "b"}));

  Parrot near{tokenizer, bytes("a\nQx\n")};
  options.stop.max_tokens = 5;
  const Generation h = run(near, options);
  EXPECT_EQ(h.reason, StopReason::max_tokens);
  EXPECT_EQ(h.text, "a\nQx\n");
  EXPECT_EQ(parts, (Parts{"a", "\nQx", "\n"}));
}

TEST_F(Generate, CodePointsArriveWhole) {
  Parrot parrot{tokenizer, bytes("\xE4\xBD\xA0\xF0\x9F\x98\x80!")};
  GenerateOptions options;
  options.stop.max_tokens = 8;
  run(parrot, options);
  EXPECT_EQ(parts, (Parts{"\u4F60", "\U0001F600", "!"}));

  // Bytes that belong to no sequence are passed on as soon as that is certain, and one cut short at the end.
  Parrot broken{tokenizer, bytes("\x80\xE4x\xC0\xE4\xBD")};
  options.stop.max_tokens = 6;
  const Generation g = run(broken, options);
  EXPECT_EQ(g.text, "\x80\xE4x\xC0\xE4\xBD");
  EXPECT_EQ(parts, (Parts{"\x80", "\xE4x", "\xC0", "\xE4\xBD"}));
}

TEST_F(Generate, ThePenaltySeesPromptAndAnswer) {
  std::vector<float> logits(static_cast<std::size_t>(tokenizer.size()), -1.0f);
  logits['Q'] = 4;
  logits['x'] = 3;
  logits['y'] = 2.5f;
  GenerateOptions options;
  options.sampling.repetition_penalty = 4;
  options.stop.max_tokens = 2;
  const auto evaluate = [&](std::span<const Token>) { return std::span<const float>(logits); };
  EXPECT_EQ(generate(tokenizer, evaluate, prompt, options).text, "xy");
}

TEST_F(Generate, ALongerAnswerAllocatesNoMore) {
  std::vector<float> logits(static_cast<std::size_t>(tokenizer.size()), 0.0f);
  logits['x'] = 1;
  const auto evaluate = [&](std::span<const Token>) { return std::span<const float>(logits); };
  std::size_t shown = 0;
  const auto allocations = [&](int max_tokens) {
    GenerateOptions options;
    options.stop.max_tokens = max_tokens;
    options.stop.strings = {"xyz"};
    const long before = test_allocations().count;
    generate(tokenizer, evaluate, prompt, options, [&](std::string_view part) { shown += part.size(); });
    return test_allocations().count - before;
  };
  EXPECT_EQ(allocations(2000), allocations(20));
  EXPECT_EQ(shown, 2020u);
}

TEST_F(Generate, AModelThatPicksItsTokensAnswersTheSame) {
  const Token eot = *tokenizer.find("<|eot_id|>");
  std::vector<Token> answer = bytes("ab\nQ:xyz");
  answer.push_back(eot);
  for (const char* stop : {"", "\nQ:", "yz"}) {
    for (const int limit : {0, 3, 100}) {
      GenerateOptions options;
      options.stop.max_tokens = limit;
      if (*stop != '\0') options.stop.strings = {stop};
      Parrot parrot{tokenizer, answer};
      const Generation expected = run(parrot, options);
      const std::vector<std::string> expected_parts = parts;
      parts.clear();
      std::vector<std::vector<Token>> calls;
      const PickNext pick = [&](std::span<const Token> tokens) {
        calls.emplace_back(tokens.begin(), tokens.end());
        return answer.at(calls.size() - 1);
      };
      const Generation g = generate_greedy(tokenizer, pick, prompt, options.stop, on_text);
      EXPECT_EQ(g.tokens, expected.tokens);
      EXPECT_EQ(g.text, expected.text);
      EXPECT_EQ(g.reason, expected.reason);
      EXPECT_EQ(calls, parrot.calls);
      EXPECT_EQ(parts, expected_parts);
    }
  }
  const PickNext none = [](std::span<const Token>) { return Token{0}; };
  EXPECT_THROW(generate_greedy(tokenizer, none, {}, {}), InputError);
}

TEST_F(Generate, RefusesWhatCannotBe) {
  Parrot parrot{tokenizer, bytes("a")};
  GenerateOptions options;
  EXPECT_THROW(generate(tokenizer, parrot.evaluate(), {}, options), InputError);
  options.stop.max_tokens = -1;
  EXPECT_THROW(generate(tokenizer, parrot.evaluate(), prompt, options), InputError);
  options = {};
  options.stop.strings = {""};
  EXPECT_THROW(generate(tokenizer, parrot.evaluate(), prompt, options), InputError);
  options = {};
  options.sampling.repetition_penalty = 0;
  EXPECT_THROW(generate(tokenizer, parrot.evaluate(), prompt, options), InputError);
  EXPECT_TRUE(parrot.calls.empty());
  const std::vector<float> few(10, 1.0f);
  const auto evaluate = [&](std::span<const Token>) { return std::span<const float>(few); };
  EXPECT_THROW(generate(tokenizer, evaluate, prompt, {}), InputError);
}

}  // namespace
}  // namespace bitnet
