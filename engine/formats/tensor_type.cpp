#include "engine/formats/tensor_type.h"

#include <algorithm>
#include <array>
#include <limits>

namespace bitnet {
namespace {

struct Name {
  std::uint32_t number;
  std::string_view name;
};

// Three families share the number space: ggml's own (with numbers it has retired since), bitnet.cpp's fork of
// it (36 to 39), ik_llama.cpp's additions (97 and up). Where they collide the fork's name stands, because
// that is how this project reads the number; the reader tells the colliding types apart by their size.
constexpr auto kNames = std::to_array<Name>({
    {0, "F32"},
    {1, "F16"},
    {2, "Q4_0"},
    {3, "Q4_1"},
    {4, "Q4_2"},
    {5, "Q4_3"},
    {6, "Q5_0"},
    {7, "Q5_1"},
    {8, "Q8_0"},
    {9, "Q8_1"},
    {10, "Q2_K"},
    {11, "Q3_K"},
    {12, "Q4_K"},
    {13, "Q5_K"},
    {14, "Q6_K"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {20, "IQ4_NL"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {23, "IQ4_XS"},
    {24, "I8"},
    {25, "I16"},
    {26, "I32"},
    {27, "I64"},
    {28, "F64"},
    {29, "IQ1_M"},
    {30, "BF16"},
    {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {36, "I2_S"},
    {37, "I8_S"},
    {38, "TL1"},
    {39, "TL2"},
    {40, "NVFP4"},
    {41, "Q1_0"},
    {42, "Q2_0, or TL2 of bitnet.cpp since July 2026"},
    {97, "Q8_0_X4"},
    {98, "Q8_1_X4"},
    {99, "Q8_2_X4"},
    {133, "Q6_0"},
    {134, "IQ1_BN"},
    {135, "IQ2_BN"},
    {136, "Q8_K64"},
    {137, "IQ2_K"},
    {138, "IQ3_K"},
    {139, "IQ4_K"},
    {140, "IQ5_K"},
    {141, "IQ6_K"},
    {142, "PQ2_0"},
    {143, "PTQ1_0"},
    {144, "IQ4_KS"},
    {145, "IQ2_KS"},
    {146, "IQ4_KSS"},
    {147, "Q8_K16"},
    {148, "Q8_K32"},
    {149, "Q8_KR8"},
    {150, "Q8_K128"},
    {151, "Q8_KV"},
    {152, "IQ5_KS"},
    {153, "IQ2_KT"},
    {154, "IQ3_KT"},
    {155, "IQ4_KT"},
    {156, "IQ3_KS"},
    {157, "IQ2_KL"},
    {158, "IQ1_KT"},
    {202, "Q4_0_R8"},
    {206, "Q5_0_R4"},
    {208, "Q8_0_R8"},
    {210, "Q2_K_R4"},
    {211, "Q3_K_R4"},
    {212, "Q4_K_R4"},
    {213, "Q5_K_R4"},
    {214, "Q6_K_R4"},
    {216, "IQ2_XXS_R4"},
    {217, "IQ2_XS_R4"},
    {218, "IQ3_XXS_R4"},
    {219, "IQ1_S_R4"},
    {220, "IQ4_NL_R4"},
    {221, "IQ3_S_R4"},
    {222, "IQ2_S_R4"},
    {223, "IQ4_XS_R8"},
    {229, "IQ1_M_R4"},
    {230, "BF16_R16"},
    {233, "Q6_0_R4"},
    {335, "IQ2_BN_R4"},
    {337, "IQ2_K_R4"},
    {338, "IQ3_K_R4"},
    {339, "IQ4_K_R4"},
    {340, "IQ5_K_R4"},
    {344, "IQ4_KS_R4"},
    {352, "IQ5_KS_R4"},
    {397, "Q8_K_R16"},
    {398, "Q8_KV_R8"},
    {399, "Q8_K_R8"},
});
static_assert(std::ranges::is_sorted(kNames, {}, &Name::number));

constexpr std::uint64_t kMaxBytes = std::numeric_limits<std::int64_t>::max();

std::optional<std::uint64_t> product(std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > kMaxBytes / b) return std::nullopt;
  return a * b;
}

// One tensor scale after the codes, in a slot of its own (reference-semantics 1.4).
constexpr std::uint64_t kScaleSlot = 32;

std::optional<std::uint64_t> quarter_bytes(std::uint64_t ne0, std::uint64_t rows) {
  const auto elements = product(ne0, rows);
  if (!elements) return std::nullopt;
  return *elements / 4 + kScaleSlot;
}

std::optional<std::uint64_t> tl2_bytes(std::uint64_t ne0, std::uint64_t rows) {
  // Room for the worst case of 256 columns coded in pairs; the rest in triples. Floor division, left to
  // right.
  if (ne0 < 256) return std::nullopt;
  const auto triples = product(ne0 - 256, rows);
  const auto pairs = product(256, rows);
  if (!triples || *triples > kMaxBytes / 5 || !pairs || *pairs > kMaxBytes / 4) return std::nullopt;
  const std::uint64_t payload = *triples / 3 * 5 / 8 + *pairs / 2 * 4 / 8;
  return (payload + 31) / 32 * 32 + kScaleSlot;
}

struct Block {
  std::uint64_t elements;
  std::uint64_t bytes;       // 0: the type has no size row by row
  std::uint64_t before = 0;  // bytes of the row before its first block
};

Block block_of(TensorType type) {
  switch (type) {
    case TensorType::f32:
      return {1, 4};
    case TensorType::f16:
    case TensorType::bf16:
      return {1, 2};
    case TensorType::q4_0:
      return {32, 18};  // f16 scale, 32 nibbles
    case TensorType::q5_0:
      return {32, 22};  // f16 scale, 32 high bits, 32 nibbles
    case TensorType::q8_0:
      return {32, 34};  // f16 scale, 32 int8
    case TensorType::q4_k:
      return {256, 144};  // 2 f16, 12 bytes of 6-bit scales, 256 nibbles
    case TensorType::q6_k:
      return {256, 210};  // 256 nibbles, 256 * 2 bits, 16 int8 scales, f16
    case TensorType::tq1_0:
      return {256, 54};  // 240 trits in 48 bytes, 16 in 4, f16 scale
    case TensorType::tq2_0:
      return {256, 66};  // 256 * 2 bits, f16 scale
    case TensorType::iq1_bn:
      return {64, 13, 2};  // f16 scale of the row; 64 trits
    case TensorType::iq2_bn:
    case TensorType::iq2_bn_r4:  // of four rows together
      return {64, 16, 4};        // f32 scale of the row; 64 * 2 bits
    case TensorType::bitnet32_f16:
      return {32, 10};  // 32 * 2 bits, f16 scale
    case TensorType::i2_s:
    case TensorType::tl1:
    case TensorType::tl2:
    case TensorType::i8_s:
    case TensorType::qk256:
      break;
  }
  return {1, 0};
}

}  // namespace

std::uint32_t file_number(TensorType type) {
  const bool foreign = type == TensorType::bitnet32_f16 || type == TensorType::qk256;
  return static_cast<std::uint32_t>(foreign ? TensorType::i2_s : type);
}

std::string_view type_name(TensorType type) {
  if (type == TensorType::bitnet32_f16) return "BitNet32-F16";
  if (type == TensorType::qk256) return "QK256";
  return type_name(static_cast<std::uint32_t>(type));
}

std::string_view type_name(std::uint32_t number) {
  const auto it = std::ranges::lower_bound(kNames, number, {}, &Name::number);
  return it != kNames.end() && it->number == number ? it->name : std::string_view();
}

std::string type_text(std::uint32_t number) {
  const auto name = type_name(number);
  return "type " + std::to_string(number) + " (" + (name.empty() ? "unknown" : std::string(name)) + ")";
}

std::optional<TensorType> tensor_type(std::uint32_t number) {
  if (number == kTl2NumberSince2026) return TensorType::tl2;
  const auto type = static_cast<TensorType>(number);
  switch (type) {
    case TensorType::f32:
    case TensorType::f16:
    case TensorType::q4_0:
    case TensorType::q5_0:
    case TensorType::q8_0:
    case TensorType::q4_k:
    case TensorType::q6_k:
    case TensorType::bf16:
    case TensorType::tq1_0:
    case TensorType::tq2_0:
    case TensorType::i2_s:
    case TensorType::i8_s:
    case TensorType::tl1:
    case TensorType::tl2:
    case TensorType::iq1_bn:
    case TensorType::iq2_bn:
    case TensorType::iq2_bn_r4:
      return type;
    case TensorType::bitnet32_f16:
    case TensorType::qk256:
      break;
  }
  return std::nullopt;
}

std::uint64_t block_elements(TensorType type) {
  return block_of(type).elements;
}

std::optional<std::uint64_t> tensor_bytes(TensorType type, std::uint64_t ne0, std::uint64_t rows) {
  if (type == TensorType::i2_s || type == TensorType::tl1) return quarter_bytes(ne0, rows);
  if (type == TensorType::tl2) return tl2_bytes(ne0, rows);
  // Rows of whole blocks of 256 elements in 64 bytes.
  if (type == TensorType::qk256) {
    const auto row = product(ne0 / 256 + (ne0 % 256 != 0 ? 1 : 0), 64);
    return row ? product(*row, rows) : std::nullopt;
  }
  const Block block = block_of(type);
  if (block.bytes == 0 || ne0 % block.elements != 0) return std::nullopt;
  const auto row = product(ne0 / block.elements, block.bytes);
  if (!row || *row > kMaxBytes - block.before) return std::nullopt;
  return product(*row + block.before, rows);
}

}  // namespace bitnet
