#pragma once
// The same model with its weights in other formats: `bitnet quantize`.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gguf/ternary_tensor.h"

namespace bitnet {

/// What the projections are written as: a ternary format, or f32, f16 or bf16, which hold weight * scale.
struct QuantizeType {
  std::string_view name;  // "i2_s", "i2_s-arm", ..., as --type takes it
  TensorType type;
  I2sLayout layout = I2sLayout::x86;
};

std::vector<QuantizeType> quantize_types();

struct QuantizeOptions {
  std::string type;                     // a name of quantize_types()
  std::optional<TensorType> embedding;  // of token_embd.weight; as it is where nothing is said
  std::optional<TensorType> head;       // of output.weight, likewise
  gguf::TernaryOptions source;          // how the source's tensors lie
  TlTable tiles;                        // of TL1 and TL2 in the target; presets or what fits otherwise
};

struct QuantizeReport {
  std::int64_t ternary = 0;    // tensors written in the wanted type
  std::int64_t converted = 0;  // embedding and head in another type than before
  std::int64_t copied = 0;
  std::int64_t rounded = 0;            // scales that binary16 does not hold
  double greatest_rounding = 0;        // of these, relative
  std::string greatest_rounding_name;  // the tensor
};

using QuantizeProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Writes the model to `out`, which appears only when it is complete and everything in it was read back and
/// decodes to what was meant. Holds one tensor in memory. Projections in F32, F16 or BF16 are accepted where
/// they are ternary: their values zero or one magnitude. Throws InputError that names the tensor otherwise,
/// and where a format cannot hold a matrix; SystemError when the disk fails.
QuantizeReport quantize(const gguf::File& source, const QuantizeOptions& options,
                        const std::filesystem::path& out, const QuantizeProgress& progress = {});

}  // namespace bitnet
