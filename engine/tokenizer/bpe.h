#pragma once
// Byte-level BPE: the pieces of a text to tokens. Source: reference-semantics 7.3.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/merge_row.h"
#include "engine/tokenizer/pair_map.h"
#include "engine/tokenizer/text_table.h"

namespace bitnet {

/// Token texts and merge rules. Immutable once made, so several threads may encode at once.
class Bpe {
 public:
  /// `tokens`: their texts, numbered as they are. `merges`: "LEFT RIGHT", cut at the first space at index 1
  /// or later, the most urgent first; an entry without such a space stands for nothing, a repeated pair for
  /// its first entry.
  Bpe(TextTable tokens, std::span<const std::string_view> merges, bool ignore_merges);

  /// Buffers of encode_piece, kept by the caller from piece to piece.
  struct Scratch {
    std::string symbols;
    MergeRow row;
  };

  /// Appends the tokens of one piece of raw bytes. The adjacent pair of the lowest rank is merged first, the
  /// leftmost of equals, until no pair has a rank: O(n log n). A symbol that is no token in the end is
  /// replaced by the tokens of the single bytes of its text, and those that do not exist are dropped (as
  /// bitnet.cpp does; a vocabulary with all 256 byte symbols never comes to that).
  void encode_piece(std::string_view bytes, Scratch& scratch, std::vector<std::int32_t>& out) const;

  std::int32_t token_count() const { return static_cast<std::int32_t>(tokens_); }
  std::string_view token_text(std::int32_t token) const {
    return symbols_.text(static_cast<std::uint32_t>(token));
  }
  /// -1 when there is none.
  std::int32_t find_token(std::string_view text) const;

 private:
  void add_merges(std::span<const std::string_view> merges);
  void emit(std::uint32_t symbol, std::vector<std::int32_t>& out) const;

  // Merging goes by text, not by token: a rule may make a text that is no token, and a later rule may use it.
  // So symbols are all texts that can arise: first the tokens, numbered as such, then those that only merges
  // name.
  TextTable symbols_;
  std::uint32_t tokens_;
  std::size_t longest_token_ = 0;
  bool ignore_merges_;
  PairMap merges_;                              // (left, right) -> rank << 32 | merged
  std::array<std::uint32_t, 256> byte_symbol_;  // what each raw byte starts as
  std::array<std::int32_t, 256> byte_text_;     // the token whose text is this one byte, -1 for none
};

}  // namespace bitnet
