#include "engine/tokenizer/chat_template.h"

#include <algorithm>
#include <array>

#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace bitnet {
namespace {

struct Named {
  std::string_view name;
  ChatTemplate value;
};
constexpr std::array<Named, 4> kNames{{{"raw", ChatTemplate::raw},
                                       {"instruct", ChatTemplate::instruct},
                                       {"llama3-chat", ChatTemplate::llama3_chat},
                                       {"bitnet-chat", ChatTemplate::bitnet_chat}}};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
char ascii_upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}

/// "user" -> "User".
std::string capitalised(std::string_view text) {
  std::string out = lower(text);
  if (!out.empty()) out[0] = ascii_upper(out[0]);
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string render_raw(std::span<const Message> messages) {
  std::string out;
  for (const Message& m : messages) out += m.content;
  return out;
}

std::string render_instruct(std::span<const Message> messages) {
  std::string out;
  for (const Message& m : messages) {
    if (m.role == "user") {
      out += "Q: " + m.content + "\nA:";
    } else if (m.role == "assistant") {
      out += " " + m.content + "\n";
    } else if (m.role == "system") {
      out += m.content + "\n";
    } else {
      throw InputError("chat template `instruct`: unknown role `" + m.role +
                       "`; known: system, user, assistant");
    }
  }
  return out;
}

std::string render_llama3(std::span<const Message> messages) {
  const auto header = [](std::string_view role) {
    return "<|start_header_id|>" + std::string(role) + "<|end_header_id|>\n\n";
  };
  std::string out;
  for (const Message& m : messages) out.append(header(m.role)).append(trim(m.content)).append("<|eot_id|>");
  return out + header("assistant");
}

std::string render_bitnet(std::span<const Message> messages) {
  std::string out;
  for (const Message& m : messages) {
    out.append(capitalised(m.role)).append(": ").append(trim(m.content)).append("<|eot_id|>");
  }
  return out + "Assistant: ";
}

/// A template that bitnet.cpp knows: its name there, and the texts that it is known by, all of which must
/// occur.
struct Known {
  std::string_view name;
  std::array<std::string_view, 3> marks;
};
// In bitnet.cpp's order: the first that fits is meant. Its `falcon_e` is missing, which no text can reach.
constexpr Known kKnown[] = {
    {"chatml", {"<|im_start|>"}},
    {"llama2", {"[INST]"}},
    {"phi3", {"<|assistant|>", "<|end|>"}},
    {"falcon3", {"<|assistant|>", "<|user|>"}},
    {"zephyr", {"<|user|>"}},
    {"monarch", {"bos_token + message['role']"}},
    {"gemma", {"<start_of_turn>"}},
    {"orion", {"'\\n\\nAssistant: ' + eos_token"}},
    {"openchat", {"GPT4 Correct "}},
    {"vicuna", {"USER: ", "ASSISTANT: "}},
    {"deepseek", {"### Instruction:", "<|EOT|>"}},
    {"command-r", {"<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"}},
    {"llama3", {"<|start_header_id|>", "<|end_header_id|>"}},
    {"chatglm3", {"[gMASK]sop"}},
    {"chatglm4", {"[gMASK]<sop>"}},
    {"minicpm", {"<\u7528\u6237>"}},
    {"deepseek2", {"'Assistant: ' + message['content'] + eos_token"}},
    {"exaone3", {"[|system|]", "[|assistant|]", "[|endofturn|]"}},
    {"bitnet", {"BITNET"}},
};

const Known* find_known(std::string_view text) {
  for (const Known& k : kKnown) {
    if (std::ranges::all_of(k.marks, [text](std::string_view mark) { return contains(text, mark); }))
      return &k;
  }
  return nullptr;
}

std::string marks_of(const Known& k) {
  std::string out;
  for (const std::string_view mark : k.marks) {
    if (!mark.empty()) out.append(out.empty() ? "`" : " and `").append(mark).append("`");
  }
  return out;
}

}  // namespace

ChatTemplate parse_chat_template(std::string_view name) {
  std::string known;
  for (const Named& n : kNames) {
    if (n.name == name) return n.value;
    known += (known.empty() ? "" : ", ") + std::string(n.name);
  }
  throw InputError("unknown chat template `" + gguf::printable(name, 64) + "`; known: " + known + ", auto");
}

std::string_view to_string(ChatTemplate t) {
  for (const Named& n : kNames) {
    if (n.value == t) return n.name;
  }
  return {};
}

TemplateChoice detect_chat_template(std::string_view text, std::string_view model_name) {
  if (const Known* known = find_known(text)) {
    const std::string has = " has " + marks_of(*known);
    if (known->name == "llama3") return {ChatTemplate::llama3_chat, "the file's chat template" + has};
    if (known->name == "bitnet")
      return {ChatTemplate::bitnet_chat,
              "the file's chat template" + has + ", a placeholder: the model's true template is used"};
    return {ChatTemplate::raw, "the file's chat template is " + std::string(known->name) + " (it" + has +
                                   "), which is not supported: the contents are used as they are"};
  }
  if (contains(text, "capitalize") && contains(text, "<|eot_id|>")) {
    return {ChatTemplate::bitnet_chat, "the file's chat template writes `Role: content<|eot_id|>`"};
  }
  if (!text.empty()) {
    return {ChatTemplate::raw,
            "the file's chat template is none that is known: the contents are used as they are"};
  }
  const std::string name = lower(model_name);
  if (contains(name, "bitnet") && contains(name, "2b")) {
    return {ChatTemplate::bitnet_chat, "the file has no chat template; the model's name says BitNet 2B"};
  }
  return {ChatTemplate::raw, "the file has no chat template: the contents are used as they are"};
}

TemplateChoice choose_chat_template(std::string_view name, std::string_view text,
                                    std::string_view model_name) {
  if (name == kAutoTemplate) return detect_chat_template(text, model_name);
  return {parse_chat_template(name), ""};
}

std::string render_chat(ChatTemplate t, std::span<const Message> messages) {
  switch (t) {
    case ChatTemplate::instruct:
      return render_instruct(messages);
    case ChatTemplate::llama3_chat:
      return render_llama3(messages);
    case ChatTemplate::bitnet_chat:
      return render_bitnet(messages);
    case ChatTemplate::raw:
      break;
  }
  return render_raw(messages);
}

}  // namespace bitnet
