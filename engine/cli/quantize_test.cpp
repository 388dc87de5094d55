#include "engine/cli/quantize.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "engine/cli/synth.h"
#include "engine/error.h"
#include "engine/formats/f16.h"
#include "engine/formats/float_format.h"
#include "engine/formats/i2s.h"
#include "engine/formats/test_ternary.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/gguf/writer.h"
#include "engine/model/context.h"
#include "engine/model/model.h"

namespace bitnet {
namespace {

using testing::TemporaryDirectory;
using testing_support::error_of;
using Path = std::filesystem::path;

const Path kBundled = Path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf";

std::string contents(const Path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

QuantizeReport converted(const Path& from, const std::string& type, const Path& to,
                         QuantizeOptions options = {}) {
  options.type = type;
  return quantize(gguf::File::open(from), options, to);
}

// The logits of every row of a prompt.
std::vector<float> logits_of(const Model& model) {
  Context context(model, {.threads = 2});
  std::vector<BatchRow> rows;
  for (const Token token : model.tokenizer().encode("The capital of France is", true, false))
    rows.push_back({.token = token, .sequence = 0, .logits = true});
  const auto logits = context.forward(rows);
  return {logits.begin(), logits.end()};
}

void expect_same_weights(const Model& a, const Model& b) {
  const auto same = [](const TernaryMatrix& x, const TernaryMatrix& y) {
    return x.rows == y.rows && x.cols == y.cols && x.scale == y.scale &&
           std::memcmp(x.codes, y.codes, static_cast<std::size_t>(x.rows * x.cols / 4)) == 0;
  };
  ASSERT_EQ(a.weights().layers.size(), b.weights().layers.size());
  for (std::size_t i = 0; i < a.weights().layers.size(); ++i) {
    const LayerWeights& x = a.weights().layers[i];
    const LayerWeights& y = b.weights().layers[i];
    for (std::size_t k = 0; k < x.projections().size(); ++k)
      EXPECT_TRUE(same(x.projections()[k]->matrix, y.projections()[k]->matrix)) << "layer " << i;
  }
}

// Its scales are binary16 numbers.
TEST(Quantize, TheBundledModelIsTheSameInEveryFormat) {
  const TemporaryDirectory dir;
  const Model original = Model::load(kBundled);
  const std::vector<float> logits = logits_of(original);
  for (const QuantizeType& type : quantize_types()) {
    const std::string name(type.name);
    if (type.type == TensorType::qk256 || is_float(type.type)) continue;
    const QuantizeReport report = converted(kBundled, name, dir / name);
    EXPECT_EQ(report.ternary, 7 * std::ssize(original.weights().layers)) << name;
    EXPECT_EQ(report.rounded, 0) << name;
    EXPECT_EQ(report.converted, 0) << name;
    const gguf::File file = gguf::File::open(dir / name);
    EXPECT_EQ(file.find_tensor("blk.0.attn_q.weight")->type, type.type) << name;
    const Model model = Model::load(dir / name);
    expect_same_weights(original, model);
    EXPECT_EQ(logits_of(model), logits) << name;
    // And back: the same file, byte for byte.
    converted(dir / name, "i2_s", dir / "back");
    EXPECT_EQ(contents(dir / "back"), contents(kBundled)) << name;
  }
}

TEST(Quantize, FloatsHoldTheTernaryWeightsToo) {
  const TemporaryDirectory dir;
  for (const char* type : {"f32", "f16"}) {
    converted(kBundled, type, dir / type);
    EXPECT_TRUE(error_of([&] { Model::load(dir / type); }).find("which is not supported here") !=
                std::string::npos);
    converted(dir / type, "i2_s", dir / "back");
    EXPECT_EQ(contents(dir / "back"), contents(kBundled)) << type;
  }
}

TEST(Quantize, RoundedScalesAreTold) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  const Model original = Model::load(dir / "m");
  const float scale = original.weights().layers[0].attn_q.matrix.scale;
  ASSERT_NE(scale, f16_to_f32(f32_to_f16(scale)));
  const QuantizeReport report = converted(dir / "m", "tq2_0", dir / "tq2_0");
  EXPECT_EQ(report.rounded, 14);
  EXPECT_GT(report.greatest_rounding, 0.0);
  EXPECT_LT(report.greatest_rounding, 0x1p-11);
  EXPECT_NE(report.greatest_rounding_name.find("blk."), std::string::npos);
  EXPECT_EQ(Model::load(dir / "tq2_0").weights().layers[0].attn_q.matrix.scale,
            f16_to_f32(f32_to_f16(scale)));
  EXPECT_EQ(converted(dir / "m", "iq2_bn", dir / "iq2_bn").rounded, 0);
  EXPECT_EQ(logits_of(Model::load(dir / "iq2_bn")), logits_of(original));
}

TEST(Quantize, KeysTellWhatBytesDoNot) {
  const TemporaryDirectory dir;
  converted(kBundled, "i2_s-arm", dir / "arm");
  const gguf::File arm = gguf::File::open(dir / "arm");
  EXPECT_EQ(gguf::named_layout(arm), I2sLayout::arm);
  EXPECT_NE(error_of([&] {
              Model::load(dir / "arm", {}, {.layout = I2sLayout::x86, .tiles = {}});
            }).find("crossval.i2_s.layout"),
            std::string::npos);
  converted(kBundled, "tl1", dir / "tl1");
  EXPECT_NE(gguf::File::open(dir / "tl1").find(gguf::kTl1TilesKey), nullptr);
  converted(dir / "tl1", "tl2", dir / "tl2");
  const gguf::File tl2 = gguf::File::open(dir / "tl2");
  EXPECT_EQ(tl2.find(gguf::kTl1TilesKey), nullptr);
  EXPECT_NE(tl2.find(gguf::kTl2TilesKey), nullptr);
}

TEST(Quantize, TilesAreThoseAskedFor) {
  const TemporaryDirectory dir;
  const gguf::File file = gguf::File::open(kBundled);
  QuantizeOptions options;
  for (const auto& tensor : file.tensors())
    if (tensor.type == TensorType::i2_s) options.tiles.push_back({gguf::ternary_shape(tensor), {32, 64, 32}});
  converted(kBundled, "tl1", dir / "m", options);
  const gguf::File written = gguf::File::open(dir / "m");
  const gguf::Tensor& q = *written.find_tensor("blk.0.attn_q.weight");
  EXPECT_EQ(gguf::ternary_format(written, q, {}).tiles, (TlTiles{32, 64, 32}));
  options.tiles.front().tiles.rows = 48;
  EXPECT_NE(
      error_of([&] { converted(kBundled, "tl1", dir / "n", options); }).find("cannot be written as tl1"),
      std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(dir / "n"));
}

TEST(Quantize, EmbeddingsInEveryType) {
  const TemporaryDirectory dir;
  const gguf::Tensor* source = nullptr;
  const gguf::File file = gguf::File::open(kBundled);
  source = file.find_tensor("token_embd.weight");
  std::vector<float> values(source->elements());
  decode_floats(source->type, source->data, values);
  for (const FloatType& type : float_types()) {
    QuantizeOptions options;
    options.embedding = type.type;
    const QuantizeReport report = converted(kBundled, "i2_s", dir / "m", options);
    EXPECT_EQ(report.converted, type.type == source->type ? 0 : 1);
    const gguf::File written = gguf::File::open(dir / "m");
    const gguf::Tensor& tensor = *written.find_tensor("token_embd.weight");
    ASSERT_EQ(tensor.type, type.type);
    std::vector<std::byte> expected(tensor.data.size());
    encode_floats(type.type, values, expected);
    EXPECT_TRUE(std::ranges::equal(tensor.data, expected)) << type.name;
    EXPECT_NO_THROW(logits_of(Model::load(dir / "m"))) << type.name;
  }
  QuantizeOptions options;
  options.head = TensorType::f16;
  EXPECT_NE(error_of([&] {
              converted(kBundled, "i2_s", dir / "n", options);
            }).find("output.weight: the model has no head of its own"),
            std::string::npos);
}

// A copy of the tiny model, with what `change` makes of each tensor.
template <class Change>
void copy_changed(const Path& from, const Path& to, Change change) {
  const gguf::File file = gguf::File::open(from);
  gguf::Writer writer(to);
  for (const auto& kv : file.key_values()) writer.add(kv);
  std::vector<std::vector<std::byte>> data;
  for (const auto& t : file.tensors()) {
    TensorType type = t.type;
    data.emplace_back(t.data.begin(), t.data.end());
    change(t, type, data.back());
    writer.add_tensor(std::string(t.name), {t.ne, t.ne + t.n_dims}, type);
  }
  writer.begin();
  for (const auto& bytes : data) writer.append(bytes);
  writer.finish();
}

TEST(Quantize, WhatIsNotTernaryIsRefused) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  copy_changed(dir / "m", dir / "floats",
               [](const gguf::Tensor& t, TensorType& type, std::vector<std::byte>& data) {
                 if (t.name != "blk.1.ffn_up.weight") return;
                 type = TensorType::f32;
                 std::vector<float> values(t.elements(), 0.5f);
                 values[257] = 0.25f;
                 data.resize(values.size() * 4);
                 std::memcpy(data.data(), values.data(), data.size());
               });
  const std::string message = error_of([&] { converted(dir / "floats", "i2_s", dir / "out"); });
  EXPECT_NE(message.find("blk.1.ffn_up.weight: its weights are not ternary: both 0.25"), std::string::npos)
      << message;
  EXPECT_NE(message.find("row 1, column 1"), std::string::npos) << message;
  copy_changed(dir / "m", dir / "q8",
               [](const gguf::Tensor& t, TensorType& type, std::vector<std::byte>& data) {
                 if (t.name != "blk.1.ffn_up.weight") return;
                 type = TensorType::q8_0;
                 data.resize(tensor_bytes(type, t.ne[0], t.rows()).value());
               });
  EXPECT_NE(error_of([&] {
              converted(dir / "q8", "i2_s", dir / "out");
            }).find("blk.1.ffn_up.weight: has type Q8_0, which holds no ternary weights"),
            std::string::npos);
  EXPECT_NE(error_of([&] { converted(dir / "m", "qk256", dir / "out"); }).find("blk.0.attn_q.weight: QK256"),
            std::string::npos);
  EXPECT_NE(error_of([&] { converted(dir / "m", "q2_k", dir / "out"); }).find("choose one of i2_s, i2_s-arm"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(dir / "out"));
  EXPECT_FALSE(std::filesystem::exists(dir / "out.tmp"));
}

TEST(Quantize, ScalesThatBinary16CannotHoldAreRefused) {
  const TemporaryDirectory dir;
  synth("tiny", "i2_s", 1, dir / "m");
  copy_changed(dir / "m", dir / "great",
               [](const gguf::Tensor& t, TensorType&, std::vector<std::byte>& data) {
                 if (t.name == "blk.0.ffn_up.weight") i2s::put_scale(data, t.elements(), 1e6f);
               });
  EXPECT_NE(error_of([&] {
              converted(dir / "great", "tq1_0", dir / "out");
            }).find("blk.0.ffn_up.weight: its scale is no number that tq1_0 can hold"),
            std::string::npos);
  EXPECT_EQ(converted(dir / "great", "iq2_bn", dir / "out").rounded, 0);
}

TEST(Quantize, TellsItsProgress) {
  const TemporaryDirectory dir;
  std::uint64_t last = 0, all = 0;
  QuantizeOptions options;
  options.type = "tq1_0";
  quantize(gguf::File::open(kBundled), options, dir / "m", [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    last = done;
    all = total;
  });
  EXPECT_GT(last, 0u);
  EXPECT_EQ(last, all);
}

}  // namespace
}  // namespace bitnet
