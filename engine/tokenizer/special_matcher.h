#pragma once
// Finds special tokens written out in a text. Source: reference-semantics 7.5.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/tokenizer/pair_map.h"

namespace bitnet {

/// Cuts texts at special tokens. The longest token takes its occurrences first, each left to right; then the
/// next longest in what is left, and so on; of two equally long ones the one that was given first. Time and
/// memory are linear in the text, however many tokens there are: one automaton (Aho and Corasick, over the
/// texts spelled backwards) knows for every position the longest token that starts there.
class SpecialMatcher {
 public:
  static constexpr std::int32_t kText = -1;

  /// Part [begin, end) of a text in bytes: a special token, or text between them.
  struct Fragment {
    std::size_t begin;
    std::size_t end;
    std::int32_t token;  // kText for text
  };

  /// `text` must not be empty; it is not kept. After the last `add`, `build` before the first `partition`.
  void add(std::string_view text, std::int32_t token);
  void build();

  /// No empty fragments, and none for an empty text.
  std::vector<Fragment> partition(std::string_view text) const;

 private:
  static constexpr std::uint32_t kRoot = 0;

  /// A suffix of one or more tokens.
  struct Node {
    std::uint32_t parent = kRoot;
    std::uint32_t length = 0;
    std::uint32_t fallback = kRoot;  // the longest other node that this one's text starts with
    std::uint32_t shorter = kRoot;   // likewise, among the nodes that are tokens
    std::int32_t token = kText;
    std::uint32_t order = 0;  // of addition
    std::uint8_t byte = 0;
  };

  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const;
  std::uint32_t step(std::uint32_t node, std::uint8_t byte) const;

  std::vector<Node> nodes_{Node{}};
  std::array<std::uint32_t, 256> root_children_{};  // kRoot: none
  PairMap children_;                                // of the other nodes
  std::uint32_t added_ = 0;
};

}  // namespace bitnet
