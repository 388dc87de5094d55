// libFuzzer: whatever bytes a tensor of weights has, the engine's decoder and the reference's either both
// refuse it or make the same matrix of it, in one piece or by rows; it can be written again; and a
// kernel_config.ini of such bytes is read or refused.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/error.h"
#include "engine/formats/float_format.h"
#include "engine/formats/i2s.h"
#include "engine/formats/ternary_rows.h"
#include "engine/gguf/test_bytes.h"
#include "reference/formats/fuzz_formats.h"
#include "reference/formats/ternary.h"

namespace {

using namespace crossval;

void require(bool condition) {
  if (!condition) std::abort();
}

// Each group of rows by itself is what it is in the whole, and the groups put together are the whole.
void by_rows(const bitnet::TernaryFormat& format, bitnet::TernaryShape shape,
             std::span<const std::byte> tensor, const bitnet::gguf::TernaryWeights& whole) {
  const std::uint64_t n = bitnet::rows_together(format, shape);
  std::vector<std::byte> part, together(tensor.size());
  std::vector<std::int8_t> weights(n * shape.cols);
  for (std::uint64_t first = 0; first < shape.rows; first += n) {
    bitnet::cut_rows(format, tensor, shape, {first, n}, part);
    bitnet::put_rows(format, part, shape, {first, n}, together);
    // Some rows may lack a code that the whole must have.
    if (format.type == bitnet::TensorType::bitnet32_f16) continue;
    bitnet::decode_ternary(format, part, {shape.cols, n}, weights);
    require(
        std::ranges::equal(weights, std::span(whole.weights).subspan(first * shape.cols, n * shape.cols)));
  }
  std::vector<std::int8_t> again(shape.elements());
  require(bitnet::decode_ternary(format, together, shape, again) == whole.scale && again == whole.weights);
}

// What was decoded is encoded as something that decodes to the same.
void encoded_again(const bitnet::TernaryFormat& format, bitnet::TernaryShape shape,
                   const bitnet::gguf::TernaryWeights& w) {
  std::vector<std::byte> tensor(bitnet::tensor_bytes(format.type, shape.cols, shape.rows).value());
  bitnet::encode_ternary(format, w.weights, shape, w.scale, tensor);
  std::vector<std::int8_t> again(shape.elements());
  const float scale = bitnet::decode_ternary(format, tensor, shape, again);
  require(again == w.weights && (scale == w.scale || bitnet::ternary::all_zero(again)));
}

// By the engine, packed as I2_S; nothing where it refuses.
std::vector<std::byte> by_engine(const bitnet::gguf::File& file,
                                 const bitnet::gguf::TernaryOptions& options) {
  const auto& tensor = file.tensors()[0];
  const auto w = bitnet::gguf::decode_ternary(file, tensor, options);
  require(std::ranges::all_of(w.weights, [](std::int8_t x) { return x >= -1 && x <= 1; }));
  const auto format = bitnet::gguf::ternary_format(file, tensor, options);
  by_rows(format, bitnet::gguf::ternary_shape(tensor), tensor.data, w);
  encoded_again(format, bitnet::gguf::ternary_shape(tensor), w);
  std::vector<std::byte> out(bitnet::i2s::tensor_bytes(w.weights.size()));
  bitnet::i2s::pack(w.weights, w.scale, out);
  return out;
}

void ternary(const fuzzing::Head& head, std::span<const std::byte> bytes) {
  const bitnet::TernaryFormat format = fuzzing::format_of(head);
  const bitnet::TernaryShape shape = fuzzing::shape_of(head);
  const auto size = bitnet::tensor_bytes(format.type, shape.cols, shape.rows);
  if (!size || shape.elements() % 128 != 0) return;
  bitnet::gguf::testing::Bytes b;
  b.header(1, 0).tensor("w", {shape.cols, shape.rows}, bitnet::file_number(format.type), 0).pad(32);
  const std::size_t data = b.bytes.size();
  b.zeros(*size);
  std::memcpy(b.bytes.data() + data, bytes.data(), std::min<std::size_t>(bytes.size(), *size));
  const auto file = bitnet::gguf::File::parse(b.bytes, "f");
  if (file.tensors()[0].type != format.type) return;  // the space of one type is that of another
  const bitnet::gguf::TernaryOptions options = {.layout = format.i2s, .tiles = {{shape, format.tiles}}};
  std::vector<std::byte> expected;
  try {
    expected = by_engine(file, options);
  } catch (const bitnet::InputError&) {
  }
  std::vector<std::vector<std::byte>> memory;
  try {
    const std::byte* got = as_i2s(file, file.tensors()[0], options, memory);
    float scale = 0;
    std::memcpy(&scale, got + shape.elements() / 4, 4);
    // The reference leaves code 3 of I2_S as it lies, and scales that are no numbers, to those who load.
    const bool left = memory.empty() || !std::isfinite(scale);
    require(left || (!expected.empty() && std::memcmp(got, expected.data(), shape.elements() / 4 + 4) == 0));
  } catch (const bitnet::InputError&) {
    require(expected.empty());
  }
}

void floats(bitnet::TensorType type, std::span<const std::byte> bytes) {
  const std::uint64_t block = bitnet::block_elements(type);
  const std::uint64_t n = bytes.size() / bitnet::tensor_bytes(type, block, 1).value() * block;
  std::vector<float> values(n);
  bitnet::decode_floats(type, bytes.first(bitnet::tensor_bytes(type, n, 1).value()), values);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzzing::Head head{};
  if (size < sizeof head) return 0;
  std::memcpy(&head, data, sizeof head);
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(sizeof head);
  const bitnet::TensorType type = fuzzing::format_of(head).type;
  if (bitnet::is_ternary(type))
    ternary(head, bytes);
  else
    floats(type, bytes);
  try {
    bitnet::parse_kernel_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  } catch (const bitnet::InputError&) {
  }
  return 0;
}
