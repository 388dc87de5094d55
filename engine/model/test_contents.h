#pragma once
// A model's keys and tensors, to be changed and written again.

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/gguf/gguf.h"
#include "engine/gguf/writer.h"

namespace bitnet::test {

struct KeyToWrite {
  std::string name;
  gguf::WriteValue value;
};
struct TensorToWrite {
  std::string name;
  std::vector<std::uint64_t> ne;
  TensorType type{};
  std::vector<std::byte> bytes;
};
struct Contents {
  std::vector<KeyToWrite> keys;
  std::vector<TensorToWrite> tensors;

  TensorToWrite& tensor(const std::string& name) {
    for (auto& t : tensors)
      if (t.name == name) return t;
    throw std::logic_error("no tensor " + name);
  }
  void set(const std::string& key, gguf::WriteValue value) {
    erase_key(key);
    keys.push_back({key, std::move(value)});
  }
  void erase_key(const std::string& key) {
    std::erase_if(keys, [&](const auto& k) { return k.name == key; });
  }
  void erase_tensor(const std::string& name) {
    std::erase_if(tensors, [&](const auto& t) { return t.name == name; });
  }
};

inline gguf::WriteValue copied(const gguf::Value& value) {
  if (const auto* u = std::get_if<std::uint32_t>(&value)) return *u;
  if (const auto* f = std::get_if<float>(&value)) return *f;
  if (const auto* b = std::get_if<bool>(&value)) return *b;
  if (const auto* s = std::get_if<std::string_view>(&value)) return std::string(*s);
  const auto* a = std::get_if<gguf::Array>(&value);
  if (a && a->type == gguf::ValueType::string)
    return std::vector<std::string>(a->strings.begin(), a->strings.end());
  if (a && a->type == gguf::ValueType::i32) return a->as<std::int32_t>();
  if (a && a->type == gguf::ValueType::u32) return a->as<std::uint32_t>();
  if (a && a->type == gguf::ValueType::f32) return a->as<float>();
  throw std::logic_error("a value of a type that no test needs");
}

inline Contents read_contents(const gguf::File& file) {
  Contents contents;
  for (const auto& [key, value] : file.key_values())
    contents.keys.push_back({std::string(key), copied(value)});
  for (const auto& t : file.tensors())
    contents.tensors.push_back(
        {std::string(t.name), {t.ne, t.ne + t.n_dims}, t.type, {t.data.begin(), t.data.end()}});
  return contents;
}

inline void write_contents(const Contents& contents, const std::filesystem::path& path) {
  gguf::Writer writer(path);
  for (const auto& k : contents.keys) writer.add(k.name, k.value);
  for (const auto& t : contents.tensors) writer.add_tensor(t.name, t.ne, t.type);
  writer.begin();
  for (const auto& t : contents.tensors) writer.append(t.bytes);
  writer.finish();
}

}  // namespace bitnet::test
