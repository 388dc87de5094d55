#pragma once
// Code points: their classes (Unicode 15.0, and CJK extension I of 15.1) and UTF-8.
// Source: reference-semantics 7.2; the classes come from unicode_table.inc.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitnet::unicode {

/// What the pre-tokenizers tell apart. Space is their white-space set (not Unicode's property of that name);
/// a code point in no other class, unassigned ones included, is `other`.
enum class CharClass : std::uint8_t { other, letter, number, punctuation, space };

CharClass classify(char32_t c);

struct Decoded {
  char32_t value;      // U+FFFD where `valid` is false
  std::uint8_t bytes;  // 1 to 4; 1 where `valid` is false
  bool valid;
};

/// The code point at `pos` (< text.size()). A byte that starts no well-formed sequence (a stray continuation
/// byte, an overlong form, a surrogate, a value above U+10FFFF, a sequence cut short) is invalid by itself:
/// one byte, U+FFFD.
Decoded decode_at(std::string_view text, std::size_t pos);

/// The same as bitnet.cpp reads it: surrogates are code points like any other, and an overlong form is the
/// code point that it spells.
Decoded decode_loosely(std::string_view text, std::size_t pos);

/// Whether `text` holds overlong forms, and the same text with each in its shortest form instead.
bool has_overlong_forms(std::string_view text);
std::string without_overlong_forms(std::string_view text);

/// Appends the UTF-8 form of `c` (at most U+10FFFF; surrogates are written like any other).
void append_utf8(char32_t c, std::string& out);

/// How many bytes at the end of `text` start a well-formed sequence that more bytes could complete (0 to 3).
std::size_t incomplete_tail(std::string_view text);

}  // namespace bitnet::unicode
