#pragma once
// The merging that byte-level BPE and SentencePiece share: the most urgent pair of neighbours first.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/tokenizer/pair_map.h"

namespace bitnet {

/// A text as a row of symbols that grow together. Kept by the caller from text to text, so that its memory
/// is.
struct MergeRow {
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  std::vector<std::uint32_t> symbol;          // merged symbols live on in their left half
  std::vector<std::uint32_t> previous, next;  // positions; kNone at the ends
  std::size_t lookups = 0;                    // of pairs, in all merges together: what the time is spent on

  /// Merges until no pair has a rank: the pair of the lowest rank first, the leftmost of equals. `find(i, j)`
  /// gives what the neighbours at the positions i and j make, rank << 32 | symbol, or PairMap::kNone.
  /// O(n log n): each merge takes a symbol away and looks two pairs up.
  template <class Find>
  void merge(Find find) {
    const auto n = static_cast<std::uint32_t>(symbol.size());
    previous.resize(n);
    next.resize(n);
    rank_.resize(n);
    merged_.resize(n);
    queue_.clear();
    for (std::uint32_t i = 0; i < n; ++i) {
      previous[i] = i == 0 ? kNone : i - 1;
      next[i] = i + 1 == n ? kNone : i + 1;
    }
    for (std::uint32_t i = 0; i < n; ++i) {
      if (look_up(i, find)) queue_.push_back(entry(i));
    }
    // An entry is stale when the pair that starts there has another rank by now. Where it has the same rank,
    // the entry stands for it as well as its own would.
    constexpr std::greater<> kLowestFirst;
    std::make_heap(queue_.begin(), queue_.end(), kLowestFirst);
    const auto update = [&](std::uint32_t i) {
      if (!look_up(i, find)) return;
      queue_.push_back(entry(i));
      std::push_heap(queue_.begin(), queue_.end(), kLowestFirst);
    };
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end(), kLowestFirst);
      const std::uint64_t top = queue_.back();
      queue_.pop_back();
      const auto left = static_cast<std::uint32_t>(top);
      if (rank_[left] != static_cast<std::uint32_t>(top >> 32)) continue;
      const std::uint32_t right = next[left];
      symbol[left] = merged_[left];
      rank_[right] = kNone;
      next[left] = next[right];
      if (next[left] != kNone) previous[next[left]] = left;
      update(left);
      if (previous[left] != kNone) update(previous[left]);
    }
  }

 private:
  std::uint64_t entry(std::uint32_t i) const { return std::uint64_t{rank_[i]} << 32 | i; }

  /// Whether the pair that starts at `i` can be merged.
  template <class Find>
  bool look_up(std::uint32_t i, Find& find) {
    rank_[i] = kNone;
    if (next[i] == kNone) return false;
    ++lookups;
    const std::uint64_t found = find(i, next[i]);
    if (found == PairMap::kNone) return false;
    rank_[i] = static_cast<std::uint32_t>(found >> 32);
    merged_[i] = static_cast<std::uint32_t>(found);
    return true;
  }

  std::vector<std::uint32_t> rank_, merged_;  // of the pair that starts at each position
  std::vector<std::uint64_t> queue_;          // rank << 32 | position
};

}  // namespace bitnet
