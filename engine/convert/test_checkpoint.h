#pragma once
// The way back, for tests: a GGUF model as the folder that Hugging Face would have of it.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/convert/projection.h"
#include "engine/gguf/gguf.h"
#include "engine/safetensors/test_file.h"

namespace bitnet::testing {

/// The files of a folder, to be changed before they are written.
struct TestCheckpoint {
  nlohmann::json config;
  nlohmann::json tokenizer;  // null: there is none
  nlohmann::json tokenizer_config;
  nlohmann::json generation_config;
  TestSafetensors weights;

  /// With `shards` > 1 the tensors are dealt out in turn, and an index names them.
  void write(const std::filesystem::path& folder, std::size_t shards = 1) const;
};

/// A model with a byte-level vocabulary, I2_S projections, and F32 or F16 elsewhere. `stored`: packed, codes
/// (as BF16) or ternary (as F32). Scales are written as F32, as `rule` wants them.
TestCheckpoint test_checkpoint(const gguf::File& model, hf::Storage stored = hf::Storage::packed,
                               hf::ScaleRule rule = hf::ScaleRule::multiply);

void write_file(const std::filesystem::path& path, const std::string& bytes);
std::string read_file(const std::filesystem::path& path);

}  // namespace bitnet::testing
