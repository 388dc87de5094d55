#include "engine/model/ternary_workers.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/formats/test_ternary.h"
#include "engine/gguf/test_bytes.h"

namespace bitnet {
namespace {

using testing_support::all_formats;
using testing_support::error_of;
using testing_support::ternary;

// Many bands in every format.
constexpr TernaryShape kShape = {1536, 768};
constexpr float kScale = 1.75f;

// One matrix in a file.
class OneMatrix {
 public:
  OneMatrix(const TernaryFormat& format, const std::vector<std::int8_t>& w) : format_(format) {
    b_.header(1, 0).tensor("w", {kShape.cols, kShape.rows}, file_number(format.type), 0).pad(32);
    data_ = b_.bytes.size();
    b_.zeros(tensor_bytes(format.type, kShape.cols, kShape.rows).value());
    encode_ternary(format, w, kShape, kScale, bytes());
  }
  std::span<std::byte> bytes() { return std::span(b_.bytes).subspan(data_); }
  gguf::File file() const { return gguf::File::parse(b_.bytes, "m.gguf"); }
  gguf::TernaryOptions options() const { return {.layout = format_.i2s, .tiles = {{kShape, format_.tiles}}}; }

 private:
  TernaryFormat format_;
  gguf::testing::Bytes b_;
  std::size_t data_ = 0;
};

gguf::TernaryWeights decoded(TernaryWorkers& workers, const OneMatrix& m) {
  const gguf::File file = m.file();
  gguf::TernaryWeights w{std::vector<std::int8_t>(kShape.elements(), 77), 0};
  w.scale = workers.decode(file, file.tensors()[0], m.options(),
                           [&](std::span<const std::int8_t> weights, std::uint64_t first) {
                             std::ranges::copy(weights, w.weights.data() + first);
                           });
  return w;
}

TEST(TernaryWorkers, DecodeAsOneThreadDoes) {
  const auto w = ternary(kShape.elements(), 1);
  for (const int threads : {1, 3}) {
    TernaryWorkers workers(threads);
    for (const TernaryFormat& format : all_formats(kShape)) {
      const auto got = decoded(workers, OneMatrix(format, w));
      EXPECT_EQ(got.weights, w) << type_name(format.type);
      EXPECT_EQ(got.scale, kScale) << type_name(format.type);
    }
  }
}

TEST(TernaryWorkers, EncodeAsOneThreadDoes) {
  const auto w = ternary(kShape.elements(), 2);
  TernaryWorkers workers(3);
  for (const TernaryFormat& format : all_formats(kShape)) {
    std::vector<std::byte> one(tensor_bytes(format.type, kShape.cols, kShape.rows).value()), many(one.size());
    encode_ternary(format, w, kShape, kScale, one);
    workers.encode(format, w, kShape, kScale, many);
    EXPECT_EQ(many, one) << type_name(format.type);
  }
}

// What holds for the whole matrix need not hold for some of its rows.
TEST(TernaryWorkers, ZerosInSomeRowsAndInAll) {
  auto w = ternary(kShape.elements(), 3);
  std::fill_n(w.begin(), kShape.elements() / 2, std::int8_t{0});
  TernaryWorkers workers(2);
  for (const TernaryFormat& format : all_formats(kShape)) {
    const auto got = decoded(workers, OneMatrix(format, w));
    EXPECT_EQ(got.weights, w) << type_name(format.type);
    EXPECT_EQ(got.scale, kScale) << type_name(format.type);
  }
  std::ranges::fill(w, std::int8_t{0});
  for (const TernaryFormat& format : all_formats(kShape)) {
    if (format.type == TensorType::bitnet32_f16) continue;  // its codes would not say what they stand for
    const OneMatrix m(format, w);
    const gguf::File file = m.file();
    const auto got = decoded(workers, m);
    EXPECT_EQ(got.weights, w) << type_name(format.type);
    EXPECT_EQ(got.scale, gguf::decode_ternary(file, file.tensors()[0], m.options()).scale)
        << type_name(format.type);
  }
}

// One damaged byte at a time: what one thread refuses, several refuse in the same words.
TEST(TernaryWorkers, RefuseWhatOneThreadRefuses) {
  const auto w = ternary(kShape.elements(), 4);
  TernaryWorkers workers(3);
  for (const TernaryFormat& format : all_formats(kShape)) {
    OneMatrix m(format, w);
    int refused = 0;
    const std::size_t n = m.bytes().size();
    for (const std::size_t at : {std::size_t{0}, n / 3, n - 40, n - 31, n - 29, n - 2, n - 1}) {
      const std::byte kept = m.bytes()[at];
      m.bytes()[at] = std::byte{0xff};
      const gguf::File file = m.file();
      const std::string one = error_of([&] { gguf::decode_ternary(file, file.tensors()[0], m.options()); });
      const std::string many = error_of([&] { decoded(workers, m); });
      EXPECT_EQ(many, one) << type_name(format.type) << " byte " << at;
      refused += !one.empty();
      m.bytes()[at] = kept;
    }
    EXPECT_GT(refused, 0) << type_name(format.type);
  }
}

TEST(TernaryWorkers, SayWhatAFormatCannotHold) {
  auto w = ternary(kShape.elements(), 5);
  for (auto& x : w) x = x == 0 ? std::int8_t{1} : x;
  w[700 * kShape.cols + 3] = 0;
  TernaryWorkers workers(2);
  const TernaryFormat format = {TensorType::qk256, I2sLayout::x86, {}};
  std::vector<std::byte> tensor(tensor_bytes(format.type, kShape.cols, kShape.rows).value());
  const std::string message = error_of([&] { workers.encode(format, w, kShape, 1.0f, tensor); });
  EXPECT_NE(message.find("row 700, column 3"), std::string::npos) << message;
}

}  // namespace
}  // namespace bitnet
