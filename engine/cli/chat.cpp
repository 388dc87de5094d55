#include "engine/cli/chat.h"

#include <algorithm>
#include <array>
#include <bit>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/base64.h"
#include "engine/error.h"
#include "engine/fingerprint.h"
#include "engine/generate/in_context.h"
#include "engine/gguf/printable.h"

namespace bitnet {
namespace {

using nlohmann::json;

constexpr const char* kSchema = "bitnet.chat/1";
constexpr std::string_view kNotOurs = "saved chat: not written by /save, or damaged";

json to_json(const Message& m) {
  if (gguf::valid_utf8(m.content)) return {{"role", m.role}, {"content", m.content}};
  return {{"role", m.role}, {"content_b64", base64_encode(m.content)}};
}

Message message_of(const json& j) {
  Message m{.role = j.at("role").get<std::string>(), .content = {}};
  if (j.contains("content")) {
    m.content = j.at("content").get<std::string>();
  } else if (auto content = base64_decode(j.at("content_b64").get<std::string>())) {
    m.content = std::move(*content);
  } else {
    throw InputError(std::string(kNotOurs) + ": content_b64 is not base64");
  }
  return m;
}

bool has_system(const std::vector<Message>& messages) {
  return !messages.empty() && messages[0].role == "system";
}

/// What a saved chat ends with.
using Sum = std::array<std::byte, 8>;
Sum sum_of(std::span<const std::byte> bytes) {
  Fingerprint sum;
  sum.add(bytes);
  return std::bit_cast<Sum>(sum.value());
}

/// Whether user and assistant take turns, after a system message or none.
bool alternate(const std::vector<Message>& messages) {
  const std::size_t first = has_system(messages) ? 1 : 0;
  for (std::size_t i = first; i < messages.size(); ++i)
    if (messages[i].role != ((i - first) % 2 == 0 ? "user" : "assistant")) return false;
  return (messages.size() - first) % 2 == 0;
}

}  // namespace

Chat::Chat(Context& context, ChatTemplate chosen, std::string system, GenerateOptions options)
    : context_(context), chosen_(chosen), options_(std::move(options)) {
  if (!system.empty()) messages_.push_back({"system", std::move(system)});
}

std::vector<Token> Chat::prompt_of(const std::vector<Message>& messages) const {
  return context_.model().tokenizer().encode(render_chat(chosen_, messages), /*add_special=*/true,
                                             /*parse_special=*/true);
}

ChatTurn Chat::ask(const std::string& text, const OnText& on_text) {
  std::vector<Message> messages = messages_;
  messages.push_back({"user", text});
  std::vector<Token> prompt = prompt_of(messages);
  ChatTurn turn{.number = turns_ + 1};
  // An answer may be cut short by the end of the context, but not a long one to a few words.
  const std::int64_t n_ctx = context_.n_ctx();
  const std::int64_t answer = std::min<std::int64_t>(options_.stop.max_tokens, n_ctx / 4);
  const std::ptrdiff_t first = has_system(messages) ? 1 : 0;
  if (std::ssize(prompt) + answer > n_ctx)
    while (std::ssize(prompt) > n_ctx / 2 && std::ssize(messages) - first > 1) {
      messages.erase(messages.begin() + first, messages.begin() + first + 2);
      prompt = prompt_of(messages);
      ++turn.dropped_turns;
    }

  GenerateOptions options = options_;
  options.sampling.seed += static_cast<std::uint64_t>(turns_);
  options.stop.max_tokens = std::min(options.stop.max_tokens, room_for_answer(prompt.size(), n_ctx));
  turn.prompt_tokens = std::ssize(prompt);
  turn.reused_tokens = common_prefix(prompt, context_.tokens(0));
  turn.answer = generate(context_, 0, prompt, options, on_text);
  messages.push_back({"assistant", turn.answer.text});
  messages_ = std::move(messages);
  ++turns_;
  return turn;
}

void Chat::reset() {
  messages_.resize(has_system(messages_) ? 1 : 0);
  turns_ = 0;
  context_.truncate(0, 0);
}

std::vector<std::byte> Chat::save() const {
  json head = {
      {"schema", kSchema}, {"template", to_string(chosen_)}, {"turns", turns_}, {"messages", json::array()}};
  for (const Message& m : messages_) head["messages"].push_back(to_json(m));
  const std::string line = head.dump() + "\n";
  const auto bytes = std::as_bytes(std::span(line));
  std::vector<std::byte> out(bytes.begin(), bytes.end());
  const std::vector<std::byte> cells = context_.save(0);
  out.insert(out.end(), cells.begin(), cells.end());
  const Sum sum = sum_of(out);
  out.insert(out.end(), sum.begin(), sum.end());
  return out;
}

void Chat::load(std::span<const std::byte> file) {
  if (file.size() < sizeof(Sum)) throw InputError(std::string(kNotOurs));
  const std::span<const std::byte> bytes = file.first(file.size() - sizeof(Sum));
  if (!std::ranges::equal(sum_of(bytes), file.last(sizeof(Sum))))
    throw InputError(std::string(kNotOurs) + ": its checksum does not hold");
  const auto end = std::ranges::find(bytes, std::byte{'\n'});
  if (end == bytes.end()) throw InputError(std::string(kNotOurs));
  const auto length = static_cast<std::size_t>(end - bytes.begin());
  std::vector<Message> messages;
  ChatTemplate chosen{};
  std::int64_t turns = 0;
  try {
    const json head = json::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), length));
    if (head.at("schema") != kSchema) throw InputError(std::string(kNotOurs) + ": schema is not " + kSchema);
    chosen = parse_chat_template(head.at("template").get<std::string>());
    turns = head.at("turns").get<std::int64_t>();
    for (const json& m : head.at("messages")) messages.push_back(message_of(m));
  } catch (const json::exception&) {
    throw InputError(std::string(kNotOurs) + ": its first line");
  }
  if (!alternate(messages)) throw InputError(std::string(kNotOurs) + ": user and assistant must take turns");
  // The pool has room for one sequence. Should this fail, the next turn evaluates the history again.
  context_.release(0);
  try {
    context_.restore(bytes.subspan(length + 1));
  } catch (const InputError&) {
    context_.acquire();
    throw;
  }
  messages_ = std::move(messages);
  chosen_ = chosen;
  turns_ = turns;
}

}  // namespace bitnet
