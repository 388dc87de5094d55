#pragma once
// The weights of a model: views into the mapped file where its alignment and layout allow, copies of the
// small vectors.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/formats/tensor_type.h"
#include "engine/gguf/ternary_tensor.h"
#include "engine/kernels/kernels.h"
#include "engine/model/config.h"

namespace bitnet {

/// A matrix that stands for floats, [rows][cols]: embedding or head. The type of its first element tells the
/// type of all; a ternary one is I2_S.
struct FloatMatrix {
  std::variant<const float*, const f16*, const bf16*, const q8_0::Block*, const q6_k::Block*,
               const q5_0::Block*, const q4_k::Block*, const q4_0::Block*, TernaryMatrix>
      data;
  std::int64_t rows = 0;
  std::int64_t cols = 0;  // a multiple of the elements in a block

  /// Null for other types.
  const f16* half() const {
    const auto* p = std::get_if<const f16*>(&data);
    return p ? *p : nullptr;
  }
  /// Where its bytes begin.
  const std::byte* bytes_at() const;
  TensorType type() const;
  std::int64_t bytes() const;
};

/// y = x W^T, then times `factor`, then plus `bias`.
struct Projection {
  TernaryMatrix matrix;     // (rows, cols)
  float factor = 1;         // the tensor `.scale`
  std::vector<float> bias;  // (rows), empty where the file has none
};

struct LayerWeights {
  std::vector<float> attn_norm;      // (n_embd)
  Projection attn_q;                 // (H*hd, n_embd)
  Projection attn_k;                 // (G*hd, n_embd)
  Projection attn_v;                 // (G*hd, n_embd)
  std::vector<float> attn_sub_norm;  // (H*hd), empty without sub-norms
  Projection attn_output;            // (n_embd, H*hd)
  std::vector<float> ffn_norm;       // (n_embd)
  Projection ffn_gate;               // (n_ff, n_embd)
  Projection ffn_up;                 // (n_ff, n_embd)
  std::vector<float> ffn_sub_norm;   // (n_ff), empty without sub-norms
  Projection ffn_down;               // (n_embd, n_ff)

  std::array<const Projection*, 7> projections() const {
    return {&attn_q, &attn_k, &attn_v, &attn_output, &ffn_gate, &ffn_up, &ffn_down};
  }
};

struct Weights {
  FloatMatrix token_embd;            // (n_vocab, n_embd)
  std::vector<LayerWeights> layers;  // n_layer
  std::vector<float> output_norm;    // (n_embd)
  FloatMatrix output;                // (n_vocab, n_embd); token_embd again when tied
  bool tied = true;
  std::vector<float> rope_freqs;  // (n_rot/2) divisors of the angles, empty when the file has none
  std::vector<std::vector<float>> realigned;  // memory of matrices that lay at odd addresses in the file
  std::shared_ptr<std::byte[]> decoded;       // ternary matrices that lie otherwise in the file
  std::vector<std::string> warnings;          // one line each, for the user
};

struct WeightOptions {
  gguf::TernaryOptions ternary;
  bool decode =
      true;  // no: ternary matrices in other layouts than the engine's keep null codes; for a check of shapes
};

/// Takes every tensor of the file, by name, shape and type; a missing, surplus or misshapen one is an
/// InputError that names it. Ternary matrices of every format are decoded into the engine's layout. The file
/// must outlive the result.
Weights load_weights(const gguf::File& file, const Config& config, const WeightOptions& options = {});

}  // namespace bitnet
