#pragma once
// A 64-bit sum over bytes that tells damage and mix-ups, not attacks: it is no cryptographic hash.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace bitnet {

/// Every step is a bijection of the state and of the word that comes in, so a change within one word always
/// shows.
class Fingerprint {
 public:
  /// Words of eight bytes, the last filled up with zeros, then their number of bytes: parts that are added
  /// one after another do not run into each other.
  void add(std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
      step(word);
    }
    step(bytes.size());
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  template <class T>
  requires std::is_arithmetic_v<T>
  void add(T value) { add(std::as_bytes(std::span(&value, 1))); }

  std::uint64_t value() const { return state_; }

 private:
  void step(std::uint64_t word) {
    state_ = (state_ ^ word) * 0x9E3779B97F4A7C15;
    state_ ^= state_ >> 32;
  }

  std::uint64_t state_ = 0x243F6A8885A308D3;
};

}  // namespace bitnet
