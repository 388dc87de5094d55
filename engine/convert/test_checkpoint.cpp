#include "engine/convert/test_checkpoint.h"

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "engine/formats/bf16.h"
#include "engine/formats/i2s.h"

namespace bitnet::testing {
namespace {

using nlohmann::json;

const std::pair<const char*, const char*> kNames[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_sub_norm", "self_attn.attn_sub_norm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_sub_norm", "mlp.ffn_sub_norm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"
std::string hf_name(const gguf::File& model, std::string_view name) {
  if (name == "token_embd.weight") return "model.embed_tokens.weight";
  if (name == "output_norm.weight") return "model.norm.weight";
  if (name == "output.weight") return "lm_head.weight";
  const std::size_t dot = name.find('.', 4);
  const std::string layer(name.substr(4, dot - 4));
  const std::string_view part = name.substr(dot + 1, name.rfind('.') - dot - 1);
  const bool old = model.require<std::string_view>("general.architecture") == "bitnet";
  for (const auto& [gguf_name, hf] : kNames) {
    if (part != gguf_name) continue;
    std::string hf_part = hf;
    if (old && part == "attn_sub_norm") hf_part = "self_attn.inner_attn_ln";
    if (old && part == "ffn_sub_norm") hf_part = "mlp.ffn_layernorm";
    return std::string("model.layers.").append(layer).append(".").append(hf_part).append(".weight");
  }
  throw std::invalid_argument("no name for " + std::string(name));
}

std::string bytes_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
std::string bytes_of(const T& value) {
  return bytes_of(std::as_bytes(std::span(&value, 1)));
}

// Four rows in one: row r of the bytes has the rows r, r + R, r + 2 R, r + 3 R.
std::string packed(const std::vector<std::int8_t>& w, std::uint64_t rows, std::uint64_t cols) {
  std::string bytes(rows / 4 * cols, '\0');
  for (std::uint64_t row = 0; row < rows; ++row)
    for (std::uint64_t k = 0; k < cols; ++k) {
      char& b = bytes[row % (rows / 4) * cols + k];
      b = static_cast<char>(b | (w[row * cols + k] + 1) << (2 * (row / (rows / 4))));
    }
  return bytes;
}

void add_projection(TestCheckpoint& c, const std::string& name, const gguf::Tensor& t, hf::Storage stored,
                    hf::ScaleRule rule) {
  std::vector<std::int8_t> w(t.elements());
  i2s::unpack(t.data, w);
  const float scale = i2s::scale(t.data, t.elements());
  const std::uint64_t rows = t.ne[1], cols = t.ne[0];
  if (stored == hf::Storage::ternary) {
    std::string bytes;
    for (const std::int8_t x : w) bytes += bytes_of(static_cast<float>(x) * scale);
    c.weights.tensors.push_back({name, "F32", {rows, cols}, std::move(bytes)});
    return;
  }
  if (stored == hf::Storage::codes) {
    std::string bytes;
    for (const std::int8_t x : w) bytes += bytes_of(f32_to_bf16(static_cast<float>(x)).bits);
    c.weights.tensors.push_back({name, "BF16", {rows, cols}, std::move(bytes)});
  } else {
    c.weights.tensors.push_back({name, "U8", {rows / 4, cols}, packed(w, rows, cols)});
  }
  c.weights.tensors.push_back(
      {name + "_scale", "F32", {1}, bytes_of(rule == hf::ScaleRule::multiply ? scale : 1 / scale)});
}

json read_config(const gguf::File& model) {
  const std::string a(model.require<std::string_view>("general.architecture"));
  const auto count = [&](const std::string& key) { return model.require<std::uint32_t>(a + "." + key); };
  json c = {
      {"architectures", {"BitNetForCausalLM"}},
      {"model_type", "bitnet"},
      {"hidden_act", a == "bitnet" ? "silu" : "relu2"},
      {"vocab_size", count("vocab_size")},
      {"max_position_embeddings", count("context_length")},
      {"hidden_size", count("embedding_length")},
      {"num_hidden_layers", count("block_count")},
      {"intermediate_size", count("feed_forward_length")},
      {"num_attention_heads", count("attention.head_count")},
      {"num_key_value_heads", count("attention.head_count_kv")},
      {"rms_norm_eps", static_cast<double>(model.require<float>(a + ".attention.layer_norm_rms_epsilon"))},
      {"rope_theta", static_cast<double>(model.require<float>(a + ".rope.freq_base"))},
      {"rope_scaling", nullptr},
      {"tie_word_embeddings", model.find_tensor("output.weight") == nullptr},
      {"quantization_config",
       {{"quant_method", "bitnet"}, {"linear_class", "autobitlinear"}, {"quantization_mode", "offline"}}}};
  if (const auto dim = model.get<std::uint32_t>(a + ".attention.key_length")) c["head_dim"] = *dim;
  return c;
}

const char* const kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

void read_tokenizer(const gguf::File& model, TestCheckpoint& c) {
  const auto array = [&](const char* key) {
    return model.require<gguf::Array>(std::string("tokenizer.ggml.") + key);
  };
  const auto id = [&](const char* key) {
    return model.require<std::uint32_t>(std::string("tokenizer.ggml.") + key);
  };
  const std::vector<std::string_view> tokens = array("tokens").strings;
  const auto types = array("token_type").as<std::int32_t>();
  json vocab = json::object(), added = json::array();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (types[i] == 1)
      vocab[std::string(tokens[i])] = i;
    else if (types[i] != 5)
      added.push_back({{"id", i}, {"content", tokens[i]}, {"special", types[i] == 3}});
  }
  const std::string bos(tokens[id("bos_token_id")]);
  c.tokenizer = {
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", kLlama3}}}, {"behavior", "Isolated"}, {"invert", false}},
          {{"type", "ByteLevel"},
           {"add_prefix_space", false},
           {"trim_offsets", true},
           {"use_regex", false}}}}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", bos}, {"type_id", 0}}}},
          {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", array("merges").strings}}}};
  c.tokenizer_config = {{"bos_token", bos},
                        {"eos_token", {{"content", tokens[id("eos_token_id")]}}},
                        {"chat_template", model.require<std::string_view>("tokenizer.chat_template")}};
  c.generation_config = {{"bos_token_id", id("bos_token_id")},
                         {"eos_token_id", {id("eos_token_id"), id("eot_token_id")}}};
}

}  // namespace

TestCheckpoint test_checkpoint(const gguf::File& model, hf::Storage stored, hf::ScaleRule rule) {
  TestCheckpoint c;
  c.config = read_config(model);
  read_tokenizer(model, c);
  c.weights.metadata = {{"format", "pt"}};
  const std::pair<const char*, const char*> described[] = {
      {"name", "title"}, {"description", "description"}, {"license", "license"}};
  for (const auto& [key, name] : described)
    if (const auto text = model.get<std::string_view>(std::string("general.") + key))
      c.weights.metadata[std::string("modelspec.") + name] = *text;
  for (const gguf::Tensor& t : model.tensors()) {
    const std::string name = hf_name(model, t.name);
    if (t.type == TensorType::i2_s) {
      add_projection(c, name, t, stored, rule);
      continue;
    }
    std::vector<std::uint64_t> shape(t.ne, t.ne + t.n_dims);
    c.weights.tensors.push_back(
        {name, t.type == TensorType::f32 ? "F32" : "F16", {shape.rbegin(), shape.rend()}, bytes_of(t.data)});
  }
  return c;
}

void TestCheckpoint::write(const std::filesystem::path& folder, std::size_t shards) const {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  write_file(folder / "config.json", config.dump(1));
  if (!tokenizer.is_null()) write_file(folder / "tokenizer.json", tokenizer.dump(1));
  write_file(folder / "tokenizer_config.json", tokenizer_config.dump(1));
  write_file(folder / "generation_config.json", generation_config.dump(1));
  if (shards == 1) return write_file(folder / "model.safetensors", weights.bytes());
  std::vector<TestSafetensors> parts(shards, TestSafetensors{weights.metadata, {}});
  json map = json::object();
  const auto name = [&](std::size_t i) {
    return "model-0000" + std::to_string(i + 1) + "-of-0000" + std::to_string(shards) + ".safetensors";
  };
  for (std::size_t i = 0; i < weights.tensors.size(); ++i) {
    parts[i % shards].tensors.push_back(weights.tensors[i]);
    map[weights.tensors[i].name] = name(i % shards);
  }
  for (std::size_t i = 0; i < shards; ++i) write_file(folder / name(i), parts[i].bytes());
  write_file(folder / "model.safetensors.index.json",
             json{{"metadata", {{"total_size", weights.data().size()}}}, {"weight_map", map}}.dump(1));
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  if (!out.good()) throw std::runtime_error("cannot write " + path.string());
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace bitnet::testing
