#include "engine/model/context.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "engine/error.h"
#include "engine/model/test_model.h"
#include "engine/model/test_rows.h"

namespace bitnet {
namespace {

using namespace test;

std::vector<SynthShape> shapes() {
  SynthShape b158 = test::tiny_shape();
  SynthShape b25 = b158;
  b25.architecture = "bitnet-25";
  SynthShape silu = b158;
  silu.architecture = "bitnet";
  SynthShape untied = b158;
  untied.untied = true;
  untied.head = TensorType::f32;
  SynthShape llama = synth_shape("tiny-llama");
  llama.biases = llama.rope_freqs = true;
  silu.factors = true;
  return {b158, b25, silu, untied, synth_shape("awkward"), llama};
}

class EveryModel : public testing::TestWithParam<int> {
 protected:
  Model model_ = test::make_model(shapes()[static_cast<std::size_t>(GetParam())]);
  std::vector<std::int32_t> tokens_ = some_tokens(150, 7, model_.config().n_vocab);

  std::vector<float> whole() {
    Context context(model_, {.isa = "scalar", .threads = 1, .batch = 1000});
    return copy(context.forward(rows_of(tokens_)));
  }
};

TEST_P(EveryModel, SameBitsForEveryIsaThreadCountAndSplit) {
  const std::vector<float> expected = whole();
  ASSERT_TRUE(std::isfinite(expected.back()));
  for (const Kernels* kernels : compiled_kernels()) {
    if (!supported(*kernels)) continue;
    for (const int threads : {1, 2, 5})
      for (const std::int64_t batch : {1, 7, 64, 1000}) {
        if (kernels->name == "scalar" && threads == 1 && batch == 1000) continue;
        Context context(model_, {.isa = std::string(kernels->name), .threads = threads, .batch = batch});
        EXPECT_TRUE(same_bits(copy(context.forward(rows_of(tokens_))), expected))
            << kernels->name << ", " << threads << " threads, batches of " << batch;
      }
  }
}

TEST_P(EveryModel, SplittingTheCallsChangesNothing) {
  const std::vector<float> expected = whole();
  Context context(model_, {.threads = 2});
  std::vector<float> got;
  std::size_t at = 0;
  for (const std::size_t n : {1u, 2u, 31u, 32u, 33u, 50u, 1u}) {
    const auto part = copy(context.forward(rows_of(std::span(tokens_).subspan(at, n))));
    got.insert(got.end(), part.begin(), part.end());
    at += n;
  }
  ASSERT_EQ(at, tokens_.size());
  EXPECT_TRUE(same_bits(got, expected));
}

TEST_P(EveryModel, OtherSequencesInTheBatchChangeNothing) {
  const auto n = static_cast<std::size_t>(model_.config().n_vocab);
  std::vector<std::vector<std::int32_t>> texts;
  std::vector<std::vector<float>> alone;
  for (std::uint32_t s = 0; s < 3; ++s) {
    texts.push_back(some_tokens(40 + 30 * static_cast<int>(s), s + 1, model_.config().n_vocab));
    Context context(model_, {.threads = 1});
    alone.push_back(copy(context.forward(rows_of(texts.back()))));
  }
  // The three texts interleaved in uneven portions.
  Context context(model_, {.threads = 2, .sequences = 3, .batch = 37});
  std::vector<BatchRow> rows;
  std::vector<std::size_t> at(3, 0);
  for (std::size_t turn = 0; rows.size() < 40 + 70 + 100; ++turn)
    for (std::size_t s = 0; s < 3; ++s)
      for (std::size_t k = 0; k < 1 + (turn * 5 + s) % 4 && at[s] < texts[s].size(); ++k)
        rows.push_back({.token = texts[s][at[s]++], .sequence = static_cast<int>(s)});
  const std::vector<float> mixed = copy(context.forward(rows));
  std::vector<std::vector<float>> parted(3);
  for (std::size_t i = 0; i < rows.size(); ++i)
    parted[static_cast<std::size_t>(rows[i].sequence)].insert(
        parted[static_cast<std::size_t>(rows[i].sequence)].end(),
        mixed.begin() + static_cast<std::ptrdiff_t>(i * n),
        mixed.begin() + static_cast<std::ptrdiff_t>((i + 1) * n));
  for (std::size_t s = 0; s < 3; ++s) EXPECT_TRUE(same_bits(parted[s], alone[s])) << "sequence " << s;
}

TEST_P(EveryModel, UnwantedLogitsChangeNoWantedOnes) {
  const auto n = static_cast<std::size_t>(model_.config().n_vocab);
  const std::vector<float> expected = whole();
  std::vector<BatchRow> rows = rows_of(tokens_);
  std::vector<float> wanted;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].logits = i % 3 == 1;
    if (rows[i].logits)
      wanted.insert(wanted.end(), expected.begin() + static_cast<std::ptrdiff_t>(i * n),
                    expected.begin() + static_cast<std::ptrdiff_t>((i + 1) * n));
  }
  Context context(model_, {.threads = 2, .batch = 40});
  EXPECT_TRUE(same_bits(copy(context.forward(rows)), wanted));
}

TEST_P(EveryModel, LookingChangesNothing) {
  const std::vector<float> expected = whole();
  Context context(model_, {.threads = 2, .batch = 64});
  std::map<TapId, std::int64_t> rows_seen;
  const TapHook hook{.wants = [](TapId) { return true; },
                     .show =
                         [&](const TapTensor& t) {
                           rows_seen[t.id] += t.rows();
                           for (std::int64_t i = 0; i < t.rows(); ++i) ASSERT_GT(t.row(i).size(), 0u);
                         }};
  EXPECT_TRUE(same_bits(copy(context.forward(rows_of(tokens_), &hook)), expected));
  const auto canonical = canonical_taps(model_.config());
  EXPECT_EQ(rows_seen.size(), canonical.size());
  for (const TapId id : canonical) EXPECT_EQ(rows_seen[id], 150) << to_string(id);
}

TEST_P(EveryModel, AHookThatWritesIsReadByWhatFollows) {
  const std::vector<float> expected = whole();
  for (const TapId target : canonical_taps(model_.config())) {
    Context context(model_, {.threads = 1});
    const TapHook hook{.wants = [&](TapId id) { return id == target; },
                       .show =
                           [](const TapTensor& t) {
                             // Not a mere factor: a norm that follows would undo it.
                             for (std::int64_t i = 0; i < t.offsets.back(); ++i)
                               t.data[i] = t.data[i] * 1.5f + float(i % 7);
                           }};
    EXPECT_FALSE(same_bits(copy(context.forward(rows_of(tokens_), &hook)), expected)) << to_string(target);
  }
}

TEST_P(EveryModel, SingleOperationsGiveTheBitsOfTheForwardPass) {
  std::map<TapId, std::vector<float>> taps;
  {
    Context context(model_, {.threads = 1, .batch = 1000});
    const TapHook hook{
        .wants = [](TapId) { return true; },
        .show = [&](const TapTensor& t) { taps[t.id].assign(t.data, t.data + t.offsets.back()); }};
    context.forward(rows_of(tokens_), &hook);
  }
  std::vector<std::int32_t> positions(tokens_.size());
  std::iota(positions.begin(), positions.end(), 0);
  OperationEvaluator evaluator(model_, {.threads = 2});
  for (const TapId id : canonical_taps(model_.config())) {
    const OperationInputs in = inputs_of(model_.config(), id);
    const Operation operation{.output = id,
                              .positions = positions,
                              .tokens = tokens_,
                              .a = in.a ? taps.at(*in.a).data() : nullptr,
                              .b = in.b ? taps.at(*in.b).data() : nullptr,
                              .history = in.history ? taps.at(*in.history).data() : nullptr};
    EXPECT_TRUE(same_bits(evaluator.evaluate(operation), taps.at(id))) << to_string(id);
  }
}

TEST_P(EveryModel, SingleLayersGiveTheBitsOfTheForwardPass) {
  std::map<TapId, std::vector<float>> taps;
  Context context(model_, {.threads = 1, .batch = 1000});
  const TapHook all{
      .wants = [](TapId) { return true; },
      .show = [&](const TapTensor& t) { taps[t.id].assign(t.data, t.data + t.offsets.back()); }};
  context.forward(rows_of(tokens_), &all);
  const Config& c = model_.config();
  // Rows [first, last) of a tap; those of scores grow with the position.
  const auto rows_between = [&](TapId id, std::int32_t first, std::int32_t last) {
    std::int64_t begin = 0, end = 0;
    for (std::int32_t p = 0; p < last; ++p) (p < first ? begin : end) += tap_width(c, id.tap, p);
    const float* data = taps.at(id).data() + begin;
    return std::vector<float>(data, data + end);
  };
  OperationEvaluator evaluator(model_, {.threads = 2});
  for (const auto& [first, last] : {std::pair{0, 150}, {0, 1}, {1, 2}, {63, 64}, {64, 97}, {149, 150}})
    for (int layer = 0; layer < c.n_layer; ++layer) {
      std::vector<std::int32_t> positions(static_cast<std::size_t>(last - first));
      std::iota(positions.begin(), positions.end(), first);
      const TapId input = *inputs_of(c, {Tap::attn_norm, layer}).a;
      std::vector<TapId> shown;
      evaluator.evaluate_layer(
          {.layer = layer,
           .positions = positions,
           .input = taps.at(input).data() + first * c.n_embd,
           .keys = first > 0 ? taps.at({Tap::k_rope, layer}).data() : nullptr,
           .values = first > 0 ? taps.at({Tap::v_proj, layer}).data() : nullptr},
          {.wants = [](TapId id) { return id.tap != Tap::ffn_norm; },
           .show =
               [&, first = first, last = last](const TapTensor& t) {
                 shown.push_back(t.id);
                 EXPECT_EQ(t.rows(), last - first);
                 EXPECT_TRUE(same_bits({t.data, t.data + t.offsets.back()}, rows_between(t.id, first, last)))
                     << to_string(t.id) << " at " << first;
               }});
      auto expected = layer_taps(c, layer);
      std::erase(expected, TapId{Tap::ffn_norm, layer});
      EXPECT_EQ(shown, expected);
    }
}

TEST_P(EveryModel, TruncatedTokensLeaveNoTrace) {
  const std::vector<float> expected = whole();
  Context context(model_, {.threads = 2});
  const auto other = some_tokens(100, 99, model_.config().n_vocab);
  context.forward(rows_of(std::span(tokens_).first(70)));
  context.forward(rows_of(other));
  context.truncate(0, 70);
  const auto rest = copy(context.forward(rows_of(std::span(tokens_).subspan(70))));
  const std::vector<float> tail(expected.end() - static_cast<std::ptrdiff_t>(rest.size()), expected.end());
  EXPECT_TRUE(same_bits(rest, tail));
  EXPECT_EQ(context.length(0), 150);
}

INSTANTIATE_TEST_SUITE_P(Shapes, EveryModel, testing::Range(0, 6));

TEST(Context, RefusesWhatDoesNotFitAndEvaluatesNothing) {
  const Model model = test::make_model(test::tiny_shape());
  Context context(model, {.threads = 1, .n_ctx = 10});
  const auto tokens = some_tokens(11, 1, model.config().n_vocab);
  EXPECT_THROW(context.forward(rows_of(tokens)), InputError);
  EXPECT_EQ(context.length(0), 0);
  EXPECT_THROW(context.forward(rows_of(std::vector<std::int32_t>{-1})), InputError);
  EXPECT_THROW(
      context.forward(rows_of(std::vector<std::int32_t>{static_cast<std::int32_t>(model.config().n_vocab)})),
      InputError);
  EXPECT_THROW(context.forward(rows_of(tokens, 1)), InputError);
  EXPECT_NO_THROW(context.forward(rows_of(std::span(tokens).first(10))));
  EXPECT_THROW(context.forward(rows_of(std::span(tokens).first(1))), InputError);
  EXPECT_THROW(Context(model, {.isa = "mmx"}), InputError);
  EXPECT_THROW(Context(model, {.threads = -1}), InputError);
}

TEST(OperationEvaluator, RefusesALayerThatLacksSomething) {
  const Model model = test::make_model(test::tiny_shape());
  OperationEvaluator evaluator(model, {.threads = 1});
  const std::vector<float> row(static_cast<std::size_t>(model.config().n_embd));
  const std::vector<std::int32_t> zero{0}, third{2}, apart{0, 2}, negative{-1};
  const TapHook blind{.wants = [](TapId) { return false; }, .show = {}};
  const auto refused = [&](LayerInputs inputs) {
    EXPECT_THROW(evaluator.evaluate_layer(inputs, blind), InputError);
  };
  const int layers = static_cast<int>(model.config().n_layer);
  refused({.layer = layers, .positions = zero, .input = row.data()});
  refused({.layer = -1, .positions = zero, .input = row.data()});
  refused({.layer = 0, .positions = zero});
  refused({.layer = 0, .positions = apart, .input = row.data()});
  refused({.layer = 0, .positions = negative, .input = row.data()});
  refused({.layer = 0, .positions = third, .input = row.data(), .keys = row.data()});
  EXPECT_NO_THROW(evaluator.evaluate_layer({.layer = 0, .positions = zero, .input = row.data()}, blind));
  EXPECT_NO_THROW(evaluator.evaluate_layer({.layer = 0, .positions = {}}, blind));
}

TEST(Context, AnUntiedHeadIsUsedAndWarnedOf) {
  SynthShape shape = test::tiny_shape();
  const Model tied = test::make_model(shape);
  shape.untied = true;
  const Model untied = test::make_model(shape);
  EXPECT_TRUE(tied.weights().warnings.empty());
  ASSERT_EQ(untied.weights().warnings.size(), 1u);
  EXPECT_NE(untied.weights().warnings[0].find("output.weight"), std::string::npos);
  const std::vector<std::int32_t> tokens = {1, 2, 3};
  Context a(tied, {}), b(untied, {});
  EXPECT_FALSE(same_bits(copy(a.forward(rows_of(tokens))), copy(b.forward(rows_of(tokens)))));
}

}  // namespace
}  // namespace bitnet
