#pragma once
// A model: file, hyper-parameters, weights, tokenizer. Immutable; shared by any number of contexts.

#include <filesystem>

#include "engine/gguf/gguf.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet {

class Model {
 public:
  /// Maps and validates the whole file. Throws InputError.
  static Model load(const std::filesystem::path& path, const Tokenizer::Options& tokenizer = {},
                    const gguf::TernaryOptions& ternary = {});

  const gguf::File& file() const { return file_; }
  const Config& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  Model(gguf::File file, const Tokenizer::Options& tokenizer, const gguf::TernaryOptions& ternary);
  gguf::File file_;
  Config config_;
  Weights weights_;
  Tokenizer tokenizer_;
};

}  // namespace bitnet
