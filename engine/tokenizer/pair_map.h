#pragma once
// A map from pairs of 32-bit numbers to 64-bit values: open addressing, filled once, then only read.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitnet {

class PairMap {
 public:
  /// Stands for "absent"; never stored.
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  void reserve(std::size_t pairs) {
    std::size_t slots = 16;
    while (slots < pairs * 2) slots *= 2;
    if (slots > slots_.size()) rehash(slots);
  }

  std::uint64_t find(std::uint32_t a, std::uint32_t b) const {
    return slots_.empty() ? kNone : slots_[slot_of(key_of(a, b))].value;
  }

  /// Brings in the memory that `insert` will need.
  void prefetch(std::uint32_t a, std::uint32_t b) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[home_of(key_of(a, b))]);
  }

  /// Keeps the value that is there. Returns whether the pair was new.
  bool insert(std::uint32_t a, std::uint32_t b, std::uint64_t value) {
    if (slots_.size() < 2 * (size_ + 1)) rehash(slots_.empty() ? 16 : slots_.size() * 2);
    Slot& slot = slots_[slot_of(key_of(a, b))];
    if (slot.value != kNone) return false;
    slot = {key_of(a, b), value};
    ++size_;
    return true;
  }

  std::size_t size() const { return size_; }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::uint64_t value = kNone;
  };

  static std::uint64_t key_of(std::uint32_t a, std::uint32_t b) { return std::uint64_t{a} << 32 | b; }

  std::size_t home_of(std::uint64_t key) const {
    std::uint64_t h = (key ^ key >> 32) * 0x9E3779B97F4A7C15;
    h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9;
    return (h >> 32) & (slots_.size() - 1);
  }

  std::size_t slot_of(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = home_of(key);
    while (slots_[i].value != kNone && slots_[i].key != key) i = (i + 1) & mask;
    return i;
  }

  void rehash(std::size_t slots) {
    std::vector<Slot> old(slots);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.value != kNone) slots_[slot_of(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  std::size_t size_ = 0;
};

}  // namespace bitnet
