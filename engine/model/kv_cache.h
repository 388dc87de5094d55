#pragma once
// Keys and values of past tokens, in F16, for several sequences, in pages of 64 cells.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/formats/f16.h"
#include "engine/kernels/kernels.h"
#include "engine/model/config.h"

namespace bitnet {

/// A page holds, for every layer, 64 cells of keys [64][G*hd] and of values channel by channel [G*hd][64]:
/// the shapes that the attention kernels walk (one page row of values is one step of the dot product over
/// cells). All pages are reserved as address space at the start, so a token allocates nothing; memory is real
/// only once a page is used.
class KvCache {
 public:
  /// Room for `sequences` sequences of n_ctx tokens (rounded up to pages). Throws SystemError when the
  /// address space cannot be had.
  KvCache(const Config& config, std::int64_t n_ctx, int sequences);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  int sequences() const { return static_cast<int>(sequences_.size()); }
  std::int64_t capacity() const { return capacity_; }                      // tokens per sequence
  std::int64_t length(int sequence) const { return at(sequence).length; }  // tokens stored

  /// Makes room for `tokens` more; their cells are then [old length, new length).
  void extend(int sequence, std::int64_t tokens);
  /// Forgets the tokens from `length` on, and frees their pages.
  void truncate(int sequence, std::int64_t length);

  /// Pages of a sequence in one layer, as the kernels take them.
  const f16* const* key_pages(int sequence, std::int64_t layer) const;
  const f16* const* value_pages(int sequence, std::int64_t layer) const;
  /// Stores key and value (G*hd each, F16) of one cell.
  void store(int sequence, std::int64_t layer, std::int64_t cell, const f16* key, const f16* value);

 private:
  struct Sequence {
    std::int64_t length = 0;
    std::vector<std::int32_t> pages;  // indices of pages in use
    std::vector<f16*> keys;           // [n_layer][max_pages]
    std::vector<f16*> values;         // [n_layer][max_pages]
  };
  const Sequence& at(int sequence) const { return sequences_[static_cast<std::size_t>(sequence)]; }
  Sequence& at(int sequence) { return sequences_[static_cast<std::size_t>(sequence)]; }
  f16* page_data(std::int32_t page) const;

  std::int64_t width_;  // G*hd
  std::int64_t n_layer_;
  std::int64_t max_pages_;  // per sequence
  std::int64_t capacity_;
  std::size_t page_bytes_;
  std::byte* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::vector<std::int32_t> free_;
  std::vector<Sequence> sequences_;
};

}  // namespace bitnet
