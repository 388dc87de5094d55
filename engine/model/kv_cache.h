#pragma once
// Keys and values of past tokens, in F16, for several sequences, in pages of 64 cells.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/formats/f16.h"
#include "engine/kernels/kernels.h"
#include "engine/model/config.h"
#include "engine/model/page_pool.h"

namespace bitnet {

struct KvCacheOptions {
  std::int64_t n_ctx = 0;                          // tokens per sequence at most
  int sequences = 1;                               // that exist from the start: 0, 1, ...
  std::int64_t pool_tokens = 0;                    // of all sequences; 0: sequences * n_ctx
  std::size_t idle_bytes = std::size_t{64} << 20;  // of freed pages that stay real
};

/// A page holds, for every layer, 64 cells of keys [64][G*hd] and of values channel by channel [G*hd][64]:
/// the shapes that the attention kernels walk (one page row of values is one step of the dot product over
/// cells). Sequences that were forked share pages until one of them writes. Appending a token allocates
/// nothing: the address space of all pages is reserved at the start.
class KvCache {
 public:
  /// Throws SystemError when the address space cannot be had.
  KvCache(const Config& config, const KvCacheOptions& options);

  std::int64_t capacity() const { return capacity_; }  // tokens per sequence
  bool exists(int sequence) const { return sequence >= 0 && sequence < slots() && at(sequence).open; }
  /// Ids are below this.
  int slots() const { return static_cast<int>(sequences_.size()); }
  std::int64_t length(int sequence) const { return std::ssize(at(sequence).tokens); }
  /// What stands in it, as it was appended.
  std::span<const std::int32_t> tokens(int sequence) const { return at(sequence).tokens; }

  /// A new, empty sequence, by the lowest id that is not in use.
  int acquire();
  /// Its pages are freed and its id may be given out again.
  void release(int sequence);
  /// A new sequence of the first `length` tokens of another (at most as many as it has).
  int fork(int sequence, std::int64_t length);

  /// Has pages at hand for `tokens` more. Throws InputError where the context or the pool has no room; the
  /// sequence is then as before.
  void reserve(int sequence, std::int64_t tokens);
  /// Frees pages that hold no token.
  void unreserve(int sequence);
  /// Appends a token; its cell is the old length, and not yet stored. Throws as reserve().
  void append(int sequence, std::int32_t token);
  /// Forgets the tokens from `length` on, and frees their pages.
  void truncate(int sequence, std::int64_t length);

  /// Pages of a sequence in one layer, as the kernels take them.
  const f16* const* key_pages(int sequence, std::int64_t layer) const;
  const f16* const* value_pages(int sequence, std::int64_t layer) const;
  /// Stores key and value (G*hd each, F16) of one cell that was appended since the sequence was forked.
  void store(int sequence, std::int64_t layer, std::int64_t cell, const f16* key, const f16* value);

  /// All cells of a sequence, for each layer: keys [length][G*hd], then values [G*hd][length].
  void copy_cells(int sequence, std::span<std::byte> to) const;
  /// A new sequence of these tokens (no more than capacity()) and cells. Throws as reserve(); there is no new
  /// sequence then.
  int insert(std::span<const std::int32_t> tokens, std::span<const std::byte> cells);
  std::size_t cell_bytes() const { return pool_.page_bytes() / kPageCells; }

  const PagePool& pool() const { return pool_; }

 private:
  struct Sequence {
    bool open = false;
    std::vector<std::int32_t> tokens;
    std::vector<std::int32_t> pages;  // indices of pages in use
    std::vector<f16*> keys;           // [n_layer][max_pages]
    std::vector<f16*> values;         // [n_layer][max_pages]
  };
  const Sequence& at(int sequence) const { return sequences_[static_cast<std::size_t>(sequence)]; }
  Sequence& at(int sequence) { return sequences_[static_cast<std::size_t>(sequence)]; }
  /// Makes `page` the one at `index` of the sequence.
  void place(Sequence& s, std::size_t index, std::int32_t page);
  std::int32_t take_page();
  /// f(offset, cells, bytes) for each piece that lies in one go in a page and, from the offset on, in what
  /// copy_cells() makes.
  template <class F>
  void for_each_piece(int sequence, F&& f) const;

  std::int64_t width_;  // G*hd
  std::int64_t n_layer_;
  std::int64_t capacity_;
  std::int64_t max_pages_;  // per sequence
  PagePool pool_;
  std::vector<Sequence> sequences_;
};

}  // namespace bitnet
