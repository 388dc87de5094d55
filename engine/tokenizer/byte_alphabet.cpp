#include "engine/tokenizer/byte_alphabet.h"

#include <array>

namespace bitnet {
namespace {

constexpr char32_t kFirstShifted = 0x100;
constexpr std::uint32_t kShiftedBytes = 68;

constexpr bool stands_for_itself(std::uint32_t b) {
  return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
}

struct Alphabet {
  std::array<std::array<char, 2>, 256> symbol{};
  std::array<std::uint8_t, 256> size{};
  std::array<std::uint8_t, kShiftedBytes> shifted{};  // the byte of U+0100 + i
};

constexpr Alphabet make_alphabet() {
  Alphabet a;
  std::uint32_t shifted = 0;
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t c = b;
    if (!stands_for_itself(b)) {
      a.shifted[shifted] = static_cast<std::uint8_t>(b);
      c = kFirstShifted + shifted++;
    }
    if (c < 0x80) {
      a.symbol[b] = {static_cast<char>(c), '\0'};
      a.size[b] = 1;
    } else {
      a.symbol[b] = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
      a.size[b] = 2;
    }
  }
  return a;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::string_view byte_symbol(std::uint8_t byte) {
  return {kAlphabet.symbol[byte].data(), kAlphabet.size[byte]};
}

void append_byte_symbols(std::string_view bytes, std::string& out) {
  for (const char c : bytes) out += byte_symbol(static_cast<std::uint8_t>(c));
}

std::optional<std::uint8_t> symbol_byte(char32_t c) {
  if (c >= kFirstShifted && c < kFirstShifted + kShiftedBytes) return kAlphabet.shifted[c - kFirstShifted];
  if (c < 0x100 && stands_for_itself(c)) return static_cast<std::uint8_t>(c);
  return std::nullopt;
}

}  // namespace bitnet
