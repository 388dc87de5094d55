#include "engine/tokenizer/chat_template.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/error.h"

namespace bitnet {
namespace {

const std::vector<Message> kTalk = {
    {"system", " Be brief.\n"}, {"user", "U1"}, {"assistant", "A1"}, {"user", " U2 "}};

TEST(ChatTemplate, Names) {
  for (const auto t :
       {ChatTemplate::raw, ChatTemplate::instruct, ChatTemplate::llama3_chat, ChatTemplate::bitnet_chat}) {
    EXPECT_EQ(parse_chat_template(to_string(t)), t);
  }
  EXPECT_EQ(to_string(ChatTemplate::llama3_chat), "llama3-chat");
  try {
    parse_chat_template("llama3");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_STREQ(e.what(),
                 "unknown chat template `llama3`; known: raw, instruct, llama3-chat, bitnet-chat, auto");
  }
}

TEST(ChatTemplate, Raw) {
  EXPECT_EQ(render_chat(ChatTemplate::raw, kTalk), " Be brief.\nU1A1 U2 ");
  EXPECT_EQ(render_chat(ChatTemplate::raw, {}), "");
}

TEST(ChatTemplate, Instruct) {
  const std::vector<Message> one = {{"user", "2+2?"}};
  EXPECT_EQ(render_chat(ChatTemplate::instruct, one), "Q: 2+2?\nA:");
  EXPECT_EQ(render_chat(ChatTemplate::instruct, kTalk), " Be brief.\n\nQ: U1\nA: A1\nQ:  U2 \nA:");
  const std::vector<Message> odd = {{"tool", "x"}};
  EXPECT_THROW(render_chat(ChatTemplate::instruct, odd), InputError);
}

TEST(ChatTemplate, Llama3) {
  EXPECT_EQ(render_chat(ChatTemplate::llama3_chat, kTalk),
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nU1<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nU2<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(ChatTemplate, Bitnet) {
  EXPECT_EQ(
      render_chat(ChatTemplate::bitnet_chat, kTalk),
      "System: Be brief.<|eot_id|>User: U1<|eot_id|>Assistant: A1<|eot_id|>User: U2<|eot_id|>Assistant: ");
  const std::vector<Message> blank = {{"USER", " \n"}};
  EXPECT_EQ(render_chat(ChatTemplate::bitnet_chat, blank), "User: <|eot_id|>Assistant: ");
}

TEST(ChatTemplate, DetectedByTheFile) {
  struct Case {
    std::string_view text, name;
    ChatTemplate chosen;
    std::string_view reason;
  };
  constexpr std::string_view kLlama3 =
      "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + "
      "'<|eot_id|>' }}";
  constexpr std::string_view kOfficialFile =
      "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'Human: ' + message['content'] + "
      "'\n\nBITNETAssistant: ' + eos_token }}{% endif %}{% endfor %}";
  constexpr std::string_view kTrained =
      "{% set content = message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' %}";
  const Case cases[] = {
      {kLlama3, "bitnet2b", ChatTemplate::llama3_chat, "<|start_header_id|>"},
      {kOfficialFile, "", ChatTemplate::bitnet_chat, "BITNET"},
      {kTrained, "", ChatTemplate::bitnet_chat, "Role: content<|eot_id|>"},
      {"<|im_start|>BITNET", "bitnet2b", ChatTemplate::raw, "chatml"},
      {"[INST]", "", ChatTemplate::raw, "llama2"},
      {"<|user|><|assistant|>", "", ChatTemplate::raw, "falcon3"},
      {"<|user|><|assistant|><|end|>", "", ChatTemplate::raw, "phi3"},
      {"<|user|><|start_header_id|><|end_header_id|>", "", ChatTemplate::raw, "zephyr"},
      {"bos_token + message['role'] BITNET", "", ChatTemplate::raw, "monarch"},
      {"<start_of_turn>", "", ChatTemplate::raw, "gemma"},
      {"'\\n\\nAssistant: ' + eos_token BITNET", "", ChatTemplate::raw, "orion"},
      {"GPT4 Correct User", "", ChatTemplate::raw, "openchat"},
      {"USER: ASSISTANT: ", "", ChatTemplate::raw, "vicuna (it has `USER: ` and `ASSISTANT: `)"},
      {"### Instruction: <|EOT|>", "", ChatTemplate::raw, "deepseek (it"},
      {"<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", "", ChatTemplate::raw, "command-r"},
      {"<|start_header_id|><|end_header_id|>[gMASK]sop", "", ChatTemplate::llama3_chat,
       "has `<|start_header"},
      {"<|start_header_id|>", "", ChatTemplate::raw, "none that is known"},
      {"[gMASK]sop BITNET", "", ChatTemplate::raw, "chatglm3"},
      {"[gMASK]<sop>", "", ChatTemplate::raw, "chatglm4"},
      {"<\u7528\u6237>", "", ChatTemplate::raw, "minicpm"},
      {"'Assistant: ' + message['content'] + eos_token BITNET", "", ChatTemplate::raw, "deepseek2"},
      {"[|system|][|assistant|][|endofturn|]", "", ChatTemplate::raw, "exaone3"},
      {"capitalize <|eot_id|> BITNET", "", ChatTemplate::bitnet_chat, "placeholder"},
      {"something else", "bitnet2b", ChatTemplate::raw, "none that is known"},
      {"", "bitnet2b", ChatTemplate::bitnet_chat, "name"},
      {"", "BitNet-b1.58-2B-4T", ChatTemplate::bitnet_chat, "name"},
      {"", "bitnet_b1_58-large", ChatTemplate::raw, "no chat template"},
      {"", "", ChatTemplate::raw, "no chat template"},
  };
  for (const Case& c : cases) {
    const TemplateChoice choice = detect_chat_template(c.text, c.name);
    EXPECT_EQ(choice.chosen, c.chosen) << c.text << " / " << c.name;
    EXPECT_NE(choice.reason.find(c.reason), std::string::npos) << choice.reason;
    EXPECT_EQ(choice.reason.find('\n'), std::string::npos) << choice.reason;
  }
}

TEST(ChatTemplate, ChosenByNameOrByTheFile) {
  const TemplateChoice named = choose_chat_template("instruct", "BITNET", "");
  EXPECT_EQ(named.chosen, ChatTemplate::instruct);
  EXPECT_EQ(named.reason, "");
  const TemplateChoice found = choose_chat_template("auto", "BITNET", "");
  EXPECT_EQ(found.chosen, ChatTemplate::bitnet_chat);
  EXPECT_EQ(found.reason, detect_chat_template("BITNET", "").reason);
  EXPECT_THROW(choose_chat_template("Auto", "", ""), InputError);
}

}  // namespace
}  // namespace bitnet
