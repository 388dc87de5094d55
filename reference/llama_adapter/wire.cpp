#include "reference/llama_adapter/wire.h"

#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

namespace crossval::llama_adapter {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors travel as they lie in memory");

std::size_t read_some(int from, std::span<std::byte> into) {
  for (;;) {
    const ssize_t got = ::read(from, into.data(), into.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) throw StreamError(std::string("reading a request: ") + std::strerror(errno));
  }
}

}  // namespace

Wire::Wire(int in, int out)
    : out_(out), framing_([in](std::span<std::byte> into) { return read_some(in, into); }) {}

std::optional<nlohmann::json> Wire::next() {
  const auto text = framing_.line();
  if (!text) return std::nullopt;
  return nlohmann::json::parse(*text);
}

void Wire::line(const nlohmann::ordered_json& answer) {
  // Names and messages of a library may be anything.
  const std::string text =
      answer.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  write(text.data(), text.size());
}

void Wire::values(std::span<const float> values) {
  write(values.data(), values.size_bytes());
}

void Wire::write(const void* data, std::size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t put = ::write(out_, at, size);
    if (put < 0) {
      if (errno == EINTR) continue;
      throw StreamError(std::string("writing an answer: ") + std::strerror(errno));
    }
    at += put;
    size -= static_cast<std::size_t>(put);
  }
}

}  // namespace crossval::llama_adapter
