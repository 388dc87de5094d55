#pragma once
// Hyper-parameters, read from the GGUF keys (reference-semantics 1.2).

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/kernels/kernels.h"

namespace bitnet {

namespace gguf {
class File;
}

enum class Architecture : std::uint8_t { bitnet, bitnet_25, bitnet_b158, llama };
enum class Activation : std::uint8_t { silu, relu_squared };

struct Config {
  Architecture architecture{};
  std::string architecture_name;  // "bitnet-b1.58", ...
  std::string name;               // general.name
  std::int64_t n_vocab = 0;
  std::int64_t n_ctx = 0;  // context_length
  std::int64_t n_embd = 0;
  std::int64_t n_ff = 0;
  std::int64_t n_layer = 0;
  std::int64_t n_head = 0;     // H
  std::int64_t n_head_kv = 0;  // G, divides H
  std::int64_t head_dim = 0;   // hd = key_length = value_length
  std::int64_t n_rot = 0;      // even, <= head_dim
  float rms_eps = 0;
  float rope_freq_base = 10000;
  float rope_freq_scale = 1;  // 1 / rope.scaling.factor
  RopePairing rope_pairing = RopePairing::neox;
  Activation activation = Activation::relu_squared;
  bool sub_norms = true;

  std::int64_t q_width() const { return n_head * head_dim; }
  std::int64_t kv_width() const { return n_head_kv * head_dim; }
};

/// Throws InputError that names the key when one is missing, of another type, out of range, or inconsistent.
Config read_config(const gguf::File& file);

}  // namespace bitnet
