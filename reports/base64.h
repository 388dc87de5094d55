#pragma once
// Base64 (RFC 4648, with padding) for the `_b64` twins of text fields and for the page's script hashes.

#include <optional>
#include <string>
#include <string_view>

namespace crossval::reports {

std::string base64_encode(std::string_view bytes);

/// Nothing where the text is not base64: another alphabet, a wrong length, bits set beyond the last byte.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace crossval::reports
