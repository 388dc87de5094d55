#include "engine/gguf/printable.h"

#include <cstdint>
#include <cstdio>

namespace bitnet::gguf {
namespace {

struct CodePoint {
  std::uint32_t value;
  std::size_t bytes;  // 0: not valid UTF-8
};

// Shortest form only, no surrogates, at most U+10FFFF (Unicode 15, table 3-7).
CodePoint decode(std::string_view s) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(s[i]));
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || s.size() < n) return {0, 0};
  std::uint32_t value = lead & (0x7fu >> n);
  for (std::size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return {0, 0};
    value = value << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (n == 3 && value < 0x800) || (n == 4 && value < 0x10000);
  if (overlong || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {0, 0};
  return {value, n};
}

bool harmful(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
         (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
         c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff) ||
         (c & 0xfffe) == 0xfffe;
}

std::string escaped(std::uint32_t c, bool is_byte) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  char text[16];
  std::snprintf(text, sizeof text, is_byte || c < 0x80 ? "\\x%02x" : "\\u{%04x}", static_cast<unsigned>(c));
  return text;
}

std::string escape(std::string_view text, bool escape_backslash, std::size_t max_bytes) {
  constexpr std::string_view kEllipsis = "...";
  std::string out;
  // Where the result may be cut so that the ellipsis still fits.
  std::size_t cut = 0;
  while (!text.empty()) {
    const CodePoint c = decode(text);
    const std::size_t bytes = c.bytes == 0 ? 1 : c.bytes;
    if (c.bytes == 0)
      out += escaped(static_cast<unsigned char>(text.front()), true);
    else if (harmful(c.value))
      out += escaped(c.value, false);
    else if (c.value == '\\' && escape_backslash)
      out += "\\\\";
    else
      out += text.substr(0, bytes);
    if (out.size() > max_bytes) return out.substr(0, cut).append(kEllipsis);
    if (out.size() + kEllipsis.size() <= max_bytes) cut = out.size();
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text, std::size_t max_bytes) {
  return escape(text, true, max_bytes);
}

std::string printable_message(std::string_view text) {
  return escape(text, false, std::numeric_limits<std::size_t>::max());
}

bool valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = decode(text);
    if (c.bytes == 0) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

}  // namespace bitnet::gguf
