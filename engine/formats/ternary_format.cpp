#include "engine/formats/ternary_format.h"

#include <stdexcept>

#include "engine/formats/bitnet_rs.h"
#include "engine/formats/i2s.h"
#include "engine/formats/iq_bn.h"
#include "engine/formats/tl1.h"
#include "engine/formats/tl2.h"
#include "engine/formats/tq1_0.h"
#include "engine/formats/tq2_0.h"

namespace bitnet {
namespace {

std::string no_blocks(const char* what, std::uint64_t n, std::uint64_t block) {
  return std::string(what) + " " + std::to_string(n) + " is no multiple of " + std::to_string(block);
}

[[noreturn]] void fail_type() {
  throw std::invalid_argument("not a type of ternary weights");
}

}  // namespace

bool is_ternary(TensorType type) {
  switch (type) {
    case TensorType::i2_s:
    case TensorType::bitnet32_f16:
    case TensorType::qk256:
    case TensorType::tl1:
    case TensorType::tl2:
    case TensorType::tq1_0:
    case TensorType::tq2_0:
    case TensorType::iq1_bn:
    case TensorType::iq2_bn:
    case TensorType::iq2_bn_r4:
      return true;
    default:
      return false;
  }
}

bool rounds_scale(TensorType type) {
  return type == TensorType::tq1_0 || type == TensorType::tq2_0 || type == TensorType::iq1_bn ||
         type == TensorType::bitnet32_f16;
}

std::string misfit(const TernaryFormat& format, TernaryShape shape) {
  if (format.type == TensorType::tl1 || format.type == TensorType::tl2)
    return misfit(format.type, shape, format.tiles);
  if (format.type == TensorType::i2_s) {
    const std::uint64_t block = i2s::block_elements(format.i2s);
    const bool by_rows = format.i2s == I2sLayout::four_row;
    const std::uint64_t n = by_rows ? shape.rows : shape.elements();
    if (n % block != 0) return no_blocks(by_rows ? "the number of rows" : "the number of elements", n, block);
  }
  if (format.type == TensorType::iq2_bn_r4 && shape.rows % 4 != 0)
    return no_blocks("the number of rows", shape.rows, 4);
  if (shape.cols % block_elements(format.type) != 0)
    return no_blocks("a row's length", shape.cols, block_elements(format.type));
  return "";
}

void encode_ternary(const TernaryFormat& format, std::span<const std::int8_t> weights, TernaryShape shape,
                    float scale, std::span<std::byte> tensor) {
  switch (format.type) {
    case TensorType::i2_s:
      return i2s::encode(format.i2s, weights, shape, scale, tensor);
    case TensorType::bitnet32_f16:
      return bitnet32_f16::encode(weights, shape, scale, tensor);
    case TensorType::qk256:
      return qk256::encode(weights, shape, scale, tensor);
    case TensorType::tl1:
      return tl1::encode(weights, shape, format.tiles, scale, tensor);
    case TensorType::tl2:
      return tl2::encode(weights, shape, format.tiles, scale, tensor);
    case TensorType::tq1_0:
      return tq1_0::encode(weights, shape, scale, tensor);
    case TensorType::tq2_0:
      return tq2_0::encode(weights, shape, scale, tensor);
    case TensorType::iq1_bn:
      return iq1_bn::encode(weights, shape, scale, tensor);
    case TensorType::iq2_bn:
      return iq2_bn::encode(weights, shape, scale, tensor);
    case TensorType::iq2_bn_r4:
      return iq2_bn_r4::encode(weights, shape, scale, tensor);
    default:
      fail_type();
  }
}

float decode_ternary(const TernaryFormat& format, std::span<const std::byte> tensor, TernaryShape shape,
                     std::span<std::int8_t> weights) {
  switch (format.type) {
    case TensorType::i2_s:
      return i2s::decode(format.i2s, tensor, shape, weights);
    case TensorType::bitnet32_f16:
      return bitnet32_f16::decode(tensor, shape, weights);
    case TensorType::qk256:
      return qk256::decode(tensor, shape, weights);
    case TensorType::tl1:
      return tl1::decode(tensor, shape, format.tiles, weights);
    case TensorType::tl2:
      return tl2::decode(tensor, shape, format.tiles, weights);
    case TensorType::tq1_0:
      return tq1_0::decode(tensor, shape, weights);
    case TensorType::tq2_0:
      return tq2_0::decode(tensor, shape, weights);
    case TensorType::iq1_bn:
      return iq1_bn::decode(tensor, shape, weights);
    case TensorType::iq2_bn:
      return iq2_bn::decode(tensor, shape, weights);
    case TensorType::iq2_bn_r4:
      return iq2_bn_r4::decode(tensor, shape, weights);
    default:
      fail_type();
  }
}

}  // namespace bitnet
