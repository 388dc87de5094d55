#pragma once
// The emulator's weights: what bitnet.cpp reads from a file, and what it reads and ignores
// (reference-semantics 1.5).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/formats/tensor_type.h"
#include "engine/gguf/ternary_tensor.h"
#include "engine/model/config.h"

namespace crossval::emulation {

/// I2_S, F16, F32 or Q6_K, as it lies in the file; embedding and head may be BF16, Q8_0, Q5_0, Q4_K or Q4_0
/// too. Projections in other ternary formats are I2_S here.
struct Matrix {
  const std::byte* data = nullptr;
  bitnet::TensorType type = bitnet::TensorType::f32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  float scale = 1;  // I2_S: one for the matrix
};

/// y = x W^T, then times `factor`, then plus `bias`.
struct Projection {
  Matrix matrix;
  std::optional<float> factor;  // architecture bitnet: a tensor `.scale`
  std::vector<float> bias;      // the others: (rows) or none
};

struct Layer {
  std::vector<float> attn_norm, attn_sub_norm, ffn_norm, ffn_sub_norm;
  Projection wq, wk, wv, wo, gate, up, down;
};

struct Weights {
  Matrix token_embd;  // (V, d)
  Matrix head;        // (V, d): token_embd; output.weight in llama only, whatever the file holds
  std::vector<Layer> layers;
  std::vector<float> output_norm;
  std::vector<float> rope_divisors;             // (n_rot / 2) or none
  std::vector<std::vector<std::byte>> decoded;  // ternary matrices that lie otherwise in the file
};

/// Throws InputError where bitnet.cpp would refuse the file, or where the emulator does not know a type.
Weights load_weights(const bitnet::gguf::File& file, const bitnet::Config& config,
                     const bitnet::gguf::TernaryOptions& ternary = {});

}  // namespace crossval::emulation
