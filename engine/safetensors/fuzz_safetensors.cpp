// libFuzzer: whatever the bytes, parsing ends in tensors that can be read to their last byte, or in one
// InputError of one line.

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string_view>

#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "engine/safetensors/safetensors.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using bitnet::Safetensors;
  volatile std::uint64_t sink = 0;
  try {
    const Safetensors file = Safetensors::parse(std::as_bytes(std::span(data, size)), "f");
    std::uint64_t bytes = 0;
    for (const Safetensors::Tensor& t : file.tensors()) {
      require(!Safetensors::type_name(t.type).empty());
      require(t.data.size() % (t.elements() == 0 ? 1 : t.elements()) == 0);
      bytes += t.data.size();
      // Reads every byte, so that a sanitizer sees views that point elsewhere.
      sink =
          std::accumulate(t.data.begin(), t.data.end(), std::uint64_t{sink},
                          [](std::uint64_t s, std::byte b) { return s + std::to_integer<std::uint64_t>(b); });
    }
    require(bytes <= size);
  } catch (const bitnet::InputError& e) {
    const std::string_view message = e.what();
    require(message.starts_with("f: ") && bitnet::gguf::printable_message(message) == message);
  }
  return 0;
}
