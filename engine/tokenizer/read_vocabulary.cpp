#include "engine/gguf/gguf.h"
#include "engine/tokenizer/special_roles.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {
namespace {

std::string key_of(std::string_view name) {
  return "tokenizer.ggml." + std::string(name);
}

/// nullptr when the key is absent.
const gguf::Array* find_array(const gguf::File& file, const std::string& key) {
  const gguf::Value* value = file.find(key);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<gguf::Array>(value);
  if (array == nullptr) file.fail(key, "must be an array; convert the model again");
  return array;
}

std::optional<std::vector<std::string_view>> find_strings(const gguf::File& file, const std::string& key) {
  const gguf::Array* array = find_array(file, key);
  if (array == nullptr) return std::nullopt;
  if (array->type != gguf::ValueType::string)
    file.fail(key, "must be an array of strings; convert the model again");
  return array->strings;
}

}  // namespace

VocabData read_vocabulary(const gguf::File& file) {
  VocabData data;
  data.source = file.name();
  data.model = file.require<std::string_view>(key_of("model"));
  if (const auto pre = file.get<std::string_view>(key_of("pre"))) data.pre = std::string(*pre);

  auto tokens = find_strings(file, key_of("tokens"));
  if (!tokens) file.fail(key_of("tokens"), "missing; the file has no vocabulary; convert the model again");
  data.tokens = std::move(*tokens);
  data.merges = find_strings(file, key_of("merges"));

  if (const gguf::Array* types = find_array(file, key_of("token_type"))) {
    if (types->type == gguf::ValueType::u32) {
      const auto values = types->as<std::uint32_t>();
      data.types.emplace(values.begin(), values.end());
    } else if (types->type == gguf::ValueType::i32) {
      data.types = types->as<std::int32_t>();
    } else {
      file.fail(key_of("token_type"), "must be an array of i32; convert the model again");
    }
  }
  if (const gguf::Array* scores = find_array(file, key_of("scores"))) {
    if (scores->type != gguf::ValueType::f32)
      file.fail(key_of("scores"), "must be an array of f32; convert the model again");
    data.scores = scores->as<float>();
  }
  for (const RoleKey& k : role_keys()) {
    if (const auto id = file.get<std::uint32_t>(key_of(k.key))) data.ids.emplace_back(k.key, *id);
  }
  data.add_bos = file.get<bool>(key_of("add_bos_token"));
  data.add_eos = file.get<bool>(key_of("add_eos_token"));
  data.add_space_prefix = file.get<bool>(key_of("add_space_prefix"));
  if (const auto text = file.get<std::string_view>("tokenizer.chat_template")) data.chat_template = *text;
  return data;
}

}  // namespace bitnet
