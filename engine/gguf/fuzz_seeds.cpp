// Writes a small corpus for fuzz_gguf: fuzz_gguf_seeds DIRECTORY.

#include "engine/fuzz_seeds.h"
#include "engine/gguf/test_bytes.h"

namespace {

using bitnet::TensorType;
using bitnet::gguf::ValueType;
using bitnet::gguf::testing::Bytes;

void keys_of_every_type(Bytes& b) {
  b.key("u8", ValueType::u8, std::uint8_t{1}).key("i8", ValueType::i8, std::int8_t{-1});
  b.key("u16", ValueType::u16, std::uint16_t{2}).key("i16", ValueType::i16, std::int16_t{-2});
  b.key("u32", ValueType::u32, std::uint32_t{3}).key("i32", ValueType::i32, std::int32_t{-3});
  b.key("u64", ValueType::u64, std::uint64_t{4}).key("i64", ValueType::i64, std::int64_t{-4});
  b.key("f32", ValueType::f32, 0.5f).key("f64", ValueType::f64, 0.25);
  b.key("bool", ValueType::boolean, std::uint8_t{1});
}

Bytes scalars() {
  Bytes b;
  b.header(0, 12).key("general.architecture", "bitnet");
  keys_of_every_type(b);
  return b;
}

Bytes arrays(std::uint32_t version) {
  Bytes b;
  b.header(0, 4, version);
  b.array("tokens", ValueType::string, 3).string("a").string("bc").string("");
  b.array("scores", ValueType::f32, 2).put(1.0f).put(-1.0f);
  b.array("flags", ValueType::boolean, 2).put(std::uint8_t{0}).put(std::uint8_t{1});
  b.array("longs", ValueType::i64, 1).put(std::int64_t{5});
  return b;
}

// One tensor of the type with `ne0` x 4 elements.
Bytes one_tensor(TensorType type, std::uint64_t ne0) {
  Bytes b;
  b.header(1, 1).key("general.architecture", "bitnet-b1.58");
  b.tensor("x", {ne0, 4}, type, 0).pad(32);
  return b.zeros(static_cast<std::size_t>(bitnet::tensor_bytes(type, ne0, 4).value_or(0)));
}

Bytes two_tensors(std::uint32_t alignment) {
  Bytes b;
  b.header(2, 1).key("general.alignment", ValueType::u32, alignment);
  b.tensor("a", {8}, TensorType::f32, 0).tensor("b", {2, 2, 2}, TensorType::f16, alignment).pad(alignment);
  return b.zeros(32).pad(alignment).zeros(16);
}

Bytes split() {
  Bytes b;
  return b.header(0, 1).key("split.count", ValueType::u16, std::uint16_t{2});
}

std::string text(const Bytes& b) {
  return {reinterpret_cast<const char*>(b.bytes.data()), b.bytes.size()};
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<bitnet::fuzzing::Seed> seeds = {
      {"scalars", text(scalars())},          {"arrays-v2", text(arrays(2))},
      {"arrays-v3", text(arrays(3))},        {"alignment-64", text(two_tensors(64))},
      {"alignment-8", text(two_tensors(8))}, {"split", text(split())}};
  for (const auto type :
       {TensorType::f32, TensorType::f16, TensorType::bf16, TensorType::i2_s, TensorType::tl1,
        TensorType::tl2, TensorType::q8_0, TensorType::q6_k, TensorType::tq1_0})
    seeds.push_back(
        {"tensor-" + std::to_string(static_cast<std::uint32_t>(type)), text(one_tensor(type, 256))});
  return bitnet::fuzzing::write_seeds("fuzz_gguf_seeds", argc, argv, seeds);
}
