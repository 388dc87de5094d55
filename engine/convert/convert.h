#pragma once
// A Hugging Face folder as a GGUF model: `bitnet convert`.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/convert/projection.h"
#include "engine/formats/tensor_type.h"

namespace bitnet {

struct ConvertOptions {
  std::string pre;                         // tokenizer.ggml.pre; "" follows tokenizer.json
  std::string name;                        // general.name; "" follows the checkpoint
  std::optional<hf::ScaleRule> scales;     // how weight_scale acts; nothing goes by the evidence
  TensorType embedding = TensorType::f16;  // of embedding and head: a float type
};

struct ConvertReport {
  std::string architecture;
  std::int64_t packed = 0;         // projections that were ternary codes with a scale
  std::int64_t ternary = 0;        // that were floats of one magnitude
  std::int64_t master = 0;         // that were master weights, made ternary
  std::int64_t others = 0;         // embedding, head, norms, biases
  std::uint64_t rounded = 0;       // numbers of embedding and head that their type does not hold exactly
  std::vector<std::string> notes;  // what was decided and why, one line each
};

using ConvertProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Writes the model to `out`, projections as I2_S, which appears only when it is complete, everything in it
/// was read back and decodes to what was meant, and the engine takes it. Holds one tensor in memory. Each
/// failure is an InputError of one line that names file, field and mend, SystemError when the disk fails.
ConvertReport convert(const std::filesystem::path& folder, const ConvertOptions& options,
                      const std::filesystem::path& out, const ConvertProgress& progress = {});

}  // namespace bitnet
