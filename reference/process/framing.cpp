#include "reference/process/framing.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace crossval {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 16;

}  // namespace

std::optional<std::string> Framing::line() {
  std::size_t searched = at_;  // no newline before this
  for (;;) {
    const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(searched);
    const auto newline = std::find(begin, buffer_.end(), std::byte{'\n'});
    const auto end = static_cast<std::size_t>(newline - buffer_.begin());
    if (end - at_ > kMaxLine) throw FramingError("a line longer than 1 MiB");
    if (newline != buffer_.end()) {
      std::string text(end - at_, '\0');
      std::memcpy(text.data(), buffer_.data() + at_, text.size());
      at_ = end + 1;
      return text;
    }
    // What was handed out makes room before more is taken in.
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ = 0;
    searched = buffer_.size();
    buffer_.resize(searched + kBlock);
    std::size_t n = 0;
    try {
      n = source_({buffer_.data() + searched, kBlock});
    } catch (...) {
      buffer_.resize(searched);
      throw;
    }
    buffer_.resize(searched + n);
    if (n > 0) continue;
    if (buffer_.empty()) return std::nullopt;
    throw FramingError("its output ended within a line");
  }
}

void Framing::bytes(std::span<std::byte> into) {
  const std::size_t held = std::min(unread(), into.size());
  if (held > 0) std::memcpy(into.data(), buffer_.data() + at_, held);
  at_ += held;
  for (into = into.subspan(held); !into.empty();) {
    const std::size_t n = source_(into);
    if (n == 0)
      throw FramingError("its output ended within a tensor, " + std::to_string(into.size()) +
                         " bytes before its end");
    into = into.subspan(n);
  }
}

void Framing::values(std::span<float> values) {
  static_assert(sizeof(float) == 4);
  if (values.empty()) return;
  bytes(std::as_writable_bytes(values));
  if constexpr (std::endian::native == std::endian::big) {
    for (float& value : values) {
      auto swapped = std::bit_cast<std::array<std::byte, 4>>(value);
      std::reverse(swapped.begin(), swapped.end());
      value = std::bit_cast<float>(swapped);
    }
  }
}

}  // namespace crossval
