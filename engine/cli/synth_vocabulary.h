#pragma once
// A byte-level BPE vocabulary of any size, made by rule: no training, no text of anybody else's.

#include <cstdint>
#include <string>
#include <vector>

namespace bitnet {

struct SynthVocabulary {
  std::vector<std::string> tokens;  // distinct; written in the GPT-2 byte alphabet
  std::vector<std::int32_t> types;  // of tokenizer.ggml.token_type: 1 normal, 3 control
  std::vector<std::string> merges;  // each makes one token out of two earlier ones
  std::uint32_t bos = 0;
  std::uint32_t eos = 0;
  std::uint32_t eot = 0;
  std::string chat_template;
};

/// The 256 bytes, then merged tokens, then the control tokens: the last 256 ids of a vocabulary of at least
/// 4096 (in the order of the Llama 3 family, so 128000 is BOS when there are 128256), else the last 16.
/// Throws InputError when n_tokens is below 272 or above what the rule can make (200000).
SynthVocabulary make_synth_vocabulary(std::uint32_t n_tokens);

}  // namespace bitnet
