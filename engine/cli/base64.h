#pragma once
// Base64 (RFC 4648, padded), for the twins of texts that are no UTF-8.

#include <string>
#include <string_view>

namespace bitnet {

std::string base64(std::string_view bytes);

}  // namespace bitnet
