#pragma once
// A conversation: its messages, and what of them the KV cache has evaluated.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/generate/generate.h"
#include "engine/model/context.h"
#include "engine/tokenizer/chat_template.h"

namespace bitnet {

struct ChatTurn {
  std::int64_t number = 0;         // from 1
  std::int64_t prompt_tokens = 0;  // of the whole history as it was rendered
  std::int64_t reused_tokens = 0;  // of them, those that were evaluated before
  std::int64_t dropped_turns = 0;  // the oldest, to make room
  Generation answer;
};

/// Every turn renders the whole history; where its tokens begin like those in the cache, only the rest is
/// evaluated. When history and answer no longer fit into the context, the oldest turns are dropped whole,
/// until half of it is free; a system message stays.
class Chat {
 public:
  /// Takes sequence 0 of the context, which must outlive it. The seed of a turn is that of the sampling plus
  /// the turn's number less one.
  Chat(Context& context, ChatTemplate chosen, std::string system, GenerateOptions options);

  /// Throws InputError where the turn does not fit into the context even alone; it is then as if it had not
  /// been asked.
  ChatTurn ask(const std::string& text, const OnText& on_text = {});
  /// Forgets everything but the system message.
  void reset();

  /// Messages (a line of JSON), cache (kv_blob.h) and a checksum. What was saved goes on as if it had never
  /// stopped, under the same options.
  std::vector<std::byte> save() const;
  /// Template and system message come with it. Throws InputError for what `save` did not write or another
  /// model wrote; the conversation is then as before.
  void load(std::span<const std::byte> file);

  const std::vector<Message>& messages() const { return messages_; }
  ChatTemplate chat_template() const { return chosen_; }

 private:
  std::vector<Token> prompt_of(const std::vector<Message>& messages) const;

  Context& context_;
  ChatTemplate chosen_;
  GenerateOptions options_;
  std::vector<Message> messages_;  // a system message or none, then user and assistant in turn
  std::int64_t turns_ = 0;
};

}  // namespace bitnet
