#pragma once
// A small random model that every library of the family loads: F16 weights, one of the architectures that all
// know. For the adapter's tests.

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "engine/formats/f16.h"
#include "engine/gguf/writer.h"
#include "engine/tokenizer/byte_alphabet.h"

namespace crossval::testing {

struct PlainShape {
  std::string architecture = "llama";  // or bitnet
  std::uint32_t n_ctx = 128;
  std::uint32_t n_embd = 128;
  std::uint32_t n_ff = 192;
  std::uint32_t n_layer = 2;
  std::uint32_t n_head = 4;
  std::uint32_t n_head_kv = 2;
  static constexpr std::uint32_t kVocab = 260;  // 256 bytes and four control tokens
};

inline void write_plain_model(const PlainShape& shape, const std::filesystem::path& path) {
  using bitnet::TensorType;
  const std::string& a = shape.architecture;
  const std::uint32_t head = shape.n_embd / shape.n_head;
  const std::uint32_t kv = shape.n_head_kv * head;
  bitnet::gguf::Writer writer(path);
  writer.add("general.architecture", a);
  writer.add(a + ".context_length", shape.n_ctx);
  writer.add(a + ".embedding_length", shape.n_embd);
  writer.add(a + ".block_count", shape.n_layer);
  writer.add(a + ".feed_forward_length", shape.n_ff);
  writer.add(a + ".attention.head_count", shape.n_head);
  writer.add(a + ".attention.head_count_kv", shape.n_head_kv);
  writer.add(a + ".attention.layer_norm_rms_epsilon", 1e-5f);
  writer.add(a + ".rope.dimension_count", head);
  writer.add(a + ".rope.freq_base", 10000.0f);
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  for (std::uint32_t i = 0; i < PlainShape::kVocab; ++i) {
    tokens.push_back(i < 256 ? std::string(bitnet::byte_symbol(static_cast<std::uint8_t>(i)))
                             : "<control" + std::to_string(i) + ">");
    types.push_back(i < 256 ? 1 : 3);
  }
  writer.add("tokenizer.ggml.model", std::string("gpt2"));
  writer.add("tokenizer.ggml.pre", std::string("default"));
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.token_type", types);
  writer.add("tokenizer.ggml.merges", std::vector<std::string>{});
  writer.add("tokenizer.ggml.bos_token_id", std::uint32_t{256});
  writer.add("tokenizer.ggml.eos_token_id", std::uint32_t{257});

  struct Declared {
    std::uint64_t n;
    TensorType type;
    float spread;  // values lie in middle +- spread
    float middle;
  };
  std::vector<Declared> declared;
  const auto matrix = [&](const std::string& name, std::uint32_t columns, std::uint32_t rows) {
    writer.add_tensor(name, {columns, rows}, TensorType::f16);
    declared.push_back({std::uint64_t{columns} * rows, TensorType::f16, 0.15f, 0});
  };
  const auto norm = [&](const std::string& name, std::uint32_t width) {
    writer.add_tensor(name, {width}, TensorType::f32);
    declared.push_back({width, TensorType::f32, 0.5f, 1});
  };
  const bool sub_norms = a != "llama";
  matrix("token_embd.weight", shape.n_embd, PlainShape::kVocab);
  for (std::uint32_t i = 0; i < shape.n_layer; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    norm(block + "attn_norm.weight", shape.n_embd);
    matrix(block + "attn_q.weight", shape.n_embd, shape.n_embd);
    matrix(block + "attn_k.weight", shape.n_embd, kv);
    matrix(block + "attn_v.weight", shape.n_embd, kv);
    if (sub_norms) norm(block + "attn_sub_norm.weight", shape.n_embd);
    matrix(block + "attn_output.weight", shape.n_embd, shape.n_embd);
    norm(block + "ffn_norm.weight", shape.n_embd);
    matrix(block + "ffn_gate.weight", shape.n_embd, shape.n_ff);
    matrix(block + "ffn_up.weight", shape.n_embd, shape.n_ff);
    if (sub_norms) norm(block + "ffn_sub_norm.weight", shape.n_ff);
    matrix(block + "ffn_down.weight", shape.n_ff, shape.n_embd);
  }
  norm("output_norm.weight", shape.n_embd);
  writer.begin();
  std::mt19937_64 random(1);
  for (const Declared& tensor : declared) {
    const std::size_t size = tensor.type == TensorType::f16 ? 2 : 4;
    std::vector<std::byte> bytes(tensor.n * size);
    for (std::uint64_t i = 0; i < tensor.n; ++i) {
      const float unit = static_cast<float>(random() >> 40) / static_cast<float>(1 << 23) - 1;  // [-1, 1)
      const float value = tensor.middle + tensor.spread * unit;
      const bitnet::f16 half = bitnet::f32_to_f16(value);
      std::memcpy(bytes.data() + i * size, size == 2 ? static_cast<const void*>(&half) : &value, size);
    }
    writer.append(bytes);
  }
  writer.finish();
}

}  // namespace crossval::testing
