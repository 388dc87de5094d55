#pragma once
// Small random models for tests.

#include <unistd.h>

#include <filesystem>
#include <string>

#include "engine/cli/synth.h"
#include "engine/model/model.h"

namespace bitnet::test {

/// 256 wide, two layers, four heads of 64 over two KV heads.
inline SynthShape tiny_shape() {
  return synth_shape("tiny");
}

/// As small as a model can be that has grouped heads, for tests that evaluate thousands of tokens.
inline SynthShape smallest_shape(std::uint32_t n_ctx) {
  SynthShape shape;
  shape.n_embd = 128;
  shape.n_ff = 256;
  shape.n_layer = 1;
  shape.n_head = 4;
  shape.n_head_kv = 2;
  shape.head_dim = 64;
  shape.n_ctx = n_ctx;
  shape.n_vocab = 272;
  return shape;
}

/// Writes and loads a model; the file is removed from its folder at once, the map keeps it.
inline Model make_model(const SynthShape& shape, std::uint64_t seed = 1) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("crossval-model-" + std::to_string(::getpid()) + ".gguf");
  synth(shape, seed, path);
  Model model = Model::load(path);
  std::filesystem::remove(path);
  return model;
}

}  // namespace bitnet::test
