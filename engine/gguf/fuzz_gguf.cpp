// libFuzzer: whatever the bytes, parsing ends in a File or in an InputError; a File can be walked to its last
// byte.

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>

#include "engine/error.h"
#include "engine/formats/i2s.h"
#include "engine/gguf/checks.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/printable.h"

namespace {

using namespace bitnet;

void require(bool condition) {
  if (!condition) std::abort();
}

// Reads every byte, so that a sanitizer sees views that point elsewhere.
std::uint64_t sum(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0},
                         [](std::uint64_t s, std::byte b) { return s + std::to_integer<std::uint64_t>(b); });
}
std::uint64_t sum(std::string_view text) {
  return sum(std::as_bytes(std::span(text.data(), text.size())));
}

std::uint64_t walk_array(const gguf::Array& array) {
  std::uint64_t total = sum(array.bytes);
  for (const auto text : array.strings) total += sum(text);
  require(array.type != gguf::ValueType::string || array.strings.size() == array.count);
  if (array.type == gguf::ValueType::f32) total += array.as<float>().size();
  if (array.type == gguf::ValueType::boolean) total += array.as<bool>().size();
  if (array.type == gguf::ValueType::i64) total += array.as<std::int64_t>().size();
  return total;
}

std::uint64_t walk_value(const gguf::Value& value) {
  if (const auto* array = std::get_if<gguf::Array>(&value)) return walk_array(*array);
  if (const auto* text = std::get_if<std::string_view>(&value))
    return sum(*text) + gguf::printable(*text).size();
  return 0;
}

// Throws InputError like the loader would.
std::uint64_t walk_tensor(const gguf::File& file, const gguf::Tensor& tensor) {
  require(tensor.data.size() == tensor_bytes(tensor.type, tensor.ne[0], tensor.rows()));
  require(file.find_tensor(tensor.name) == &tensor);
  std::uint64_t total = sum(tensor.data);
  gguf::check_finite(file, tensor);
  if (tensor.type != TensorType::i2_s) return total;
  total += i2s::census(tensor.data, tensor.elements()).count[1];
  gguf::check_i2s(file, tensor);
  gguf::check_i2s_codes(file, tensor);
  return total;
}

void check_message(const std::string& message) {
  require(message.starts_with("f: "));
  require(gguf::printable_message(message) == message);  // one harmless line
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  volatile std::uint64_t sink = 0;
  try {
    const auto file = gguf::File::parse(std::as_bytes(std::span(data, size)), "f");
    for (const auto& kv : file.key_values()) {
      require(file.find(kv.key) == &kv.value);
      sink = sink + sum(kv.key) + walk_value(kv.value);
    }
    for (const auto& tensor : file.tensors()) {
      try {
        sink = sink + walk_tensor(file, tensor);
      } catch (const InputError& e) {
        check_message(e.what());
      }
    }
    (void)file.get<std::uint32_t>("general.file_type");
    (void)file.require<std::string_view>("general.architecture");
  } catch (const InputError& e) {
    check_message(e.what());
  }
  return 0;
}
