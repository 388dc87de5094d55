#include "engine/tokenizer/unicode.h"

namespace bitnet::unicode {
namespace {

#include "engine/tokenizer/unicode_table.inc"

constexpr std::size_t kBlockBytes = 128;
constexpr char32_t kLastCodePoint = 0x10FFFF;

std::uint8_t byte_at(std::string_view text, std::size_t pos) {
  return static_cast<std::uint8_t>(text[pos]);
}

/// What a first byte promises: the length of its sequence and the range of the byte after it (Unicode, table
/// 3-7).
struct Lead {
  std::uint8_t bytes;  // 0: starts no sequence
  std::uint8_t second_min;
  std::uint8_t second_max;
};

Lead lead_of(std::uint8_t b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b < 0xF0) {
    return {3, static_cast<std::uint8_t>(b == 0xE0 ? 0xA0 : 0x80),
            static_cast<std::uint8_t>(b == 0xED ? 0x9F : 0xBF)};
  }
  if (b < 0xF5) {
    return {4, static_cast<std::uint8_t>(b == 0xF0 ? 0x90 : 0x80),
            static_cast<std::uint8_t>(b == 0xF4 ? 0x8F : 0xBF)};
  }
  return {0, 0, 0};
}

/// The same where every continuation byte will do.
Lead loose_lead_of(std::uint8_t b) {
  const auto bytes = static_cast<std::uint8_t>(b < 0x80   ? 1
                                               : b < 0xC0 ? 0
                                               : b < 0xE0 ? 2
                                               : b < 0xF0 ? 3
                                               : b < 0xF8 ? 4
                                                          : 0);
  return {bytes, 0x80, 0xBF};
}

bool continues(const Lead& lead, std::size_t index, std::uint8_t b) {
  return index == 1 ? b >= lead.second_min && b <= lead.second_max : (b & 0xC0) == 0x80;
}

Decoded decode(std::string_view text, std::size_t pos, const Lead& lead) {
  constexpr Decoded kInvalid{0xFFFD, 1, false};
  const std::uint8_t first = byte_at(text, pos);
  if (lead.bytes == 1) return {first, 1, true};
  if (lead.bytes == 0 || text.size() - pos < lead.bytes) return kInvalid;
  char32_t value = first & (0x7Fu >> lead.bytes);
  for (std::size_t i = 1; i < lead.bytes; ++i) {
    const std::uint8_t b = byte_at(text, pos + i);
    if (!continues(lead, i, b)) return kInvalid;
    value = value << 6 | (b & 0x3Fu);
  }
  return value > kLastCodePoint ? kInvalid : Decoded{value, lead.bytes, true};
}

std::uint8_t utf8_bytes(char32_t c) {
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

}  // namespace

CharClass classify(char32_t c) {
  if (c > kLastCodePoint) return CharClass::other;
  const std::uint8_t pair = kBlocks[kBlockOf[c >> 8] * kBlockBytes + ((c & 0xFF) >> 1)];
  return static_cast<CharClass>((c & 1) != 0 ? pair >> 4 : pair & 0xF);
}

Decoded decode_at(std::string_view text, std::size_t pos) {
  return decode(text, pos, lead_of(byte_at(text, pos)));
}

Decoded decode_loosely(std::string_view text, std::size_t pos) {
  return decode(text, pos, loose_lead_of(byte_at(text, pos)));
}

bool has_overlong_forms(std::string_view text) {
  for (std::size_t pos = 0; pos < text.size();) {
    const Decoded c = decode_loosely(text, pos);
    if (c.valid && c.bytes > utf8_bytes(c.value)) return true;
    pos += c.bytes;
  }
  return false;
}

std::string without_overlong_forms(std::string_view text) {
  std::string out;
  for (std::size_t pos = 0; pos < text.size();) {
    const Decoded c = decode_loosely(text, pos);
    if (c.valid) {
      append_utf8(c.value, out);
    } else {
      out += text[pos];
    }
    pos += c.bytes;
  }
  return out;
}

void append_utf8(char32_t c, std::string& out) {
  const auto put = [&out](char32_t b) { out.push_back(static_cast<char>(static_cast<std::uint8_t>(b))); };
  if (c < 0x80) {
    put(c);
    return;
  }
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3F));
    }
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

std::size_t incomplete_tail(std::string_view text) {
  for (std::size_t n = 1; n <= 3 && n <= text.size(); ++n) {
    const std::size_t start = text.size() - n;
    const Lead lead = lead_of(byte_at(text, start));
    if (lead.bytes <= n) continue;  // complete, or no first byte at all
    bool well_formed = true;
    for (std::size_t i = 1; i < n; ++i)
      well_formed = well_formed && continues(lead, i, byte_at(text, start + i));
    if (well_formed) return n;
  }
  return 0;
}

}  // namespace bitnet::unicode
