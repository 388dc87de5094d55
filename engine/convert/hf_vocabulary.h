#pragma once
// tokenizer.json and what stands beside it (tokenizer_config.json, generation_config.json, config.json): the
// vocabulary in GGUF's words.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/convert/json_object.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet::hf {

/// The files; all but the first may be absent.
struct TokenizerFiles {
  JsonObject tokenizer;
  std::optional<JsonObject> tokenizer_config;
  std::optional<JsonObject> generation_config;
  std::optional<JsonObject> config;
  std::optional<std::string> chat_template;  // chat_template.jinja
};

/// As VocabData, but it owns its texts.
struct HfVocabulary {
  std::string source;
  std::string model;  // tokenizer.ggml.model: gpt2
  std::string pre;    // tokenizer.ggml.pre
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<std::string> merges;
  std::vector<std::pair<std::string, std::uint32_t>> ids;  // "bos_token_id", ..., in the order to be written
  bool add_bos = false;
  bool add_eos = false;
  std::string chat_template;
  std::vector<std::string> notes;  // what was decided, one line each

  VocabData data() const;  // views of this object
};

/// `n_vocab`: the embedding's rows; ids without a token are filled up. `pre` overrides what tokenizer.json
/// says of its pre-tokenizer, "" follows it. Throws InputError that names file and field for what is damaged
/// or cannot be expressed; what a Tokenizer refuses is for it to refuse.
HfVocabulary read_hf_vocabulary(const TokenizerFiles& files, std::uint32_t n_vocab, const std::string& pre);

/// The name that bitnet.cpp knows a tokenizer.json's pre-tokenizer by; nothing for one that it does not know.
std::optional<std::string> pre_tokenizer_name(const JsonObject& tokenizer);

}  // namespace bitnet::hf
