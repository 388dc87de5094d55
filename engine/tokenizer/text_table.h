#pragma once
// Texts numbered in the order of their first appearance, and found again by their bytes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet {

/// Owns its texts (one arena). Meant to be filled once and then only read.
class TextTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  void reserve(std::size_t texts, std::size_t bytes);
  std::uint32_t size() const { return static_cast<std::uint32_t>(ends_.size()); }
  std::string_view text(std::uint32_t number) const {
    const std::size_t begin = number == 0 ? 0 : ends_[number - 1];
    return std::string_view(arena_).substr(begin, ends_[number] - begin);
  }
  /// The number of `text`, or kNone.
  std::uint32_t find(std::string_view text) const;
  /// The number of `text`, which gets the next one if it is new.
  std::uint32_t insert(std::string_view text) { return insert(text, hash(text)); }

  /// In two steps, where many texts are looked up at once: `prefetch` brings in the memory that `insert` will
  /// need.
  static std::uint32_t hash(std::string_view text);
  void prefetch(std::uint32_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  std::uint32_t insert(std::string_view text, std::uint32_t hash);

 private:
  /// The hash beside the number spares most comparisons of texts.
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t number = kNone;
  };
  /// The slot that holds `text`, or the empty one where it belongs.
  std::size_t slot_of(std::string_view text, std::uint32_t hash) const;
  void rehash(std::size_t slots);

  std::string arena_;
  std::vector<std::size_t> ends_;
  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace bitnet
