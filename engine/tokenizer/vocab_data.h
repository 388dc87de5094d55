#pragma once
// A vocabulary as a file holds it, before anything is checked: what a Tokenizer is made from.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitnet {

namespace gguf {
class File;
}

/// Keys are those of GGUF (reference-semantics 7.1). Views belong to whoever filled it.
struct VocabData {
  std::string source;                                      // where it comes from, for messages
  std::string model;                                       // tokenizer.ggml.model
  std::optional<std::string> pre;                          // tokenizer.ggml.pre
  std::vector<std::string_view> tokens;                    // tokenizer.ggml.tokens
  std::optional<std::vector<std::int32_t>> types;          // tokenizer.ggml.token_type
  std::optional<std::vector<float>> scores;                // tokenizer.ggml.scores
  std::optional<std::vector<std::string_view>> merges;     // tokenizer.ggml.merges
  std::vector<std::pair<std::string, std::uint32_t>> ids;  // "bos_token_id", ...: those the file has
  std::optional<bool> add_bos;                             // tokenizer.ggml.add_bos_token
  std::optional<bool> add_eos;                             // tokenizer.ggml.add_eos_token
  std::optional<bool> add_space_prefix;                    // tokenizer.ggml.add_space_prefix
  std::string chat_template;                               // tokenizer.chat_template
};

/// Views point into the file's map. Throws InputError where a key is missing or has another type.
VocabData read_vocabulary(const gguf::File& file);

}  // namespace bitnet
