#include "engine/model/model.h"

namespace bitnet {

Model::Model(gguf::File file, const Tokenizer::Options& tokenizer, const gguf::TernaryOptions& ternary)
    : file_(std::move(file)),
      config_(read_config(file_)),
      weights_(load_weights(file_, config_, {.ternary = ternary})),
      tokenizer_(file_, tokenizer) {
  if (tokenizer_.size() != config_.n_vocab)
    file_.fail("tokenizer.ggml.tokens",
               "has " + std::to_string(tokenizer_.size()) + " entries, but token_embd.weight has " +
                   std::to_string(config_.n_vocab) + " rows; the vocabulary belongs to another model");
}

Model Model::load(const std::filesystem::path& path, const Tokenizer::Options& tokenizer,
                  const gguf::TernaryOptions& ternary) {
  return Model(gguf::File::open(path), tokenizer, ternary);
}

}  // namespace bitnet
