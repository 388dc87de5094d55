#include "crossval/selftest/witness_models.h"

#include <cstring>
#include <functional>
#include <span>

#include "crossval/selftest/fixtures.h"
#include "engine/cli/synth.h"
#include "engine/error.h"
#include "engine/formats/f16.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/writer.h"

namespace crossval {
namespace {

using bitnet::gguf::File;

// Copies a model; `change` may alter the bytes of each tensor.
void doctor(const std::filesystem::path& from, const std::filesystem::path& to,
            const std::function<void(const bitnet::gguf::Tensor&, std::span<std::byte>)>& change) {
  const File file = File::open(from);
  bitnet::gguf::Writer writer(to);
  for (const auto& key_value : file.key_values()) writer.add(key_value);
  for (const auto& tensor : file.tensors())
    writer.add_tensor(std::string(tensor.name), {tensor.ne, tensor.ne + tensor.n_dims}, tensor.type);
  writer.begin();
  for (const auto& tensor : file.tensors()) {
    std::vector<std::byte> bytes(tensor.data.begin(), tensor.data.end());
    change(tensor, bytes);
    writer.append(bytes);
  }
  writer.finish();
}

void scale_floats(std::span<std::byte> bytes, float factor) {
  for (std::size_t at = 0; at + sizeof(float) <= bytes.size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    value *= factor;
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
}

// Queries and keys so great that probabilities reach from 1 down to denormals (8), or keys beyond 256 (64).
void hot(const std::filesystem::path& to, float factor) {
  doctor(find_fixture("model/bundled.gguf"), to,
         [=](const bitnet::gguf::Tensor& tensor, std::span<std::byte> bytes) {
           if (tensor.name.ends_with(".attn_norm.weight")) scale_floats(bytes, factor);
         });
}

// An embedding so small that epsilon counts.
void quiet(const std::filesystem::path& to) {
  doctor(find_fixture("model/bundled.gguf"), to,
         [](const bitnet::gguf::Tensor& tensor, std::span<std::byte> bytes) {
           if (tensor.name != "token_embd.weight") return;
           for (std::size_t at = 0; at + sizeof(bitnet::f16) <= bytes.size(); at += sizeof(bitnet::f16)) {
             bitnet::f16 half{};
             std::memcpy(&half, bytes.data() + at, sizeof half);
             half = bitnet::f32_to_f16(bitnet::f16_to_f32(half) / 64);
             std::memcpy(bytes.data() + at, &half, sizeof half);
           }
         });
}

// Every channel of the FFN alike and all of the last product's weights +1, so that its sums leave int16: an
// FFN of 4096 (bitnet.cpp adds up to 32 blocks of 128 in int16), gate and up all +1.
void uniform(const std::filesystem::path& to) {
  const std::filesystem::path plain = to.string() + ".plain";
  bitnet::SynthShape shape = bitnet::synth_shape("tiny");
  shape.n_ff = 4096;
  bitnet::synth(shape, 1, plain);
  doctor(plain, to, [](const bitnet::gguf::Tensor& tensor, std::span<std::byte> bytes) {
    for (const char* name : {".ffn_gate.weight", ".ffn_up.weight", ".ffn_down.weight"})
      if (tensor.name.ends_with(name))
        std::memset(bytes.data(), 0xaa, bytes.size() - 32);  // code 2 everywhere: +1
  });
  std::filesystem::remove(plain);
}

void synthetic(const char* preset, const std::function<void(bitnet::SynthShape&)>& change,
               const std::filesystem::path& to) {
  bitnet::SynthShape shape = bitnet::synth_shape(preset);
  change(shape);
  bitnet::synth(shape, 1, to);
}

using Make = std::function<void(const std::filesystem::path&)>;

const std::map<std::string, Make, std::less<>>& makers() {
  static const std::map<std::string, Make, std::less<>> kMakers{
      {"warm", [](const auto& to) { hot(to, 8); }},
      {"hot", [](const auto& to) { hot(to, 64); }},
      {"uniform", uniform},
      {"quiet", quiet},
      {"small",
       [](const auto& to) {
         synthetic(
             "tiny", [](bitnet::SynthShape&) {}, to);
       }},
      {"llama",
       [](const auto& to) {
         synthetic(
             "tiny-llama", [](bitnet::SynthShape&) {}, to);
       }},
      {"biased",
       [](const auto& to) {
         synthetic(
             "tiny-llama", [](bitnet::SynthShape& s) { s.biases = true; }, to);
       }},
      {"untied",
       [](const auto& to) {
         synthetic(
             "tiny-llama", [](bitnet::SynthShape& s) { s.untied = true; }, to);
       }},
  };
  return kMakers;
}

}  // namespace

std::vector<std::string> WitnessModels::names() {
  std::vector<std::string> all{"bundled", "awkward"};
  for (const auto& [name, make] : makers()) all.push_back(name);
  return all;
}

std::filesystem::path WitnessModels::path(std::string_view name) {
  if (const auto it = made_.find(name); it != made_.end()) return it->second;
  if (name == "bundled" || name == "awkward") return find_fixture("model/" + std::string(name) + ".gguf");
  const auto maker = makers().find(name);
  if (maker == makers().end())
    throw bitnet::InputError("no model for witnesses is called `" + std::string(name) + "`");
  std::filesystem::path path = folder_ / (std::string(name) + ".gguf");
  maker->second(path);
  made_[std::string(name)] = path;
  return path;
}

}  // namespace crossval
