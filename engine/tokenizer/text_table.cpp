#include "engine/tokenizer/text_table.h"

#include <cstring>

namespace bitnet {

std::uint32_t TextTable::hash(std::string_view text) {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;
  std::uint64_t h = text.size() * kOdd;
  const auto mix = [&h](std::uint64_t chunk) {
    h = (h ^ chunk) * kOdd;
    h ^= h >> 29;
  };
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t chunk;
    std::memcpy(&chunk, text.data() + i, 8);
    mix(chunk);
  }
  if (i < text.size()) {
    std::uint64_t chunk = 0;
    std::memcpy(&chunk, text.data() + i, text.size() - i);
    mix(chunk);
  }
  return static_cast<std::uint32_t>((h * kOdd) >> 32);
}

void TextTable::reserve(std::size_t texts, std::size_t bytes) {
  arena_.reserve(bytes);
  ends_.reserve(texts);
  std::size_t slots = 16;
  while (slots < texts * 2) slots *= 2;
  if (slots > slots_.size()) rehash(slots);
}

std::uint32_t TextTable::find(std::string_view text) const {
  return slots_.empty() ? kNone : slots_[slot_of(text, hash(text))].number;
}

std::uint32_t TextTable::insert(std::string_view text, std::uint32_t hash) {
  if (slots_.size() < 2 * (ends_.size() + 1)) rehash(slots_.empty() ? 16 : slots_.size() * 2);
  Slot& slot = slots_[slot_of(text, hash)];
  if (slot.number == kNone) {
    slot = {hash, size()};
    arena_ += text;
    ends_.push_back(arena_.size());
  }
  return slot.number;
}

std::size_t TextTable::slot_of(std::string_view text, std::uint32_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;
  while (slots_[i].number != kNone && (slots_[i].hash != hash || this->text(slots_[i].number) != text)) {
    i = (i + 1) & mask;
  }
  return i;
}

void TextTable::rehash(std::size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  const std::size_t mask = slots - 1;
  for (const Slot& slot : old) {
    if (slot.number == kNone) continue;
    std::size_t i = slot.hash & mask;
    while (slots_[i].number != kNone) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

}  // namespace bitnet
