// Typed look-ups in a parsed file.

#include <cstring>
#include <type_traits>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/value_type.h"

namespace bitnet::gguf {
namespace {

template <class T>
constexpr ValueType value_type_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return ValueType::u8;
  if constexpr (std::is_same_v<T, std::int8_t>) return ValueType::i8;
  if constexpr (std::is_same_v<T, std::uint16_t>) return ValueType::u16;
  if constexpr (std::is_same_v<T, std::int16_t>) return ValueType::i16;
  if constexpr (std::is_same_v<T, std::uint32_t>) return ValueType::u32;
  if constexpr (std::is_same_v<T, std::int32_t>) return ValueType::i32;
  if constexpr (std::is_same_v<T, float>) return ValueType::f32;
  if constexpr (std::is_same_v<T, bool>) return ValueType::boolean;
  if constexpr (std::is_same_v<T, std::string_view>) return ValueType::string;
  if constexpr (std::is_same_v<T, Array>) return ValueType::array;
  if constexpr (std::is_same_v<T, std::uint64_t>) return ValueType::u64;
  if constexpr (std::is_same_v<T, std::int64_t>) return ValueType::i64;
  if constexpr (std::is_same_v<T, double>) return ValueType::f64;
}

}  // namespace

std::string_view value_type_name(ValueType type) {
  switch (type) {
    case ValueType::u8:
      return "u8";
    case ValueType::i8:
      return "i8";
    case ValueType::u16:
      return "u16";
    case ValueType::i16:
      return "i16";
    case ValueType::u32:
      return "u32";
    case ValueType::i32:
      return "i32";
    case ValueType::f32:
      return "f32";
    case ValueType::boolean:
      return "bool";
    case ValueType::string:
      return "string";
    case ValueType::array:
      return "array";
    case ValueType::u64:
      return "u64";
    case ValueType::i64:
      return "i64";
    case ValueType::f64:
      return "f64";
  }
  return "";
}

std::size_t value_type_bytes(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
    case ValueType::string:
    case ValueType::array:
      break;
  }
  return 0;
}

ValueType value_type(const Value& value) {
  return std::visit([](const auto& v) { return value_type_of<std::decay_t<decltype(v)>>(); }, value);
}

template <class T>
std::vector<T> Array::as() const {
  if (type != value_type_of<T>())
    throw InputError("an array of " + std::string(value_type_name(type)) + " where one of " +
                     std::string(value_type_name(value_type_of<T>())) + " is expected");
  if constexpr (std::is_same_v<T, std::string_view>) {
    return strings;
  } else if constexpr (std::is_same_v<T, bool>) {
    std::vector<bool> out;
    out.reserve(bytes.size());
    for (const std::byte b : bytes) out.push_back(b != std::byte{0});
    return out;
  } else {
    std::vector<T> out(static_cast<std::size_t>(count));
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
}

template <class T>
std::optional<T> File::get(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const T* typed = std::get_if<T>(value)) return *typed;
  fail(key, "has type " + std::string(value_type_name(value_type(*value))) + ", but " +
                std::string(value_type_name(value_type_of<T>())) +
                " is required; bitnet.cpp refuses it too: write the model again with the right type");
}

template <class T>
T File::require(std::string_view key) const {
  if (auto value = get<T>(key)) return *std::move(value);
  fail(key, "the key is missing (type " + std::string(value_type_name(value_type_of<T>())) +
                "); convert the model again");
}

#define BITNET_INSTANTIATE(T)                                         \
  template std::optional<T> File::get<T>(std::string_view key) const; \
  template T File::require<T>(std::string_view key) const
#define BITNET_INSTANTIATE_ELEMENT(T) \
  BITNET_INSTANTIATE(T);              \
  template std::vector<T> Array::as<T>() const

BITNET_INSTANTIATE_ELEMENT(std::uint8_t);
BITNET_INSTANTIATE_ELEMENT(std::int8_t);
BITNET_INSTANTIATE_ELEMENT(std::uint16_t);
BITNET_INSTANTIATE_ELEMENT(std::int16_t);
BITNET_INSTANTIATE_ELEMENT(std::uint32_t);
BITNET_INSTANTIATE_ELEMENT(std::int32_t);
BITNET_INSTANTIATE_ELEMENT(float);
BITNET_INSTANTIATE_ELEMENT(bool);
BITNET_INSTANTIATE_ELEMENT(std::string_view);
BITNET_INSTANTIATE_ELEMENT(std::uint64_t);
BITNET_INSTANTIATE_ELEMENT(std::int64_t);
BITNET_INSTANTIATE_ELEMENT(double);
BITNET_INSTANTIATE(Array);

}  // namespace bitnet::gguf
