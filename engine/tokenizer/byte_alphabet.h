#pragma once
// The GPT-2 alphabet: every byte has a printable code point, and token texts are written with those.
// Bytes 21-7E, A1-AC and AE-FF (hex) stand for themselves; the 68 others, in rising order, are U+0100 and on.
// Source: reference-semantics 7.3.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitnet {

/// The UTF-8 form of the code point that stands for `byte` (1 or 2 bytes).
std::string_view byte_symbol(std::uint8_t byte);

/// `bytes` written in the alphabet, appended to `out`.
void append_byte_symbols(std::string_view bytes, std::string& out);

/// The byte that a code point stands for.
std::optional<std::uint8_t> symbol_byte(char32_t c);

}  // namespace bitnet
