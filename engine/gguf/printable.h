#pragma once
// Text from files is data: before it reaches a terminal or a one-line message it is made harmless.

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

namespace bitnet::gguf {

/// The text with everything escaped that could move the cursor, break the line or lie about its order:
/// control characters, line separators, bidirectional and invisible format characters, bytes that are no
/// valid UTF-8. \n, \t, \x1b, \xff for bytes; \u{202e} for code points; \\ for a backslash, so that the
/// result is unambiguous. Longer results than `max_bytes` are cut at a character and end in "...".
std::string printable(std::string_view text, std::size_t max_bytes = std::numeric_limits<std::size_t>::max());

/// The same, but a backslash stays as it is: for messages that quote paths and already printable text.
std::string printable_message(std::string_view text);

/// Whether the bytes are well-formed UTF-8.
bool valid_utf8(std::string_view text);

}  // namespace bitnet::gguf
