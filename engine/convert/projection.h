#pragma once
// The ternary weights of one projection, from whatever a checkpoint stores for it.
// Source: the paper (arXiv 2402.17764), formulas 1 to 3, and what transformers computes: of master weights W,
// in binary32, s = 1 / max(mean |W|, 1e-5), codes are W * s rounded to -1, 0 or +1, the real weight is code /
// s. Packed weights hold four rows in each row of bytes: byte row r has the codes + 1 of the rows r, r + R,
// r + 2 R and r + 3 R in bits 1:0, 3:2, 5:4 and 7:6.

#include <cstdint>
#include <optional>
#include <string>

#include "engine/convert/checkpoint.h"
#include "engine/gguf/ternary_tensor.h"

namespace bitnet::hf {

/// How a checkpoint's `weight_scale` acts on the codes.
enum class ScaleRule : std::uint8_t { multiply, divide };

struct Projection {
  const Safetensors::Tensor* weight = nullptr;
  const Safetensors::Tensor* weight_scale = nullptr;  // may be absent
  TernaryShape shape;
  /// Not 0: the rows of each of so many heads are brought from Hugging Face's order, in which RoPE pairs row
  /// j with row j + half, to that of neighbours.
  std::uint32_t heads_to_interleave = 0;
};

/// What the weights are.
enum class Storage : std::uint8_t {
  packed,   // codes of two bits, with a weight_scale
  codes,    // -1, 0, +1 as floats, with a weight_scale
  ternary,  // floats that are all 0 or of one magnitude
  master    // floats to be made ternary
};

/// What is to be known of a projection before its weights can be made.
struct ProjectionFacts {
  Storage storage{};
  std::optional<float> weight_scale;
  float absmean = 0;    // of floats: max(mean |W|, 1e-5)
  float magnitude = 0;  // of `ternary`
};

/// Reads all weights once. Throws InputError that names the tensor for a type, shape or value that cannot be.
ProjectionFacts examine(const Checkpoint& checkpoint, const Projection& projection);

/// The weights, in the file's order of rows. Throws InputError for packed codes that are none.
gguf::TernaryWeights ternary_weights(const Checkpoint& checkpoint, const Projection& projection,
                                     const ProjectionFacts& facts, ScaleRule rule);

/// Where row `row` of a file's tensor stands in the checkpoint's.
std::uint64_t source_row(std::uint64_t row, std::uint64_t rows, std::uint32_t heads_to_interleave);

/// The type of a tensor of floats among F32, F16 and BF16; InputError for another.
TensorType float_type_of(const Checkpoint& checkpoint, const Safetensors::Tensor& tensor);

/// "[2560, 640]"
std::string shape_text(const std::vector<std::uint64_t>& shape);

}  // namespace bitnet::hf
