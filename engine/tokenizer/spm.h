#pragma once
// SentencePiece vocabularies: pairs merge by the score of the token that they make. Source:
// reference-semantics 7.4.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/merge_row.h"
#include "engine/tokenizer/text_table.h"

namespace bitnet {

/// Token texts and scores. Immutable once made, so several threads may encode at once.
class Spm {
 public:
  /// `tokens`: their texts, numbered as they are, spaces written as U+2581. `scores`: one each, numbers.
  Spm(TextTable tokens, std::span<const float> scores);

  /// Buffers of `encode`, kept by the caller from text to text.
  struct Scratch {
    std::string text;
    std::vector<std::size_t> begin;
    MergeRow row;
  };

  /// Appends the tokens of a text, with a space before it if `space_before`. The text starts as its
  /// characters, each as long as its first byte says; neighbours whose texts together are a token merge, the
  /// highest score first, the leftmost of equals: O(n log n). What is no token in the end becomes the tokens
  /// of its bytes, "<0xHH>", else the token that is this one byte; throws InputError where there is neither.
  void encode(std::string_view text, bool space_before, Scratch& scratch,
              std::vector<std::int32_t>& out) const;

  std::int32_t token_count() const { return static_cast<std::int32_t>(tokens_.size()); }
  std::string_view token_text(std::int32_t token) const {
    return tokens_.text(static_cast<std::uint32_t>(token));
  }
  /// -1 when there is none.
  std::int32_t find_token(std::string_view text) const {
    const std::uint32_t token = tokens_.find(text);
    return token == TextTable::kNone ? -1 : static_cast<std::int32_t>(token);
  }

  /// The text of a normal token with its spaces, appended to `out`.
  static void append_text(std::string_view token, std::string& out);
  /// The byte that "<0xHH>" stands for; -1 for any other text.
  static int byte_of(std::string_view token);

 private:
  TextTable tokens_;
  std::vector<std::uint32_t> rank_;           // by token: how many different scores are higher
  std::array<std::int32_t, 256> byte_token_;  // -1 for none
  std::size_t longest_token_ = 0;
};

}  // namespace bitnet
