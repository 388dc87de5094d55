#include "engine/model/screened_head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/kernels/test_values.h"
#include "engine/model/context.h"
#include "engine/model/test_model.h"

namespace bitnet {
namespace {

using testing_support::draw_f16;
using testing_support::Random;
using testing_support::Values;

std::vector<f16> random_halves(std::int64_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<f16> values(static_cast<std::size_t>(n));
  for (f16& value : values) value = draw_f16(Values::ordinary, random);
  return values;
}

/// What a full head gives.
std::vector<Pick> exact(const FloatMatrix& head, const std::vector<f16>& x) {
  const Kernels& k = select_kernels("scalar");
  std::vector<Pick> picks;
  std::vector<float> logits(static_cast<std::size_t>(head.rows));
  for (std::int64_t t = 0; t < std::ssize(x) / head.cols; ++t) {
    k.matmul_f16(head.half(), head.cols, 0, head.rows, x.data() + t * head.cols, 1, head.cols, logits.data(),
                 head.rows);
    const std::int64_t best = k.argmax(logits.data(), head.rows);
    picks.push_back({static_cast<std::int32_t>(best), logits[static_cast<std::size_t>(best)]});
  }
  return picks;
}

void expect_picks(ScreenedHead& screen, const FloatMatrix& head, const std::vector<f16>& x) {
  const std::vector<Pick> expected = exact(head, x);
  std::vector<Pick> picks(expected.size());
  ASSERT_TRUE(screen.pick(x.data(), picks));
  for (std::size_t t = 0; t < picks.size(); ++t) {
    EXPECT_EQ(picks[t].token, expected[t].token) << t;
    EXPECT_EQ(picks[t].logit, expected[t].logit) << t;
  }
}

TEST(ScreenedHead, FewRowsOfARandomHeadSurvive) {
  const std::int64_t rows = 20000, cols = 640;
  const std::vector<f16> w = random_halves(rows * cols, 1);
  const FloatMatrix head = {w.data(), rows, cols};
  // An eighth of the rows would be 2,500. Of ten rows of activations the codes are int8.
  for (const auto& [tokens, most] : {std::pair{4, 60}, {10, 400}}) {
    const std::vector<f16> x = random_halves(tokens * cols, 2);
    std::vector<std::int64_t> counts;
    for (const Kernels* kernels : compiled_kernels()) {
      if (!supported(*kernels)) continue;
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        ScreenedHead screen(head, *kernels, pool);
        expect_picks(screen, head, x);
        EXPECT_GE(screen.survivors(), tokens);
        EXPECT_LE(screen.survivors(), most * tokens);
        EXPECT_EQ(screen.bytes_read(), screen.bytes() + screen.survivors() * cols * 2);
        counts.push_back(screen.survivors());
      }
    }
    EXPECT_EQ(std::count(counts.begin(), counts.end(), counts[0]), std::ssize(counts)) << tokens;
  }
}

TEST(ScreenedHead, CoarseActivationsAreTriedLessAndLessWhereTheyLeaveTooMany) {
  const std::int64_t rows = 4000, cols = 640, tokens = 8, outlier = 5;
  std::vector<f16> w = random_halves(rows * cols, 11);
  std::vector<f16> x = random_halves(tokens * cols, 12);
  // Beside one so great, int8 leaves little of the other activations; no row of the head sees it.
  for (std::int64_t t = 0; t < tokens; ++t) x[static_cast<std::size_t>(t * cols + outlier)] = 0x4c00;
  for (std::int64_t m = 0; m < rows; ++m) w[static_cast<std::size_t>(m * cols + outlier)] = 0;
  const FloatMatrix head = {w.data(), rows, cols};
  ThreadPool pool(2);
  ScreenedHead screen(head, select_kernels(), pool);
  std::string screens;  // read by each call
  for (int call = 0; call < 12; ++call) {
    expect_picks(screen, head, x);
    screens += std::to_string((screen.bytes_read() - screen.survivors() * cols * 2) / screen.bytes());
  }
  EXPECT_EQ(screens, "212112111121");
}

TEST(ScreenedHead, OfEqualRowsTheFirstWins) {
  const std::int64_t rows = 400, cols = 96;
  std::vector<f16> w = random_halves(rows * cols, 3);
  const std::vector<f16> x = random_halves(cols, 4);
  // Rows along x, which beat all others: equal ones, and one that is a last bit below.
  for (const std::int64_t m : {17, 18, 99, 399}) std::copy(x.begin(), x.end(), w.begin() + m * cols);
  w[static_cast<std::size_t>(17 * cols + 5)] -= 1;
  const FloatMatrix head = {w.data(), rows, cols};
  ThreadPool pool(2);
  ScreenedHead screen(head, select_kernels(), pool);
  expect_picks(screen, head, x);
  EXPECT_EQ(exact(head, x)[0].token, 18);
  EXPECT_GE(screen.survivors(), 4);
}

TEST(ScreenedHead, RowsThatAreNotFiniteAreDecidedExactly) {
  const std::int64_t rows = 400, cols = 96;
  std::vector<f16> w = random_halves(rows * cols, 5);
  const std::vector<f16> x = random_halves(cols, 6);
  ThreadPool pool(1);
  w[7 * cols] = 0x7e00;  // NaN, never chosen
  w[9 * cols] = 0x7e00;
  const FloatMatrix head = {w.data(), rows, cols};
  ScreenedHead with_nan(head, select_kernels(), pool);
  expect_picks(with_nan, head, x);
  w[300 * cols + 1] = (x[1] & 0x8000u) != 0 ? 0xfc00 : 0x7c00;  // a logit of plus infinity wins
  ScreenedHead with_infinity(head, select_kernels(), pool);
  expect_picks(with_infinity, head, x);
  EXPECT_EQ(exact(head, x)[0].token, 300);
}

TEST(ScreenedHead, LeavesToTheFullHeadWhatItCannotDecide) {
  const std::int64_t rows = 400, cols = 96;
  std::vector<f16> w = random_halves(cols, 7);
  for (std::int64_t m = 1; m < rows; ++m)
    w.insert(w.end(), w.begin(), w.begin() + cols);  // all rows equal: all survive
  std::vector<f16> x = random_halves(cols, 8);
  ThreadPool pool(1);
  const FloatMatrix head = {w.data(), rows, cols};
  ScreenedHead screen(head, select_kernels(), pool);
  std::vector<Pick> picks(1, Pick{77, 7});
  std::vector<float> bounds(2 * rows);
  EXPECT_FALSE(screen.pick(x.data(), picks));
  EXPECT_GT(screen.survivors(), screen.max_survivors());
  EXPECT_LE(screen.survivors(), rows);
  for (const f16 bad : {f16{0x7c00}, f16{0xfc00}, f16{0x7e00}}) {
    x[50] = bad;
    EXPECT_FALSE(screen.pick(x.data(), picks));
    for (const auto codes : {ScreenedHead::Codes::wide, ScreenedHead::Codes::narrow})
      EXPECT_FALSE(screen.bounds(x.data(), 1, codes, bounds.data(), bounds.data() + rows));
  }
  EXPECT_EQ(picks[0].token, 77);
  const FloatMatrix single = {static_cast<const float*>(nullptr), rows, cols};
  EXPECT_FALSE(ScreenedHead::possible(single));
  EXPECT_FALSE(ScreenedHead::possible({w.data(), 1, 65537}));
}

/// Greedy decoding, token after token, after a prompt.
std::vector<std::int32_t> decode(Context& context, int sequences, int steps) {
  std::vector<BatchRow> rows;
  for (int s = 0; s < sequences; ++s)
    for (int i = 0; i < 5; ++i) rows.push_back({.token = 11 * s + 7 * i, .sequence = s, .logits = i == 4});
  std::vector<std::int32_t> tokens;
  for (int step = 0; step < steps; ++step) {
    const std::span<const Pick> picks = context.forward_greedy(rows);
    EXPECT_EQ(picks.size(), static_cast<std::size_t>(sequences));
    rows.clear();
    for (int s = 0; s < sequences; ++s) {
      tokens.push_back(picks[static_cast<std::size_t>(s)].token);
      rows.push_back({.token = tokens.back(), .sequence = s});
    }
  }
  return tokens;
}

std::vector<std::int32_t> decode_by_logits(Context& context, int sequences, int steps) {
  std::vector<BatchRow> rows;
  for (int s = 0; s < sequences; ++s)
    for (int i = 0; i < 5; ++i) rows.push_back({.token = 11 * s + 7 * i, .sequence = s, .logits = i == 4});
  const std::int64_t n = context.model().config().n_vocab;
  std::vector<std::int32_t> tokens;
  for (int step = 0; step < steps; ++step) {
    const std::span<const float> logits = context.forward(rows);
    rows.clear();
    for (int s = 0; s < sequences; ++s) {
      tokens.push_back(static_cast<std::int32_t>(context.kernels().argmax(logits.data() + s * n, n)));
      rows.push_back({.token = tokens.back(), .sequence = s});
    }
  }
  return tokens;
}

TEST(ScreenedHead, ASmallHeadIsReadInFull) {
  const Model model = Model::load(CROSSVAL_SOURCE_DIR "/fixtures/model/bundled.gguf");
  Context context(model, {.screen_after = 0});
  decode(context, 1, 3);
  EXPECT_EQ(context.head_work().screens, 0);
  EXPECT_EQ(context.head_work().bytes, 3 * model.weights().output.rows * model.weights().output.cols * 2);
}

void expect_same_tokens(const Model& model, bool screened) {
  for (const int sequences : {1, 3, 9}) {  // the last with int8 codes of activations
    for (const int threads : {1, 2}) {
      Context by_logits(model, {.threads = threads, .n_ctx = 100, .sequences = sequences});
      const std::vector<std::int32_t> expected = decode_by_logits(by_logits, sequences, 60);
      for (const std::int64_t after : {-1, 0, 7}) {
        Context context(model, {.threads = threads,
                                .n_ctx = 100,
                                .sequences = sequences,
                                .batch = 8,
                                .screen_after = after,
                                .screen_min_bytes = 0});
        EXPECT_EQ(decode(context, sequences, 60), expected) << "screen after " << after;
        EXPECT_EQ(context.head_work().tokens, 60 * sequences);
        EXPECT_EQ(context.head_work().screens, screened && after >= 0 ? 1 : 0);
        EXPECT_EQ(context.head_work().screened > 0, screened && after >= 0);
      }
    }
  }
}

TEST(ScreenedHead, GreedyDecodingOfTheBundledModelIsTheSame) {
  expect_same_tokens(Model::load(CROSSVAL_SOURCE_DIR "/fixtures/model/bundled.gguf"), true);
}

TEST(ScreenedHead, GreedyDecodingOfTheAwkwardModelIsTheSame) {
  const Model model = Model::load(CROSSVAL_SOURCE_DIR "/fixtures/model/awkward.gguf");
  expect_same_tokens(model, model.weights().output.half() != nullptr);
}

TEST(ScreenedHead, GreedyDecodingOfRandomModelsIsTheSame) {
  SynthShape untied = test::tiny_shape();
  untied.untied = true;
  expect_same_tokens(test::make_model(untied), true);
  untied.head = TensorType::f32;
  expect_same_tokens(test::make_model(untied), false);
}

TEST(ScreenedHead, AHeadThatDecidesNothingIsAskedLessAndLess) {
  SynthShape shape = test::tiny_shape();
  const Model model = test::make_model(shape);
  Weights flat = model.weights();
  // Every row of the head is the first one.
  const std::int64_t cols = flat.output.cols;
  std::vector<f16> rows;
  for (std::int64_t m = 0; m < flat.output.rows; ++m)
    rows.insert(rows.end(), flat.output.half(), flat.output.half() + cols);
  flat.output.data = rows.data();
  Operations operations(model.config(), flat, select_kernels(), 1,
                        RopeTable(model.config(), flat.rope_freqs, RopeMath::own));
  operations.screen_after(0, 0);
  const std::vector<float> x(static_cast<std::size_t>(cols), 0.5f);
  std::vector<Pick> picks(1);
  for (int i = 0; i < 100; ++i) {
    operations.head_argmax(x.data(), picks);
    EXPECT_EQ(picks[0].token, 0);
  }
  const HeadWork& work = operations.head_work();
  EXPECT_EQ(work.screened, 0);
  EXPECT_EQ(work.tokens, 100);
  // Asked at tokens 0, 2, 5, 10, 19, 36, 69.
  EXPECT_EQ(work.bytes, 100 * flat.output.rows * cols * 2 + 7 * work.screen_bytes);
}

}  // namespace
}  // namespace bitnet
