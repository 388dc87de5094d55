#pragma once
// The tensor types of GGUF files: their numbers, names, sizes. Those the engine cannot run are listed too, so
// that a refusal can call them by name.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitnet {

/// Numbers of the ggml type field, as bitnet.cpp's fork family uses them (I2_S 36, TL1 38, TL2 39). BitNet-rs
/// gives its formats the number of I2_S; they have numbers of our own here, which never stand in a file.
enum class TensorType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q5_0 = 6,
  q8_0 = 8,
  q4_k = 12,
  q6_k = 14,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  i2_s = 36,
  i8_s = 37,
  tl1 = 38,
  tl2 = 39,
  iq1_bn = 134,
  iq2_bn = 135,
  iq2_bn_r4 = 335,
  bitnet32_f16 = 0x10000,
  qk256 = 0x10001,
};

/// TL2 in bitnet.cpp since July 2026, as reported. In llama.cpp the number means Q2_0.
inline constexpr std::uint32_t kTl2NumberSince2026 = 42;

/// The number that stands in a file.
std::uint32_t file_number(TensorType type);

/// "I2_S", "BitNet32-F16".
std::string_view type_name(TensorType type);

/// "I2_S", "F16", ... for every type number known in the ggml family; "" when the number is unknown.
std::string_view type_name(std::uint32_t number);

/// "type 40 (NVFP4)", or "type 9999 (unknown)": for messages.
std::string type_text(std::uint32_t number);

/// The enumerator of a number in a file, or nothing for numbers that this project has no enumerator for. What
/// I2_S and 42 really are, the size of the tensor says.
std::optional<TensorType> tensor_type(std::uint32_t number);

/// Elements per block: a row length must be a multiple of it. 1 for types without blocks (and for I2_S, TL1
/// and TL2, whose bytes are not laid out row by row, and QK256, which fills rows up).
std::uint64_t block_elements(TensorType type);

/// Bytes of a tensor with ne0 elements per row and `rows` rows, or nothing when the size is not defined for
/// the type (unknown, or ne0 does not divide into blocks) or does not fit into 63 bits. I2_S: elements / 4 +
/// 32 (reference-semantics 1.4).
std::optional<std::uint64_t> tensor_bytes(TensorType type, std::uint64_t ne0, std::uint64_t rows);

}  // namespace bitnet
