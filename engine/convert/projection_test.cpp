#include "engine/convert/projection.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <optional>

#include "engine/convert/test_checkpoint.h"
#include "engine/formats/bf16.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/temporary_directory.h"

namespace bitnet::hf {
namespace {

using testing::TestSafetensors;
using testing::TestTensor;
using testing_support::error_of;

// A checkpoint of one projection, `w`.
class One {
 public:
  explicit One(std::vector<TestTensor> tensors) {
    testing::write_file(dir_ / "model.safetensors", TestSafetensors{{}, std::move(tensors)}.bytes());
    checkpoint_.emplace(Checkpoint::open(dir_.path()));
  }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  Projection projection(TernaryShape shape, std::uint32_t heads = 0) const {
    return {checkpoint_->find("w"), checkpoint_->find("w_scale"), shape, heads};
  }
  gguf::TernaryWeights weights(TernaryShape shape, ScaleRule rule = ScaleRule::multiply,
                               std::uint32_t heads = 0) {
    const Projection p = projection(shape, heads);
    facts = examine(*checkpoint_, p);
    return ternary_weights(*checkpoint_, p, facts, rule);
  }
  ProjectionFacts facts;

 private:
  testing::TemporaryDirectory dir_;
  std::optional<Checkpoint> checkpoint_;
};

std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

TestTensor scale(float value) {
  return {"w_scale", "F32", {1}, floats({value})};
}

using Weights = std::vector<std::int8_t>;

// Two rows of bytes for eight of weights: the lowest bits hold the first two rows, the highest the last two.
TEST(Projection, UnpacksFourRowsFromOne) {
  One one({{"w", "U8", {2, 1}, "\x61\x1a"}, scale(0.5f)});  // 01 10 00 01, 00 01 10 10
  const gguf::TernaryWeights w = one.weights({1, 8});
  EXPECT_EQ(w.weights, (Weights{0, 1, -1, 1, 1, 0, 0, -1}));
  EXPECT_EQ(w.scale, 0.5f);
  EXPECT_EQ(one.facts.storage, Storage::packed);
  EXPECT_EQ(one.weights({1, 8}, ScaleRule::divide).scale, 2.0f);
}

TEST(Projection, MakesMasterWeightsTernaryByTheirMean) {
  // The mean magnitude is 1: halves of it round to even, so to zero.
  One one({{"w", "F32", {2, 4}, floats({0.5f, -0.5f, 0.625f, -0.625f, 3.0f, -2.0f, 0.0f, 0.75f})}});
  const gguf::TernaryWeights w = one.weights({4, 2});
  EXPECT_EQ(one.facts.storage, Storage::master);
  EXPECT_EQ(one.facts.absmean, 1.0f);
  EXPECT_EQ(w.weights, (Weights{0, 0, 1, -1, 1, -1, 0, 1}));
  EXPECT_EQ(w.scale, 1.0f);
}

TEST(Projection, TheScaleOfMasterWeightsIsTheInverseOfTheInverseMean) {
  // fl(1 / fl(1 / x)) is not x for every x; transformers and bitnet.cpp's converter divide by the inverse.
  float mean = 0;
  for (float x = 1.0f; mean == 0; x += 0x1p-10f)
    if (1 / (1 / x) != x) mean = x;
  One one({{"w", "F32", {1, 2}, floats({mean / 2, mean * 1.5f})}});
  ASSERT_EQ(one.weights({2, 1}).scale, 1 / (1 / mean));
  EXPECT_EQ(one.facts.absmean, mean);
}

TEST(Projection, AMeanNearZeroIsRaised) {
  One one({{"w", "F32", {1, 2}, floats({1e-7f, -2e-7f})}});
  const gguf::TernaryWeights w = one.weights({2, 1});
  EXPECT_EQ(one.facts.absmean, 1e-5f);
  EXPECT_EQ(w.weights, (Weights{0, 0}));
}

TEST(Projection, FloatsThatAreTernaryKeepTheirMagnitude) {
  One one({{"w", "F32", {1, 4}, floats({0.25f, 0.0f, -0.25f, -0.0f})}});
  const gguf::TernaryWeights w = one.weights({4, 1});
  EXPECT_EQ(one.facts.storage, Storage::ternary);
  EXPECT_EQ(w.weights, (Weights{1, 0, -1, 0}));
  EXPECT_EQ(w.scale, 0.25f);
  One codes({{"w", "F32", {1, 4}, floats({1.0f, 0.0f, -1.0f, 1.0f})}, scale(4.0f)});
  EXPECT_EQ(codes.weights({4, 1}, ScaleRule::divide).scale, 0.25f);
  EXPECT_EQ(codes.facts.storage, Storage::codes);
}

// Two heads of four rows: 0, 2, 1, 3 would be the way back.
TEST(Projection, InterleavesTheHalvesOfEachHead) {
  std::vector<float> values(8 * 8, 0.0f);
  for (std::size_t row = 0; row < 8; ++row) values[row * 8 + row] = 1.0f;
  One one({{"w", "F32", {8, 8}, floats(values)}});
  const gguf::TernaryWeights w = one.weights({8, 8}, ScaleRule::multiply, 2);
  const std::uint64_t expected[] = {0, 2, 1, 3, 4, 6, 5, 7};
  for (std::uint64_t row = 0; row < 8; ++row) {
    EXPECT_EQ(source_row(row, 8, 2), expected[row]);
    EXPECT_EQ(w.weights[row * 8 + expected[row]], 1) << row;
  }
  // The same of packed weights.
  std::string bytes(16, '\x55');
  for (std::size_t row = 0; row < 8; ++row)
    bytes[row % 2 * 8 + row] = static_cast<char>(bytes[row % 2 * 8 + row] + (1 << (2 * (row / 2))));
  One packed({{"w", "U8", {2, 8}, bytes}, scale(1.0f)});
  EXPECT_EQ(packed.weights({8, 8}, ScaleRule::multiply, 2).weights, w.weights);
}

TEST(Projection, NamesTheTensorThatItRefuses) {
  const auto failure = [](std::vector<TestTensor> tensors, TernaryShape shape) {
    return error_of([&] { (void)One(std::move(tensors)).weights(shape); });
  };
  const std::string eight(8, '\x55');
  const std::tuple<std::vector<TestTensor>, TernaryShape, std::string> cases[] = {
      {{{"w", "U8", {2, 4}, eight}}, {4, 8}, "w: is packed, but has no `w_scale`"},
      {{{"w", "U8", {4, 2}, eight}, scale(1)}, {4, 8}, "w: has shape [4, 2], but U8 of [2, 4] is required"},
      {{{"w", "U8", {2, 4}, "\x55\x55\x55\x55\x55\xd5\x55\x55"}, scale(1)},
       {4, 8},
       "w: has code 3, which stands for no weight, in row 7, column 1"},
      {{{"w", "U8", {2, 4}, eight}, scale(0)}, {4, 8}, "w_scale: is 0.000000; a weight scale is positive"},
      {{{"w", "U8", {2, 4}, eight}, scale(-1)}, {4, 8}, "w_scale: is -1"},
      {{{"w", "U8", {2, 4}, eight}, scale(std::numeric_limits<float>::quiet_NaN())}, {4, 8}, "w_scale: is "},
      {{{"w", "U8", {2, 4}, eight}, scale(1e-40f)}, {4, 8}, "w_scale: is 0.0"},
      {{{"w", "U8", {2, 4}, eight}, {"w_scale", "F32", {2}, eight}},
       {4, 8},
       "w_scale: has shape [2]; only one"},
      {{{"w", "U8", {2, 4}, eight}, {"w_scale", "I32", {1}, "1234"}}, {4, 8}, "w_scale: is of type I32"},
      {{{"w", "F32", {2}, eight}}, {4, 8}, "w: has shape [2], but F32 of [8, 4] is required"},
      {{{"w", "I8", {2, 4}, eight}}, {4, 2}, "w: is of type I8; F32, F16 or BF16 is required here"},
      {{{"w", "F32", {1, 2}, floats({1, std::numeric_limits<float>::infinity()})}},
       {2, 1},
       "w: is not finite in row 0, column 1"},
  };
  for (const auto& [tensors, shape, expected] : cases) {
    const std::string message = failure(tensors, shape);
    EXPECT_NE(message.find("model.safetensors: " + expected), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace bitnet::hf
