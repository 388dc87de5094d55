#pragma once
// tokenizer.json or tokenizer.model and what stands beside it (tokenizer_config.json, generation_config.json,
// config.json): the vocabulary in GGUF's words.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/convert/json_object.h"
#include "engine/convert/sentencepiece_model.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet::hf {

/// The files; one of the first two must be there. Of both, tokenizer.model has the scores.
struct TokenizerFiles {
  std::optional<JsonObject> tokenizer;
  std::optional<SentencePieceModel> pieces;
  std::optional<JsonObject> tokenizer_config;
  std::optional<JsonObject> generation_config;
  std::optional<JsonObject> config;
  std::optional<JsonObject> added_tokens;
  std::optional<std::string> chat_template;  // chat_template.jinja
};

/// As VocabData, but it owns its texts.
struct HfVocabulary {
  std::string source;
  std::string model;  // tokenizer.ggml.model: gpt2, or llama for SentencePiece
  std::string pre;    // tokenizer.ggml.pre
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<float> scores;                               // of llama
  std::vector<std::string> merges;                         // of gpt2
  std::vector<std::pair<std::string, std::uint32_t>> ids;  // "bos_token_id", ..., in the order to be written
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = true;  // of llama
  std::string chat_template;
  std::vector<std::string> notes;  // what was decided, one line each

  VocabData data() const;  // views of this object
};

/// `n_vocab`: the embedding's rows; ids without a token are filled up. `pre` overrides what tokenizer.json
/// says of its pre-tokenizer, "" follows it. Throws InputError that names file and field for what is damaged
/// or cannot be expressed; what a Tokenizer refuses is for it to refuse.
HfVocabulary read_hf_vocabulary(const TokenizerFiles& files, std::uint32_t n_vocab, const std::string& pre);

/// Whether a tokenizer.json's model is SentencePiece's: BPE that writes unknown characters as their bytes.
bool is_sentence_piece(const JsonObject& tokenizer);

/// The name that bitnet.cpp knows a tokenizer.json's pre-tokenizer by; nothing for one that it does not know.
std::optional<std::string> pre_tokenizer_name(const JsonObject& tokenizer);

/// Whether a SentencePiece tokenizer.json puts a space before a text; nothing where it does anything else to
/// texts than to write their spaces as U+2581.
std::optional<bool> space_prefix(const JsonObject& tokenizer);

}  // namespace bitnet::hf
