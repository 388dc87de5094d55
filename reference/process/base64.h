#pragma once
// Base64 (RFC 4648, padded), for the `_b64` twins of texts that may be no UTF-8.

#include <optional>
#include <string>
#include <string_view>

namespace crossval {

std::string base64_text(std::string_view bytes);
/// The bytes; nothing when the text is not base64 (other characters, wrong length, bits left over).
std::optional<std::string> base64_bytes(std::string_view text);

}  // namespace crossval
