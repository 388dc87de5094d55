#include "reference/formats/ternary.h"

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "reference/emulator/half.h"

namespace crossval {
namespace {

using bitnet::I2sLayout;
using bitnet::TensorType;

struct Element {
  int weight;  // outside -1 .. 1: a code that stands for nothing
  float scale;
};

// One tensor, element by element. K columns, M rows.
class Decoder {
 public:
  Decoder(const bitnet::gguf::Tensor& tensor, const bitnet::TernaryFormat& format)
      : data_(tensor.data), format_(format), K_(tensor.ne[0]), M_(tensor.rows()) {}

  Element at(std::uint64_t row, std::uint64_t k) const {
    switch (format_.type) {
      case TensorType::i2_s:
        return {i2s_code(row, k) - 1, f32(K_ * M_ / 4)};
      case TensorType::tl1:
        return {tl1(row, k), f32(K_ * M_ / 4)};
      case TensorType::tl2:
        return {tl2(row, k), f32(data_.size() - 32)};
      case TensorType::tq1_0:
        return tq1_0(row, k);
      case TensorType::tq2_0:
        return tq2_0(row, k);
      case TensorType::iq1_bn:
        return iq1_bn(row, k);
      case TensorType::iq2_bn:
        return iq2_bn(row, k);
      case TensorType::iq2_bn_r4:
        return iq2_bn_r4(row, k);
      case TensorType::bitnet32_f16:
        return bitnet32(row, k);
      default:
        return qk256(row, k);
    }
  }

 private:
  unsigned byte(std::uint64_t i) const { return std::to_integer<unsigned>(data_[i]); }
  float f32(std::uint64_t i) const {
    float value = 0;
    std::memcpy(&value, data_.data() + i, 4);
    return value;
  }
  std::uint16_t word(std::uint64_t i) const { return static_cast<std::uint16_t>(byte(i) | byte(i + 1) << 8); }
  float f16(std::uint64_t i) const { return emulation::f16_to_f32(word(i)); }

  // 2.2, 2.3, 2.4.
  int i2s_code(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t e = row * K_ + k;
    if (format_.i2s == I2sLayout::x86) return byte(e / 128 * 32 + e % 32) >> (6 - 2 * (e % 128 / 32)) & 3;
    if (format_.i2s == I2sLayout::arm) return byte(e / 64 * 16 + e % 16) >> (6 - 2 * (e % 64 / 16)) & 3;
    return byte(row / 4 * K_ + k) >> (6 - 2 * (row % 4)) & 3;
  }

  // Of a pair 3 w0 + w1 + 4; w0 is the nearest to a third of 3 w0 + w1.
  static int of_pair(unsigned nibble, bool second) {
    const int v = static_cast<int>(nibble) - 4;
    const int w0 = v > 1 ? 1 : v < -1 ? -1 : 0;
    return nibble > 8 ? 2 : second ? v - 3 * w0 : w0;
  }

  // 4.2, from the element to the byte.
  int tl1(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t BM = format_.tiles.rows, BK = format_.tiles.cols, bm = format_.tiles.stripe,
                        by = 256 / bm;
    std::uint64_t b = row / BM * (K_ / BK) + k / BK;
    b = b * (BM / bm) + row % BM / bm;
    b = b * (BK / by) + k % BK / by;
    b = b * (bm / 16) + row % bm / 16;
    b = b * (by / 4) + k % by / 4;
    b = b * 16 + row % 16;
    return of_pair(k / 2 % 2 == 0 ? byte(b) >> 4 : byte(b) & 15, k % 2 == 1);
  }

  // 4.3, likewise. Slots and rows of a stripe are exchanged by the same permutation in both directions.
  int tl2(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t BM = format_.tiles.rows, BK = format_.tiles.cols, K3 = K_ / BK * BK, K2 = K_ - K3;
    const std::uint64_t P[] = {0, 2, 1, 3};
    const std::uint64_t r = row % 32, slot = P[r / 8] * 8 + r % 8;
    const std::uint64_t signs = M_ * K3 / 6, pairs = signs + M_ * K3 / 24;
    if (k >= K3) {
      const std::uint64_t c = k - K3;
      std::uint64_t b = (row / BM * (K2 / 32) + c / 32) * (BM / 32) + row % BM / 32;
      b = (b * 8 + c % 32 / 4) * 32 + slot;
      return of_pair(c / 2 % 2 == 0 ? byte(pairs + b) >> 4 : byte(pairs + b) & 15, c % 2 == 1);
    }
    const std::uint64_t stripe = (row / BM * (K3 / BK) + k / BK) * (BM / 32) + row % BM / 32;
    const std::uint64_t u = k % BK / 3;
    const unsigned both = byte((stripe * (BK / 6) + u / 2) * 32 + slot);
    const int magnitude = static_cast<int>(u % 2 == 0 ? both >> 4 : both & 15);
    if (magnitude > 13) return 2;
    const unsigned bits = word(signs + (stripe * (BK / 24) + u / 8) * 32 + r % 16 * 2);
    const bool negative = (bits >> (15 - (2 * (u % 8) + r / 16)) & 1) != 0;
    const int v = negative ? -magnitude : magnitude;
    const int w0 = v > 4 ? 1 : v < -4 ? -1 : 0;
    const int rest = v - 9 * w0;
    const int w1 = rest > 1 ? 1 : rest < -1 ? -1 : 0;
    return k % 3 == 0 ? w0 : k % 3 == 1 ? w1 : rest - 3 * w1;
  }

  // As llama.cpp unpacks a byte: times a power of three modulo 256, the third of that range it then lies in.
  static int trit(unsigned value, std::uint64_t place) {
    static constexpr unsigned kPowers[] = {1, 3, 9, 27, 81};
    return static_cast<int>((value * kPowers[place] % 256) * 3 / 256);
  }

  Element tq1_0(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t block = (row * K_ + k) / 256 * 54, e = k % 256;
    const float scale = f16(block + 52);
    if (e < 160) return {trit(byte(block + e % 32), e / 32) - 1, scale};
    if (e < 240) return {trit(byte(block + 32 + e % 16), (e - 160) / 16) - 1, scale};
    return {trit(byte(block + 48 + e % 4), (e - 240) / 4) - 1, scale};
  }

  Element tq2_0(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t block = (row * K_ + k) / 256 * 66, e = k % 256;
    const unsigned code = byte(block + e / 128 * 32 + e % 32) >> (e % 128 / 32 * 2) & 3;
    return {static_cast<int>(code) - 1, f16(block + 64)};
  }

  // Whatever the codes of a row with scale 0 say, its weights are 0.
  static Element of_row(int weight, float scale) { return {scale == 0 ? 0 : weight, scale}; }

  Element iq1_bn(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t start = row * (2 + K_ / 64 * 13), block = start + 2 + k / 64 * 13;
    const std::uint64_t sixteen = k % 64 / 16, i = k % 16;
    const unsigned value = i == 15 ? byte(block + 12) : byte(block + 3 * sixteen + i / 5);
    const std::uint64_t place = i == 15 ? sixteen : i % 5;
    return of_row(trit(value, 4 - place) - 1, f16(start));
  }

  Element iq2_bn(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t start = row * (4 + K_ / 4);
    const unsigned code = byte(start + 4 + k / 64 * 16 + k % 16) >> (k % 64 / 16 * 2) & 3;
    return code == 3 ? Element{2, f32(start)} : of_row(static_cast<int>(code) - 1, f32(start));
  }

  // As ik_llama.cpp repacks IQ2_BN: of row r's byte 4 j + i of a block, bits 2 l of it go to byte 16 l + 4 r
  // + i, bits 2 j.
  Element iq2_bn_r4(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t start = row / 4 * 4 * (4 + K_ / 4), r = row % 4, p = k % 16, l = k % 64 / 16;
    const unsigned code = byte(start + 16 + k / 64 * 64 + 16 * l + 4 * r + p % 4) >> (p / 4 * 2) & 3;
    const float scale = f32(start + 4 * r);
    return code == 3 ? Element{2, scale} : of_row(static_cast<int>(code) - 1, scale);
  }

  Element bitnet32(std::uint64_t row, std::uint64_t k) const {
    const std::uint64_t block = (row * K_ + k) / 32 * 10;
    return {static_cast<int>(byte(block + k % 32 / 4) >> (k % 4 * 2) & 3) - 2, f16(block + 8)};
  }

  Element qk256(std::uint64_t row, std::uint64_t k) const {
    const unsigned code = byte(row * ((K_ + 255) / 256 * 64) + k / 4) >> (k % 4 * 2) & 3;
    return {code == 1 ? -1 : code == 2 ? 1 : 2, 1.0f};
  }

  std::span<const std::byte> data_;
  bitnet::TernaryFormat format_;
  std::uint64_t K_, M_;
};

}  // namespace

const std::byte* as_i2s(const bitnet::gguf::File& file, const bitnet::gguf::Tensor& tensor,
                        const bitnet::gguf::TernaryOptions& options,
                        std::vector<std::vector<std::byte>>& memory) {
  const bitnet::TernaryFormat format = bitnet::gguf::ternary_format(file, tensor, options);
  if (format.type == TensorType::i2_s && format.i2s == I2sLayout::x86) return tensor.data.data();
  const Decoder decoder(tensor, format);
  const std::uint64_t K = tensor.ne[0];
  std::vector<std::byte>& out = memory.emplace_back(tensor.elements() / 4 + 32);
  std::optional<float> scale;  // of weights that are not zero
  bool seen[3] = {};
  for (std::uint64_t e = 0; e < tensor.elements(); ++e) {
    const Element x = decoder.at(e / K, e % K);
    const auto place = [&] { return "row " + std::to_string(e / K) + ", column " + std::to_string(e % K); };
    if (std::abs(x.weight) > 1) file.fail(tensor.name, "the code in " + place() + " is no ternary weight");
    seen[x.weight + 1] = true;
    if (x.weight != 0 && scale.value_or(x.scale) != x.scale)
      file.fail(tensor.name, "the scale in " + place() + " is " + std::to_string(x.scale) +
                                 ", further up it is " + std::to_string(*scale));
    if (x.weight != 0 && !scale) scale = x.scale;
    out[e / 128 * 32 + e % 32] |= static_cast<std::byte>((x.weight + 1) << (6 - 2 * (e % 128 / 32)));
  }
  // BitNet-rs's loader and quantizer mean different weights by a code; all three tell that it was the latter.
  if (format.type == TensorType::bitnet32_f16 && !(seen[0] && seen[1] && seen[2]))
    file.fail(tensor.name, "what its codes stand for cannot be told");
  const float value =
      format.type == TensorType::i2_s || format.type == TensorType::tl1 || format.type == TensorType::tl2
          ? decoder.at(0, 0).scale
          : scale.value_or(0.0f);
  std::memcpy(out.data() + tensor.elements() / 4, &value, 4);
  return out.data();
}

}  // namespace crossval
