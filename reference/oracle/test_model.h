#pragma once
// Small models for the oracle's tests. The values are kept beside the file that is written from them, so that
// a test can compute what the oracle should say without reading the file.

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/formats/bf16.h"
#include "engine/formats/f16.h"
#include "engine/formats/tensor_type.h"
#include "engine/gguf/writer.h"
#include "engine/tokenizer/byte_alphabet.h"

namespace crossval::testing {

struct TestShape {
  std::string architecture = "bitnet-b1.58";
  std::uint32_t n_vocab = 260;  // 256 bytes and four more
  std::uint32_t n_ctx = 64;
  std::uint32_t n_embd = 128;
  std::uint32_t n_ff = 256;
  std::uint32_t n_layer = 2;
  std::uint32_t n_head = 4;
  std::uint32_t n_head_kv = 2;
  std::uint32_t head_dim = 32;
  std::uint32_t n_rot = 32;
  float rms_eps = 1e-5f;
  float freq_base = 10000;
  float rope_factor = 1;
  bool rope_freqs = false;
  bool untied = false;
  bool biases = false;                                     // after every projection
  bool factors = false;                                    // tensors `.scale`, of architecture bitnet
  std::string activation;                                  // the key hidden_activation, where it is not empty
  float weight_scale = 1;                                  // of the ternary matrices, times 0.25 to 1.25
  bitnet::TensorType embedding = bitnet::TensorType::f16;  // or F32, BF16, Q8_0, Q6_K, I2_S
};

struct TestModel {
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> ne;
    bitnet::TensorType type{};
    std::vector<float> values;  // as real numbers; ternary: -1, 0, 1 and `scale`
    float scale = 1;
    std::vector<std::byte> blocks;  // of Q8_0 and Q6_K: the bytes that the values were read from
  };

  TestShape shape;
  std::vector<Tensor> tensors;

  explicit TestModel(const TestShape& s, std::uint64_t seed = 1) : shape(s), random(seed) {
    using bitnet::TensorType;
    const std::uint32_t q = s.n_head * s.head_dim, kv = s.n_head_kv * s.head_dim;
    add("token_embd.weight", {s.n_embd, s.n_vocab}, s.embedding);
    const bool sub_norms = s.architecture != "llama";
    for (std::uint32_t i = 0; i < s.n_layer; ++i) {
      const std::string blk = "blk." + std::to_string(i) + ".";
      add(blk + "attn_norm.weight", {s.n_embd}, TensorType::f32);
      project(blk + "attn_q", s.n_embd, q);
      project(blk + "attn_k", s.n_embd, kv);
      project(blk + "attn_v", s.n_embd, kv);
      if (sub_norms) add(blk + "attn_sub_norm.weight", {q}, TensorType::f32);
      project(blk + "attn_output", q, s.n_embd);
      add(blk + "ffn_norm.weight", {s.n_embd}, TensorType::f32);
      project(blk + "ffn_gate", s.n_embd, s.n_ff);
      project(blk + "ffn_up", s.n_embd, s.n_ff);
      if (sub_norms) add(blk + "ffn_sub_norm.weight", {s.n_ff}, TensorType::f32);
      project(blk + "ffn_down", s.n_ff, s.n_embd);
    }
    add("output_norm.weight", {s.n_embd}, TensorType::f32);
    if (s.untied) add("output.weight", {s.n_embd, s.n_vocab}, s.embedding);
    if (s.rope_freqs) add("rope_freqs.weight", {s.n_rot / 2}, TensorType::f32);
  }

  Tensor& at(const std::string& name) {
    for (Tensor& tensor : tensors)
      if (tensor.name == name) return tensor;
    throw std::out_of_range(name);
  }

  void write(const std::filesystem::path& path) const {
    const std::string& a = shape.architecture;
    bitnet::gguf::Writer writer(path);
    writer.add("general.architecture", a);
    writer.add(a + ".context_length", shape.n_ctx);
    writer.add(a + ".embedding_length", shape.n_embd);
    writer.add(a + ".block_count", shape.n_layer);
    writer.add(a + ".feed_forward_length", shape.n_ff);
    writer.add(a + ".attention.head_count", shape.n_head);
    writer.add(a + ".attention.head_count_kv", shape.n_head_kv);
    writer.add(a + ".attention.key_length", shape.head_dim);
    writer.add(a + ".attention.value_length", shape.head_dim);
    writer.add(a + ".attention.layer_norm_rms_epsilon", shape.rms_eps);
    writer.add(a + ".rope.dimension_count", shape.n_rot);
    writer.add(a + ".rope.freq_base", shape.freq_base);
    if (!shape.activation.empty()) writer.add(a + ".hidden_activation", shape.activation);
    if (shape.rope_factor != 1) writer.add(a + ".rope.scaling.factor", shape.rope_factor);

    std::vector<std::string> tokens;
    std::vector<std::int32_t> types;
    for (std::uint32_t i = 0; i < shape.n_vocab; ++i) {
      if (i < 256)
        tokens.emplace_back(bitnet::byte_symbol(static_cast<std::uint8_t>(i)));
      else if (i == 256)
        tokens.emplace_back("<s>");
      else if (i == 257)
        tokens.emplace_back("</s>");
      else
        tokens.push_back("<spare" + std::to_string(i) + ">");
      types.push_back(i < 256 ? 1 : 3);
    }
    writer.add("tokenizer.ggml.model", std::string("gpt2"));
    writer.add("tokenizer.ggml.pre", std::string("default"));
    writer.add("tokenizer.ggml.tokens", tokens);
    writer.add("tokenizer.ggml.token_type", types);
    writer.add("tokenizer.ggml.merges", std::vector<std::string>{});
    writer.add("tokenizer.ggml.bos_token_id", std::uint32_t{256});
    writer.add("tokenizer.ggml.eos_token_id", std::uint32_t{257});
    writer.add("tokenizer.ggml.add_bos_token", true);

    for (const Tensor& tensor : tensors) writer.add_tensor(tensor.name, tensor.ne, tensor.type);
    writer.begin();
    for (const Tensor& tensor : tensors) writer.append(bytes_of(tensor));
    writer.finish();
  }

 private:
  std::mt19937_64 random;

  float uniform() { return static_cast<float>(random() >> 40) / static_cast<float>(1 << 24); }  // [0, 1)

  void project(const std::string& name, std::uint32_t cols, std::uint32_t rows) {
    add(name + ".weight", {cols, rows}, bitnet::TensorType::i2_s);
    if (shape.biases) add(name + ".bias", {rows}, bitnet::TensorType::f32);
    if (shape.factors) add(name + ".scale", {1}, bitnet::TensorType::f32);
  }

  void add(const std::string& name, const std::vector<std::uint64_t>& ne, bitnet::TensorType type) {
    using bitnet::TensorType;
    Tensor tensor{name, ne, type, {}, 1, {}};
    std::uint64_t n = 1;
    for (std::uint64_t extent : ne) n *= extent;
    if (type == TensorType::q8_0 || type == TensorType::q6_k) {
      make_blocks(tensor, n);
      tensors.push_back(std::move(tensor));
      return;
    }
    for (std::uint64_t i = 0; i < n; ++i) {
      float value = 0;
      if (type == TensorType::i2_s)
        value = static_cast<float>(static_cast<int>(random() % 3) - 1);
      else if (ne.size() == 1)
        value = 0.5f + uniform();  // norms, divisors of angles
      else
        value = 4 * uniform() - 2;
      if (type == TensorType::f16) value = bitnet::f16_to_f32(bitnet::f32_to_f16(value));
      if (type == TensorType::bf16) value = bitnet::bf16_to_f32(bitnet::f32_to_bf16(value));
      tensor.values.push_back(value);
    }
    if (type == TensorType::i2_s) tensor.scale = (0.25f + uniform()) * shape.weight_scale;
    tensors.push_back(std::move(tensor));
  }

  // Random bytes but for the binary16 scale, a power of two with which values stay below 8; what they mean by
  // the layouts' formulas (Q6_K: reference-semantics 6.11).
  void make_blocks(Tensor& tensor, std::uint64_t n) {
    const bool q6 = tensor.type == bitnet::TensorType::q6_k;
    const std::size_t elements = q6 ? 256 : 32, bytes = q6 ? 210 : 34, scale_at = q6 ? 208 : 0;
    const bitnet::f16 scale = q6 ? 0x1800 : 0x2c00;  // 2^-9, 2^-4
    tensor.blocks.resize(n / elements * bytes);
    for (std::byte& byte : tensor.blocks) byte = static_cast<std::byte>(random());
    for (std::size_t b = 0; b < n / elements; ++b) {
      std::byte* block = tensor.blocks.data() + b * bytes;
      std::memcpy(block + scale_at, &scale, 2);
      const auto number = [&](std::size_t at) {
        return static_cast<int>(static_cast<std::int8_t>(block[at]));
      };
      const auto bits = [&](std::size_t at, std::size_t shift, int mask) {
        return (std::to_integer<int>(block[at]) >> shift) & mask;
      };
      for (std::size_t e = 0; e < elements; ++e) {
        if (!q6) {
          tensor.values.push_back(0x1p-4f * static_cast<float>(number(2 + e)));
          continue;
        }
        const std::size_t h = e / 128, k = e % 128 / 32, l = e % 32;
        const int low = bits(64 * h + 32 * (k & 1) + l, 4 * (k / 2), 15);
        const int high = bits(128 + 32 * h + l, 2 * k, 3);
        tensor.values.push_back(0x1p-9f *
                                static_cast<float>(number(192 + e / 16) * ((low | high << 4) - 32)));
      }
    }
  }

  // The I2_S layout by its formula over the flat list of weights (reference-semantics 2.2).
  static std::vector<std::byte> bytes_of(const Tensor& tensor) {
    using bitnet::TensorType;
    const std::size_t n = tensor.values.size();
    std::vector<std::byte> bytes;
    if (!tensor.blocks.empty()) {
      bytes = tensor.blocks;
    } else if (tensor.type == TensorType::f32) {
      bytes.resize(4 * n);
      std::memcpy(bytes.data(), tensor.values.data(), bytes.size());
    } else if (tensor.type == TensorType::f16) {
      bytes.resize(2 * n);
      for (std::size_t i = 0; i < n; ++i) {
        const bitnet::f16 half = bitnet::f32_to_f16(tensor.values[i]);
        std::memcpy(bytes.data() + 2 * i, &half, 2);
      }
    } else if (tensor.type == TensorType::bf16) {
      bytes.resize(2 * n);
      for (std::size_t i = 0; i < n; ++i) {
        const bitnet::bf16 upper = bitnet::f32_to_bf16(tensor.values[i]);
        std::memcpy(bytes.data() + 2 * i, &upper, 2);
      }
    } else {
      bytes.resize(n / 4 + 32);
      for (std::size_t e = 0; e < n; ++e) {
        const auto code = static_cast<unsigned>(static_cast<int>(tensor.values[e]) + 1);
        const std::size_t j = e % 128;
        bytes[e / 128 * 32 + j % 32] |= static_cast<std::byte>(code << (6 - 2 * (j / 32)));
      }
      std::memcpy(bytes.data() + n / 4, &tensor.scale, 4);
    }
    return bytes;
  }
};

}  // namespace crossval::testing
