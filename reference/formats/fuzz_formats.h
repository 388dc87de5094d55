#pragma once
// How the fuzzer's bytes are read: a head that chooses format and shape, then the tensor.

#include <cstdint>

#include "engine/formats/ternary_format.h"

namespace crossval::fuzzing {

struct Head {
  std::uint8_t type;                          // index of kTypes, modulo their number
  std::uint8_t layout;                        // of I2_S, modulo three
  std::uint8_t cols;                          // times 32, and one more
  std::uint8_t rows;                          // one less
  std::uint8_t tile_rows, tile_cols, stripe;  // times 16, times 8, times 16
};

inline constexpr bitnet::TensorType kTypes[] = {
    bitnet::TensorType::i2_s,   bitnet::TensorType::tl1,   bitnet::TensorType::tl2,
    bitnet::TensorType::tq1_0,  bitnet::TensorType::tq2_0, bitnet::TensorType::iq1_bn,
    bitnet::TensorType::iq2_bn, bitnet::TensorType::qk256, bitnet::TensorType::bitnet32_f16,
    bitnet::TensorType::q8_0,   bitnet::TensorType::q6_k,  bitnet::TensorType::q5_0,
    bitnet::TensorType::q4_k,   bitnet::TensorType::q4_0,  bitnet::TensorType::f16,
    bitnet::TensorType::bf16,   bitnet::TensorType::f32,   bitnet::TensorType::iq2_bn_r4};

inline bitnet::TernaryShape shape_of(const Head& head) {
  return {32 * (std::uint64_t{head.cols} % 32 + 1), std::uint64_t{head.rows} % 96 + 1};
}

inline bitnet::TernaryFormat format_of(const Head& head) {
  return {kTypes[head.type % std::size(kTypes)],
          bitnet::kI2sLayouts[head.layout % 3],
          {16u * head.tile_rows, 8u * head.tile_cols, 16u * head.stripe}};
}

}  // namespace crossval::fuzzing
