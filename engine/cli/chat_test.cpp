#include "engine/cli/chat.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/error.h"
#include "engine/generate/in_context.h"
#include "engine/generate/random.h"
#include "engine/model/test_model.h"

namespace bitnet {
namespace {

class ChatTest : public testing::Test {
 protected:
  Model model_ = test::make_model(test::tiny_shape());

  static GenerateOptions options(int max_tokens = 12, float temperature = 0) {
    GenerateOptions o;
    o.stop.max_tokens = max_tokens;
    o.sampling.temperature = temperature;
    o.sampling.seed = 3;
    return o;
  }
  /// What a context that has seen nothing answers to these messages.
  Generation alone(std::span<const Message> messages, GenerateOptions options, std::uint64_t turn = 1) {
    options.sampling.seed += turn - 1;
    Context context(model_, {.threads = 1});
    const auto prompt = model_.tokenizer().encode(render_chat(ChatTemplate::instruct, messages), true, true);
    return generate(context, 0, prompt, options);
  }
  /// The messages that the answer of the last turn saw.
  static std::span<const Message> asked(const Chat& chat) {
    return std::span(chat.messages()).first(chat.messages().size() - 1);
  }
};

TEST_F(ChatTest, EveryTurnIsWhatTheWholeHistoryGives) {
  for (const float temperature : {0.0f, 1.0f}) {
    Context context(model_, {.threads = 2});
    Chat chat(context, ChatTemplate::instruct, "Be brief.", options(12, temperature));
    for (std::uint64_t turn = 1; turn <= 4; ++turn) {
      const ChatTurn t = chat.ask("question number " + std::to_string(turn));
      EXPECT_EQ(t.number, static_cast<std::int64_t>(turn));
      EXPECT_EQ(t.answer.tokens, alone(asked(chat), options(12, temperature), turn).tokens) << turn;
      EXPECT_EQ(t.dropped_turns, 0);
      EXPECT_TRUE(turn == 1 || t.reused_tokens > t.prompt_tokens / 3) << t.reused_tokens;
      EXPECT_LT(t.reused_tokens, t.prompt_tokens);
    }
    ASSERT_EQ(chat.messages().size(), 9u);
    EXPECT_EQ(chat.messages()[0].content, "Be brief.");
    EXPECT_EQ(chat.messages()[7].content, "question number 4");
    EXPECT_EQ(chat.messages()[8].role, "assistant");
  }
}

TEST_F(ChatTest, ResetForgetsAllButTheSystemMessage) {
  Context context(model_, {.threads = 1});
  Chat chat(context, ChatTemplate::instruct, "Be brief.", options());
  const ChatTurn first = chat.ask("one");
  chat.ask("two");
  chat.reset();
  EXPECT_EQ(chat.messages().size(), 1u);
  EXPECT_EQ(context.length(0), 0);
  const ChatTurn again = chat.ask("one");
  EXPECT_EQ(again.number, 1);
  EXPECT_EQ(again.reused_tokens, 0);
  EXPECT_EQ(again.answer.tokens, first.answer.tokens);
}

TEST_F(ChatTest, ASavedChatGoesOnElsewhere) {
  const GenerateOptions sampled = options(12, 1);
  Context here(model_, {.threads = 1});
  Chat chat(here, ChatTemplate::instruct, "Be brief.", sampled);
  chat.ask("one \xff is no UTF-8");
  const std::vector<std::byte> saved = chat.save();
  const ChatTurn expected = chat.ask("two");

  Context there(model_, {.threads = 2});
  Chat other(there, ChatTemplate::raw, "", sampled);
  other.ask("something else");
  other.load(saved);
  EXPECT_EQ(other.save(), saved);
  EXPECT_EQ(other.chat_template(), ChatTemplate::instruct);
  const ChatTurn t = other.ask("two");
  EXPECT_EQ(t.number, 2);
  EXPECT_EQ(t.answer.tokens, expected.answer.tokens);
  EXPECT_EQ(t.reused_tokens, expected.reused_tokens);
  EXPECT_EQ(other.messages()[1].content, "one \xff is no UTF-8");
}

TEST_F(ChatTest, WhatWasNotSavedIsRefusedAndTheChatGoesOn) {
  Context context(model_, {.threads = 1});
  Chat chat(context, ChatTemplate::instruct, "", options());
  chat.ask("one");
  const std::vector<std::byte> saved = chat.save();
  Random random(1);
  for (std::size_t at = 0; at < saved.size(); at += at < 400 ? 1 : 97) {
    std::vector<std::byte> damaged = saved;
    damaged[at] ^= static_cast<std::byte>(1 + random.next() % 255);
    EXPECT_THROW(chat.load(damaged), InputError) << "byte " << at;
    EXPECT_THROW(chat.load(std::span(saved).first(at)), InputError) << at << " bytes";
  }
  const Model stranger = test::make_model(test::tiny_shape(), 2);
  Context other(stranger, {.threads = 1});
  Chat others(other, ChatTemplate::instruct, "", options());
  others.ask("one");
  EXPECT_THROW(chat.load(others.save()), InputError);

  ASSERT_EQ(chat.messages().size(), 2u);
  const ChatTurn t = chat.ask("two");
  EXPECT_EQ(t.answer.tokens, alone(asked(chat), options()).tokens);
}

TEST_F(ChatTest, WhenTheContextIsFullTheOldestTurnsGo) {
  Context context(model_, {.threads = 1, .n_ctx = 160});
  Chat chat(context, ChatTemplate::instruct, "Be brief.", options(20));
  std::int64_t dropped = 0;
  for (int i = 1; i <= 12; ++i) {
    const ChatTurn t = chat.ask("question number " + std::to_string(i));
    dropped += t.dropped_turns;
    EXPECT_EQ(t.answer.tokens, alone(asked(chat), options(20)).tokens) << i;
    EXPECT_LE(context.length(0), 160);
    EXPECT_EQ(chat.messages()[0].content, "Be brief.");
    EXPECT_EQ(std::ssize(chat.messages()), 1 + 2 * (i - dropped));
    EXPECT_TRUE(t.dropped_turns == 0 || t.prompt_tokens <= 80) << t.prompt_tokens;
  }
  EXPECT_GT(dropped, 3);
}

TEST_F(ChatTest, ATurnThatDoesNotFitEvenAloneIsAsIfItHadNotBeenAsked) {
  Context context(model_, {.threads = 1, .n_ctx = 100});
  Chat chat(context, ChatTemplate::instruct, "", options());
  chat.ask("one");
  const std::size_t before = chat.messages().size();
  EXPECT_THROW(chat.ask(std::string(5000, '?')), InputError);
  EXPECT_EQ(chat.messages().size(), before);
  const ChatTurn t = chat.ask("two");
  EXPECT_EQ(t.answer.tokens, alone(asked(chat), options()).tokens);
}

}  // namespace
}  // namespace bitnet
