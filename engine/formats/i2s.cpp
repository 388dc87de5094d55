#include "engine/formats/i2s.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "engine/formats/ternary.h"
#include "engine/formats/two_bit_group.h"

namespace bitnet::i2s {
namespace {

void require_fit(std::size_t weights, std::size_t bytes) {
  if (weights % kBlockElements != 0) throw std::invalid_argument("I2_S packs whole blocks of 128 elements");
  if (bytes != tensor_bytes(weights)) throw std::invalid_argument("I2_S: wrong number of bytes");
}

}  // namespace

void pack(std::span<const std::int8_t> weights, float scale, std::span<std::byte> tensor) {
  require_fit(weights.size(), tensor.size());
  ternary::require_ternary("I2_S", weights);
  pack_codes(weights, tensor.first(weights.size() / 4));
  put_scale(tensor, weights.size(), scale);
}

void pack_codes(std::span<const std::int8_t> weights, std::span<std::byte> codes) {
  if (weights.size() % kBlockElements != 0 || codes.size() != weights.size() / 4)
    throw std::invalid_argument("I2_S: wrong number of weights or codes");
  for (std::size_t block = 0; block < weights.size() / kBlockElements; ++block)
    two_bit_group::encode<kBlockBytes, false>(weights.data() + block * kBlockElements,
                                              codes.data() + block * kBlockBytes);
}

void unpack(std::span<const std::byte> tensor, std::span<std::int8_t> weights) {
  require_fit(weights.size(), tensor.size());
  for (std::size_t block = 0; block < weights.size() / kBlockElements; ++block)
    two_bit_group::decode<kBlockBytes, false>(tensor.data() + block * kBlockBytes,
                                              weights.data() + block * kBlockElements);
}

void put_scale(std::span<std::byte> tensor, std::uint64_t elements, float scale) {
  const auto slot = tensor.subspan(elements / 4, kScaleSlotBytes);
  std::ranges::fill(slot, std::byte{0});
  std::memcpy(slot.data(), &scale, sizeof scale);
}

float scale(std::span<const std::byte> tensor, std::uint64_t elements) {
  float value = 0;
  const auto slot = tensor.subspan(elements / 4, sizeof value);
  std::memcpy(&value, slot.data(), sizeof value);
  return value;
}

Census census(std::span<const std::byte> tensor, std::uint64_t elements) {
  const auto codes = tensor.first(elements / 4);
  // Bytes are counted first: a table of 256 sums is far cheaper than four codes per byte. Four tables, so
  // that equal neighbours do not wait for each other.
  std::array<std::array<std::uint64_t, 256>, 4> bytes{};
  std::size_t i = 0;
  for (; i + 4 <= codes.size(); i += 4)
    for (std::size_t t = 0; t < 4; ++t) ++bytes[t][std::to_integer<std::size_t>(codes[i + t])];
  for (; i < codes.size(); ++i) ++bytes[0][std::to_integer<std::size_t>(codes[i])];
  Census result;
  for (std::size_t value = 0; value < 256; ++value) {
    const std::uint64_t n = bytes[0][value] + bytes[1][value] + bytes[2][value] + bytes[3][value];
    for (int shift = 0; shift < 8; shift += 2) result.count[value >> shift & 3] += n;
  }
  return result;
}

std::optional<std::uint64_t> find_invalid(std::span<const std::byte> tensor, std::uint64_t elements) {
  const auto codes = tensor.first(elements / 4);
  for (std::size_t block = 0; block < codes.size(); block += kBlockBytes) {
    const auto bytes = codes.subspan(block, std::min<std::size_t>(kBlockBytes, codes.size() - block));
    unsigned threes = 0;
    for (const std::byte b : bytes)
      threes |= std::to_integer<unsigned>(b) & std::to_integer<unsigned>(b) >> 1;
    if ((threes & 0x55u) == 0) continue;
    // Element order is not byte order: search the block.
    for (std::uint64_t e = block * 4;; ++e)
      if (code_at(tensor, elements, 0, e) == 3) return e;
  }
  return std::nullopt;
}

}  // namespace bitnet::i2s
