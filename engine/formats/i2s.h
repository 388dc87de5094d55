#pragma once
// I2_S, x86 layout: ternary weights of 2 bits, one binary32 scale per tensor (reference-semantics 2.1, 2.2).
//
// The tensor is one flat row-major list of elements e = row * K + k. Elements 128 B .. 128 B + 127 live in
// the 32 bytes from byte 32 B on: byte p of them holds the elements p, p + 32, p + 64, p + 96 in bits 7:6,
// 5:4, 3:2, 1:0. Codes: 0 -> -1, 1 -> 0, 2 -> +1; 3 is invalid. The scale follows the codes at byte elements
// / 4, in a slot of 32 bytes of which only the first four mean anything.
//
// Plain loops: for tools, tests and synthetic models. The engine's kernels have their own decoding.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace bitnet::i2s {

inline constexpr std::uint64_t kBlockElements = 128;
inline constexpr std::uint64_t kBlockBytes = 32;
inline constexpr std::uint64_t kScaleSlotBytes = 32;

/// Bytes of a tensor with this many elements: codes and scale slot.
constexpr std::uint64_t tensor_bytes(std::uint64_t elements) {
  return elements / 4 + kScaleSlotBytes;
}

/// Where element e stands: the byte, and the shift that brings its code to bits 1:0.
struct Place {
  std::uint64_t byte;
  int shift;
};
constexpr Place place_of(std::uint64_t e) {
  const std::uint64_t j = e % kBlockElements;
  return {e / kBlockElements * kBlockBytes + j % 32, static_cast<int>(6 - 2 * (j / 32))};
}

/// The code (0..3) of element (row, k) of a tensor with rows of K elements.
inline int code_at(std::span<const std::byte> tensor, std::uint64_t K, std::uint64_t row, std::uint64_t k) {
  const Place p = place_of(row * K + k);
  return (std::to_integer<int>(tensor[p.byte]) >> p.shift) & 3;
}

/// Replaces the code (0..3) of element (row, k).
inline void set_code(std::span<std::byte> tensor, std::uint64_t K, std::uint64_t row, std::uint64_t k,
                     int code) {
  const Place p = place_of(row * K + k);
  const int kept = std::to_integer<int>(tensor[p.byte]) & ~(3 << p.shift);
  tensor[p.byte] = static_cast<std::byte>(kept | (code << p.shift));
}

/// Packs ternary weights (each -1, 0 or +1; a multiple of 128 of them) and the scale into `tensor`, which has
/// tensor_bytes(weights.size()) bytes; the rest of the scale slot becomes zero.
/// Throws std::invalid_argument for sizes or values that do not fit.
void pack(std::span<const std::int8_t> weights, float scale, std::span<std::byte> tensor);

/// The codes alone: a quarter of a byte for each weight, which must be -1, 0 or +1.
void pack_codes(std::span<const std::int8_t> weights, std::span<std::byte> codes);

/// The weights -1, 0, +1 (and +2 for the invalid code 3). Sizes as in `pack`.
void unpack(std::span<const std::byte> tensor, std::span<std::int8_t> weights);

/// Writes the scale of a tensor with this many elements; the rest of its slot becomes zero.
void put_scale(std::span<std::byte> tensor, std::uint64_t elements, float scale);

/// The scale of a tensor with this many elements.
float scale(std::span<const std::byte> tensor, std::uint64_t elements);

/// How often each code occurs among the first `elements` (a multiple of 4) codes: [0] is -1, [1] 0, [2] +1,
/// [3] invalid.
struct Census {
  std::uint64_t count[4] = {0, 0, 0, 0};
};
Census census(std::span<const std::byte> tensor, std::uint64_t elements);

/// The first element with the invalid code 3, if any.
std::optional<std::uint64_t> find_invalid(std::span<const std::byte> tensor, std::uint64_t elements);

}  // namespace bitnet::i2s
