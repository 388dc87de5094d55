#pragma once
// Builds GGUF bytes by hand, damaged ones too: for tests and fuzzing seeds.

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/formats/tensor_type.h"
#include "engine/gguf/gguf.h"

namespace bitnet::gguf::testing {

class Bytes {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T> Bytes& put(T value) {
    std::byte raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes.insert(bytes.end(), raw, raw + sizeof value);
    return *this;
  }
  Bytes& text(std::string_view s) {
    const auto raw = std::as_bytes(std::span(s.data(), s.size()));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
    return *this;
  }
  Bytes& string(std::string_view s) { return put(std::uint64_t{s.size()}).text(s); }
  Bytes& zeros(std::size_t n) {
    bytes.resize(bytes.size() + n);
    return *this;
  }
  Bytes& pad(std::size_t alignment) { return zeros((alignment - bytes.size() % alignment) % alignment); }

  Bytes& header(std::uint64_t n_tensors, std::uint64_t n_kv, std::uint32_t version = 3) {
    return text("GGUF").put(version).put(n_tensors).put(n_kv);
  }
  template <class T>
  Bytes& key(std::string_view name, ValueType type, T value) {
    return string(name).put(type).put(value);
  }
  Bytes& key(std::string_view name, std::string_view value) {
    return string(name).put(ValueType::string).string(value);
  }
  Bytes& array(std::string_view name, ValueType type, std::uint64_t count) {
    return string(name).put(ValueType::array).put(type).put(count);
  }
  Bytes& tensor(std::string_view name, const std::vector<std::uint64_t>& ne, std::uint32_t type,
                std::uint64_t offset) {
    string(name).put(static_cast<std::uint32_t>(ne.size()));
    for (const auto n : ne) put(n);
    return put(type).put(offset);
  }
  Bytes& tensor(std::string_view name, const std::vector<std::uint64_t>& ne, TensorType type,
                std::uint64_t offset) {
    return tensor(name, ne, static_cast<std::uint32_t>(type), offset);
  }

  std::vector<std::byte> bytes;
};

}  // namespace bitnet::gguf::testing
