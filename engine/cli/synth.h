#pragma once
// Random-weight models of true dimensions: for benchmarks, and for tests of whole models.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/formats/tensor_type.h"

namespace bitnet {

/// What a model looks like. The weights follow from it and from the seed alone.
struct SynthShape {
  std::string name = "synthetic";
  std::string architecture = "bitnet-b1.58";  // or bitnet-25, bitnet or llama
  std::uint32_t n_embd = 0;                   // a multiple of 128
  std::uint32_t n_ff = 0;                     // a multiple of 128
  std::uint32_t n_layer = 0;
  std::uint32_t n_head = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;  // n_head * head_dim must be a multiple of 128, n_head_kv * head_dim one of 4
  std::uint32_t n_ctx = 0;
  std::uint32_t n_vocab = 0;  // see make_synth_vocabulary
  float rope_freq_base = 500000.0f;
  float rms_eps = 1e-5f;
  TensorType embedding = TensorType::f16;  // token_embd.weight: one of synth_head_types()
  bool untied = false;                     // writes output.weight (bitnet.cpp takes it in llama only)
  TensorType head = TensorType::f16;       // output.weight: likewise
  bool biases = false;      // `.bias` after each projection; in bitnet-25 and bitnet-b1.58 those of attention
  bool factors = false;     // `.scale` with each projection (bitnet.cpp takes it in bitnet only)
  bool rope_freqs = false;  // rope_freqs.weight (bitnet.cpp takes it in all but bitnet)
  std::string pre = "llama-bpe";  // tokenizer.ggml.pre; "" leaves the key out
};

/// Names of the presets: the dimensions of "bitnet-b1.58-2B-4T", "falcon3-1b-1.58" and "llama3-8b-1.58", all
/// their layers; "tiny" (256 wide, 2 layers), "tiny-llama" (the same as a llama with heads that are wider
/// together than it is) and "awkward" (640 wide, 8 heads of 80, FFN 896, F32 embedding).
std::vector<std::string> synth_presets();

/// Names of the types that embedding and head can have (formats/float_format.h): "f16", "f32", ...
std::vector<std::string> synth_head_types();

/// `type` is the type of the ternary weights: "i2_s"; `head_type` that of embedding and head, the preset's
/// own where it is empty. Throws InputError for an unknown name, listing those that exist.
SynthShape synth_shape(std::string_view preset, std::string_view type = "i2_s",
                       std::string_view head_type = {});

/// Called now and then with the bytes written and the bytes in all.
using SynthProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Writes the model to `path`, which appears only when it is complete. Ternary weights are -1, 0, +1 with
/// equal shares and packed as I2_S with scales between 0.744 and 4.60. The embedding is small against what
/// the layers add, so that the arg max of a step is hardly ever the token that went in. The same arguments
/// give the same bytes on every platform. Throws InputError for a shape that no engine could run, SystemError
/// when the disk is full.
void synth(const SynthShape& shape, std::uint64_t seed, const std::filesystem::path& path,
           const SynthProgress& progress = {});

/// The same by names.
void synth(std::string_view preset, std::string_view type, std::uint64_t seed,
           const std::filesystem::path& path, const SynthProgress& progress = {});

}  // namespace bitnet
