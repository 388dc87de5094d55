#include "engine/base64.h"

#include <cstdint>

namespace bitnet {
namespace {
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = bytes.size() - i < 3 ? bytes.size() - i : 3;
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      word = word << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= n ? kAlphabet[word >> (18 - 6 * k) & 63U] : '=';
    }
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::size_t n = 4;
    if (i + 4 == text.size()) {
      if (text[i + 3] == '=') n = text[i + 2] == '=' ? 2 : 3;
    }
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      std::size_t value = 0;
      if (k < n) {
        value = kAlphabet.find(text[i + k]);
        if (value == std::string_view::npos) return std::nullopt;
      }
      word = word << 6 | static_cast<std::uint32_t>(value);
    }
    if ((n == 2 && (word & 0xFFFFU) != 0) || (n == 3 && (word & 0xFFU) != 0)) return std::nullopt;
    for (std::size_t k = 0; k + 1 < n; ++k)
      out += static_cast<char>(static_cast<unsigned char>(word >> (16 - 8 * k)));
  }
  return out;
}

}  // namespace bitnet
