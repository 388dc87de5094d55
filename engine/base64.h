#pragma once
// Base64 (RFC 4648, with padding) for the `_b64` twins of text that may not be UTF-8.

#include <optional>
#include <string>
#include <string_view>

namespace bitnet {

std::string base64_encode(std::string_view bytes);

/// Nothing where the text is not base64: another alphabet, a wrong length, bits set beyond the last byte.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace bitnet
