#include "engine/gguf/ternary_tensor.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "engine/error.h"
#include "engine/formats/i2s.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/test_bytes.h"

namespace bitnet::gguf {
namespace {

using bitnet::testing_support::error_of;
using bitnet::testing_support::ternary;
using testing::Bytes;

constexpr TernaryShape kShape = {384, 64};

// One matrix in a format, in a file with the keys that `keys` adds.
std::vector<std::byte> file_with(const TernaryFormat& format, const std::vector<std::int8_t>& w, float scale,
                                 TernaryShape shape = kShape, std::uint64_t n_keys = 0,
                                 const std::function<void(Bytes&)>& keys = {}) {
  Bytes b;
  b.header(1, n_keys);
  if (keys) keys(b);
  b.tensor("w", {shape.cols, shape.rows}, file_number(format.type), 0).pad(32);
  std::vector<std::byte> tensor(tensor_bytes(format.type, shape.cols, shape.rows).value());
  encode_ternary(format, w, shape, scale, tensor);
  b.bytes.insert(b.bytes.end(), tensor.begin(), tensor.end());
  return b.bytes;
}

TernaryWeights decoded(const std::vector<std::byte>& bytes, const TernaryOptions& options = {}) {
  const File file = File::parse(bytes, "m.gguf");
  return decode_ternary(file, file.tensors()[0], options);
}

std::string failure(const std::vector<std::byte>& bytes, const TernaryOptions& options = {}) {
  return error_of([&] { decoded(bytes, options); });
}

void expect_in(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(TernaryTensor, I2sLayouts) {
  const auto w = ternary(kShape.elements(), 8);
  const auto bytes = file_with({TensorType::i2_s, I2sLayout::arm, {}}, w, 1.5f);
  EXPECT_NE(decoded(bytes).weights, w);  // x86 where nobody says
  EXPECT_EQ(decoded(bytes, {.layout = I2sLayout::arm, .tiles = {}}).weights, w);
  const auto named = [&](const char* name) {
    return file_with({TensorType::i2_s, I2sLayout::arm, {}}, w, 1.5f, kShape, 1,
                     [&](Bytes& b) { b.key("crossval.i2_s.layout", name); });
  };
  EXPECT_EQ(decoded(named("arm")).weights, w);
  EXPECT_EQ(decoded(named("arm")).scale, 1.5f);
  EXPECT_EQ(decoded(named("arm"), {.layout = I2sLayout::arm, .tiles = {}}).weights, w);
  expect_in(failure(named("arm"), {.layout = I2sLayout::x86, .tiles = {}}),
            {"crossval.i2_s.layout: the file itself says `arm`, not `x86`"});
  expect_in(failure(named("arm64")), {"crossval.i2_s.layout: must be x86, arm or 4-row, not `arm64`"});
}

TEST(TernaryTensor, TilesComeFromTheFileOrTheUser) {
  const auto w = ternary(kShape.elements(), 8);
  const TlTiles tiles = {32, 128, 32};
  const TernaryFormat format = {TensorType::tl1, I2sLayout::x86, tiles};
  const auto bytes = file_with(format, w, 1.5f);
  expect_in(failure(bytes),
            {"w: TL1 tiles of a matrix of 64 x 384 are not known; give the kernel_config.ini"});
  EXPECT_EQ(decoded(bytes, {.layout = {}, .tiles = {{kShape, tiles}}}).weights, w);
  EXPECT_NE(decoded(bytes, {.layout = {}, .tiles = {{kShape, {64, 128, 32}}}}).weights, w);
  expect_in(failure(bytes, {.layout = {}, .tiles = {{kShape, {48, 128, 32}}}}),
            {"w: a matrix of 64 x 384 cannot be TL1: the number of rows must be a multiple of BM"});

  const auto named = [&](const char* key, std::uint32_t last) {
    return file_with(format, w, 1.5f, kShape, 1, [&](Bytes& b) {
      b.array(key, ValueType::u32, 5);
      for (const std::uint32_t n : {64u, 384u, 32u, 128u, last}) b.put(n);
    });
  };
  EXPECT_EQ(decoded(named("crossval.tl1.tiles", 32)).weights, w);
  EXPECT_EQ(decoded(named("crossval.tl1.tiles", 32), {.layout = {}, .tiles = {{kShape, tiles}}}).weights, w);
  expect_in(failure(named("crossval.tl1.tiles", 16), {.layout = {}, .tiles = {{kShape, tiles}}}),
            {"the file itself says BM 32, BK 128, bm 16", "BM 32, BK 128, bm 32; leave it out"});
  expect_in(failure(named("crossval.tl2.tiles", 32)), {"are not known"});  // those of another type
  const auto odd = file_with(format, w, 1.5f, kShape, 1,
                             [&](Bytes& b) { b.array("crossval.tl1.tiles", ValueType::u32, 1).put(64u); });
  expect_in(failure(odd), {"crossval.tl1.tiles: must be an array of u32, five for each shape"});
}

TEST(TernaryTensor, PresetsAreTakenWhereTheyAgree) {
  const TernaryShape large = {1536, 1536};
  const auto w = ternary(large.elements(), 8);
  EXPECT_EQ(decoded(file_with({TensorType::tl2, I2sLayout::x86, {128, 192, 32}}, w, 1, large)).weights, w);
  EXPECT_EQ(decoded(file_with({TensorType::tl1, I2sLayout::x86, {128, 64, 64}}, w, 1, large)).weights, w);
  const TernaryShape llama = {4096, 1024};
  const auto v = ternary(llama.elements(), 8);
  const TlTiles tiles = {128, 64, 64};
  const auto bytes = file_with({TensorType::tl1, I2sLayout::x86, tiles}, v, 1, llama);
  expect_in(failure(bytes), {"w: TL1 tiles of a matrix of 1024 x 4096 may be BM 128, BK 64, bm 64",
                             "or BM 256, BK 128, bm 32", "--tl-config"});
  EXPECT_EQ(decoded(bytes, {.layout = {}, .tiles = {{llama, tiles}}}).weights, v);
}

TEST(TernaryTensor, FaultsNameTheTensor) {
  const auto w = ternary(kShape.elements(), 8);
  const float inf = std::numeric_limits<float>::infinity();
  expect_in(failure(file_with({TensorType::iq2_bn, {}, {}}, w, inf)),
            {"m.gguf: w: its weight scale is not finite"});
  expect_in(failure(file_with({TensorType::bitnet32_f16, {}, {}}, w, 1e6f)),
            {"m.gguf: w: its weight scale is not finite"});
  auto bytes = file_with({TensorType::iq2_bn, {}, {}}, w, 1.5f);
  bytes.back() |= std::byte{0xc0};
  expect_in(failure(bytes), {"m.gguf: w: IQ2_BN: the weight in row 63, column 383 has a code"});
}

}  // namespace
}  // namespace bitnet::gguf
