#pragma once
// The weights of a model: views into the mapped file where its alignment allows, copies of the small vectors.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/formats/f16.h"
#include "engine/kernels/kernels.h"
#include "engine/model/config.h"

namespace bitnet {

namespace gguf {
class File;
}

/// A matrix of floats, [rows][cols], F16 or F32: embedding or head. Exactly one pointer is set.
struct FloatMatrix {
  const f16* half = nullptr;
  const float* single = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

struct LayerWeights {
  std::vector<float> attn_norm;      // (n_embd)
  TernaryMatrix attn_q;              // (H*hd, n_embd)
  TernaryMatrix attn_k;              // (G*hd, n_embd)
  TernaryMatrix attn_v;              // (G*hd, n_embd)
  std::vector<float> attn_sub_norm;  // (H*hd), empty without sub-norms
  TernaryMatrix attn_output;         // (n_embd, H*hd)
  std::vector<float> ffn_norm;       // (n_embd)
  TernaryMatrix ffn_gate;            // (n_ff, n_embd)
  TernaryMatrix ffn_up;              // (n_ff, n_embd)
  std::vector<float> ffn_sub_norm;   // (n_ff), empty without sub-norms
  TernaryMatrix ffn_down;            // (n_embd, n_ff)
};

struct Weights {
  FloatMatrix token_embd;            // (n_vocab, n_embd)
  std::vector<LayerWeights> layers;  // n_layer
  std::vector<float> output_norm;    // (n_embd)
  FloatMatrix output;                // (n_vocab, n_embd); token_embd again when tied
  bool tied = true;
  std::vector<float> rope_freqs;  // (n_rot/2) divisors of the angles, empty when the file has none
  std::vector<std::vector<float>> realigned;  // memory of matrices that lay at odd addresses in the file
  std::vector<std::string> warnings;          // one line each, for the user
};

/// Takes every tensor of the file, by name, shape and type; a missing, surplus or misshapen one is an
/// InputError that names it. The file must outlive the result.
Weights load_weights(const gguf::File& file, const Config& config);

}  // namespace bitnet
