#include "engine/tokenizer/byte_alphabet.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/tokenizer/unicode.h"

namespace bitnet {
namespace {

TEST(ByteAlphabet, KnownSymbols) {
  EXPECT_EQ(byte_symbol(0x00), "\u0100");
  EXPECT_EQ(byte_symbol('\n'), "\u010A");
  EXPECT_EQ(byte_symbol(' '), "\u0120");
  EXPECT_EQ(byte_symbol('!'), "!");
  EXPECT_EQ(byte_symbol('~'), "~");
  EXPECT_EQ(byte_symbol(0x7F), "\u0121");
  EXPECT_EQ(byte_symbol(0x80), "\u0122");
  EXPECT_EQ(byte_symbol(0xA0), "\u0142");
  EXPECT_EQ(byte_symbol(0xA1), "\u00A1");
  EXPECT_EQ(byte_symbol(0xAD), "\u0143");
  EXPECT_EQ(byte_symbol(0xFF), "\u00FF");
}

TEST(ByteAlphabet, EveryByteHasItsOwnSymbolAndComesBack) {
  std::set<std::string_view> symbols;
  for (int b = 0; b < 256; ++b) {
    const std::string_view symbol = byte_symbol(static_cast<std::uint8_t>(b));
    symbols.insert(symbol);
    const unicode::Decoded c = unicode::decode_at(symbol, 0);
    EXPECT_TRUE(c.valid);
    EXPECT_EQ(c.bytes, symbol.size());
    EXPECT_EQ(symbol_byte(c.value), static_cast<std::uint8_t>(b));
  }
  EXPECT_EQ(symbols.size(), 256u);
}

TEST(ByteAlphabet, OtherCodePointsStandForNothing) {
  for (const char32_t c :
       {char32_t{0x20}, char32_t{0x7F}, char32_t{0xAD}, char32_t{0x144}, char32_t{0x2581}}) {
    EXPECT_EQ(symbol_byte(c), std::nullopt) << static_cast<std::uint32_t>(c);
  }
}

TEST(ByteAlphabet, AppendsText) {
  std::string out = "x";
  append_byte_symbols(" \xE9\n", out);
  EXPECT_EQ(out, "x\u0120\u00E9\u010A");
}

}  // namespace
}  // namespace bitnet
