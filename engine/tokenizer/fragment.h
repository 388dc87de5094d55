#pragma once
// What the pre-tokenizers' scanners are made of: a part of a text, and cutting pieces into smaller ones.

#include <cstdint>

#include "engine/tokenizer/pre_tokenizer.h"

namespace bitnet {

inline bool is_line_break(char32_t c) {
  return c == U'\r' || c == U'\n';
}

/// Part [begin, end) of a text; beyond its end there is nothing.
struct Fragment {
  const CodePoints& text;
  std::uint32_t begin;
  std::uint32_t end;

  bool has(std::uint32_t i) const { return i < end; }
  char32_t at(std::uint32_t i) const { return i < end ? text.value[i] : 0xFFFFFFFF; }
  bool is(std::uint32_t i, unicode::CharClass k) const { return i < end && text.kind[i] == k; }
  bool is_letter(std::uint32_t i) const { return is(i, unicode::CharClass::letter); }
  bool is_number(std::uint32_t i) const { return is(i, unicode::CharClass::number); }
  bool is_space(std::uint32_t i) const { return is(i, unicode::CharClass::space); }
  /// Neither white space nor letter nor number.
  bool is_other(std::uint32_t i) const {
    return is(i, unicode::CharClass::other) || is(i, unicode::CharClass::punctuation);
  }

  template <class Is>
  std::uint32_t run_end(std::uint32_t i, Is is_member) const {
    while (i < end && is_member(i)) ++i;
    return i;
  }
};

/// Cuts every piece of `pieces` again with `cut(fragment, ends)`.
template <class Cut>
Ends refine(const CodePoints& text, const Ends& pieces, Cut cut) {
  Ends ends;
  ends.reserve(pieces.size());
  std::uint32_t begin = 0;
  for (const std::uint32_t end : pieces) {
    cut(Fragment{text, begin, end}, ends);
    begin = end;
  }
  return ends;
}

inline Ends whole(const CodePoints& text) {
  return text.size() == 0 ? Ends{} : Ends{text.size()};
}

/// Cuts into maximal runs of code points that are members and that are not. Is: (Fragment, index) -> bool.
template <class Is>
void split_runs(const Fragment& f, Ends& ends, Is is_member) {
  for (std::uint32_t i = f.begin; i < f.end;) {
    const bool member = is_member(f, i);
    i = f.run_end(i, [&](std::uint32_t j) { return is_member(f, j) == member; });
    ends.push_back(i);
  }
}

inline void split_numbers(const Fragment& f, Ends& ends) {
  split_runs(f, ends, [](const Fragment& g, std::uint32_t i) { return g.is_number(i); });
}

}  // namespace bitnet
