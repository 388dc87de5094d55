#pragma once
// Five trits in a byte: the number 0 to 242 that they make is stored as a fraction, rounded up: byte = ceil(n
// * 256 / 243). So n = floor(byte * 243 / 256), for the 13 bytes that no number gives too.

#include <array>
#include <cstdint>

namespace bitnet::trits {

constexpr std::uint8_t byte_of(int number) {
  return static_cast<std::uint8_t>((number * 256 + 242) / 243);
}

/// The five trits (0 to 2) of each byte, the most significant first.
inline constexpr auto kDigits = [] {
  std::array<std::array<std::uint8_t, 5>, 256> digits{};
  for (int byte = 0; byte < 256; ++byte) {
    int number = byte * 243 / 256;
    for (int i = 4; i >= 0; --i, number /= 3)
      digits[static_cast<std::size_t>(byte)][static_cast<std::size_t>(i)] =
          static_cast<std::uint8_t>(number % 3);
  }
  return digits;
}();

/// The trit of a byte that `power`, 3 to its place, brings to the front: digits of a fraction, as kDigits has
/// them, but without a table.
constexpr int digit(std::uint8_t byte, int power) {
  return static_cast<std::uint8_t>(byte * power) * 3 >> 8;
}
static_assert([] {
  for (std::size_t byte = 0; byte < 256; ++byte)
    for (std::size_t i = 0, power = 1; i < 5; ++i, power *= 3)
      if (digit(static_cast<std::uint8_t>(byte), static_cast<int>(power)) != kDigits[byte][i]) return false;
  return true;
}());

}  // namespace bitnet::trits
