#pragma once
// Chat templates, in one place. No Jinja: the known templates are written out (reference-semantics 7.7;
// docs/reference/chat-templates.md says where they differ from bitnet.cpp).

#include <span>
#include <string>
#include <string_view>

namespace bitnet {

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

enum class ChatTemplate { raw, instruct, llama3_chat, bitnet_chat };

/// Stands, where a template is chosen, for the one that the file means.
inline constexpr std::string_view kAutoTemplate = "auto";

/// "raw", "instruct", "llama3-chat", "bitnet-chat"; anything else is an InputError that lists the names.
ChatTemplate parse_chat_template(std::string_view name);
std::string_view to_string(ChatTemplate t);

struct TemplateChoice {
  ChatTemplate chosen;
  std::string reason;  // one line: what in the file led to it
};
/// `auto`: by the file's own template text, told apart as bitnet.cpp does it, and the model's name.
TemplateChoice detect_chat_template(std::string_view template_text, std::string_view model_name);
/// `name` as a user gives it; the reason is empty unless it is `auto`.
TemplateChoice choose_chat_template(std::string_view name, std::string_view template_text,
                                    std::string_view model_name);

/// The prompt text, without BOS (the tokenizer adds it), ending where the assistant's answer begins.
///  raw: the contents, one after another.  instruct: "Q: " + content + "\nA:" per user message, " " + content
///  + "\n" per assistant message.  llama3-chat, bitnet-chat: see reference-semantics 7.7 (bitnet-chat: as the
///  model was trained, "Role: content<|eot_id|>" each, then "Assistant: ").
std::string render_chat(ChatTemplate t, std::span<const Message> messages);

}  // namespace bitnet
