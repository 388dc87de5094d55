// Every operation of several models, made wrong in one value, cut to a bundle and computed again without the
// model.

#include "crossval/replay/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "crossval/lockstep/lockstep.h"
#include "crossval/replay/replay.h"
#include "crossval/replay/test_bundle.h"
#include "engine/cli/synth.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/model/context.h"
#include "reference/emulator/participant.h"

namespace crossval {
namespace {

using bitnet::Tap;

std::vector<std::int64_t> first(std::int64_t n) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST(Fewest, AreThoseThatFail) {
  const auto has = [](std::vector<std::int64_t> wanted) {
    return [wanted](const std::vector<std::int64_t>& some) {
      return std::ranges::all_of(wanted, [&](std::int64_t w) { return std::ranges::count(some, w) > 0; });
    };
  };
  EXPECT_EQ(fewest(first(1000), 5, has({5})), std::vector<std::int64_t>{5});
  EXPECT_EQ(fewest(first(1000), 5, has({700})), std::vector<std::int64_t>{700});
  EXPECT_EQ(fewest(first(1000), 5, has({3, 998})), (std::vector<std::int64_t>{3, 998}));
  EXPECT_EQ(fewest(first(9), 0, has(first(9))), first(9));
  EXPECT_EQ(fewest({4}, 0, has({4})), std::vector<std::int64_t>{4});
}

// Feeds the engine seven tokens in two evaluations and breaks, tap by tap, one value of the last row.
class EveryOperation {
 public:
  explicit EveryOperation(const std::filesystem::path& path)
      : model_(std::make_shared<const bitnet::Model>(bitnet::Model::load(path))), inputs_(model_->config()) {
    EmulatorOptions options;
    options.rope = emulation::Rope::own;
    options.threads = 1;
    emulator_ = make_emulator(path, options);
  }

  // What `see` makes of the bundle of each tap.
  void run(const std::function<void(Bundle&)>& see) {
    for (const std::vector<Token>& tokens : {std::vector<Token>{1, 2, 3, 4}, std::vector<Token>{5, 6, 7}}) {
      inputs_.begin(tokens);
      emulator_->eval(
          tokens, [](TapId) { return true; },
          [&](Tensor&& tensor) {
            if (tokens.size() == 3) see_one(tensor, see);
            inputs_.add(tensor);
          });
    }
  }

 private:
  void see_one(const Tensor& tensor, const std::function<void(Bundle&)>& see) {
    const auto operation = inputs_.operation(tensor.id);
    ASSERT_TRUE(operation) << bitnet::to_string(tensor.id);
    const Tensor evaluated{
        .id = tensor.id, .offsets = tensor.offsets, .values = emulator_->evaluate(*operation)};
    Tensor shown = evaluated;
    const auto last = static_cast<std::size_t>(shown.offsets[2]) + (shown.row(2).size() * 2) / 3;
    shown.values[last] = shown.values[last] * 1.5f + 1;
    const GateSet gates = default_gates(0.999);
    const LocalFailure failure{.side = Side::candidate,
                               .operation = *operation,
                               .shown = shown,
                               .evaluated = evaluated,
                               .inputs = inputs_,
                               .first_row = 0};
    auto made =
        shrink(failure, {.model = *model_,
                         .gates = gates,
                         .step = 1,
                         .participant = {.name = "somebody", .version = {}, .build = {}, .details = {}},
                         .evaluator = "emulator",
                         .arbiter = "oracle",
                         .model_sha256 = {}});
    ASSERT_TRUE(std::holds_alternative<Bundle>(made))
        << bitnet::to_string(tensor.id) << ": " << std::get<std::string>(made);
    Bundle& bundle = std::get<Bundle>(made);
    EXPECT_EQ(bundle.row, 2);
    const auto column = static_cast<std::int64_t>(last) - shown.offsets[2];
    EXPECT_NE(std::ranges::find(bundle.operation.columns, column), bundle.operation.columns.end());
    see(bundle);
  }

  std::shared_ptr<const bitnet::Model> model_;
  std::unique_ptr<Participant> emulator_;
  LocalInputs inputs_;
};

class OfModel : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path model() {
    const std::string name = GetParam();
    if (name == "bundled" || name == "awkward")
      return std::filesystem::path(CROSSVAL_SOURCE_DIR) / "fixtures/model" / (name + ".gguf");
    bitnet::SynthShape shape = bitnet::synth_shape(name == "old" ? "tiny" : "tiny-llama");
    if (name == "old") {
      shape.architecture = "bitnet";
      shape.factors = true;
    } else {
      shape.biases = shape.rope_freqs = shape.untied = true;
      shape.head = bitnet::TensorType::q6_k;
    }
    bitnet::synth(shape, 1, folder_ / "m.gguf");
    return folder_ / "m.gguf";
  }
  bitnet::testing::TemporaryDirectory folder_;
};

TEST_P(OfModel, EveryOperationIsReplayedFromItsBundle) {
  std::map<OperationKind, int> kinds;
  EveryOperation(model()).run([&](Bundle& bundle) {
    const std::string tap = bitnet::to_string(bundle.operation.tap);
    bundle.case_id = "c";
    bundle.who = "candidate wrong";
    EXPECT_EQ(check_replay(bundle), "") << tap;
    EXPECT_FALSE(bundle.reproduced);
    const std::string bytes = encode_bundle(bundle);
    EXPECT_LT(bytes.size(), 200'000u) << tap;
    const Bundle read = parse_bundle(std::as_bytes(std::span(bytes)), tap);
    const Replayed replayed = replay(read);
    EXPECT_EQ(replayed.verdict, Verdict::fail) << tap;
    EXPECT_EQ(replayed.who, "candidate wrong") << tap;
    EXPECT_EQ(replayed.evaluator_bits, 0) << tap;
    EXPECT_TRUE(replayed.engine.judgement.pass) << tap;
    EXPECT_EQ(replayed.engine.measured.row.bits, 0) << tap;
    ++kinds[operation_kind(bundle.operation.tap.tap)];
  });
  EXPECT_EQ(kinds.size(), 11u);
}

INSTANTIATE_TEST_SUITE_P(Models, OfModel, ::testing::Values("bundled", "awkward", "old", "llama"),
                         [](const auto& p) { return std::string(p.param); });

TEST(Replay, AMendedEngineAgreesNow) {
  Bundle b = testing::test_bundle();
  b.evaluated.clear();
  EveryOperation(std::filesystem::path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf")
      .run([&](Bundle& bundle) {
        if (bundle.operation.tap.tap == Tap::ffn_down) b = bundle;
      });
  ASSERT_FALSE(b.evaluated.empty());
  b.who = "candidate wrong";
  b.participant.name = "engine";
  b.participant.details = {{"isa", "scalar"}};
  b.reproduced = true;
  const Replayed mended = replay(b);
  EXPECT_EQ(mended.verdict, Verdict::pass);
  EXPECT_TRUE(mended.rerun);
  EXPECT_EQ(mended.who, "");
  EXPECT_NE(text_of(b, mended).find("PASS: ffn_down"), std::string::npos) << text_of(b, mended);
  // Where those kernels do not run, others prove nothing.
  b.participant.details = {{"isa", "of another machine"}};
  EXPECT_FALSE(replay(b).rerun);
  EXPECT_EQ(replay(b).verdict, Verdict::fail);
  EXPECT_TRUE(replay(b, "scalar").rerun);
  EXPECT_THROW(replay(b, "no-such-kernels"), bitnet::InputError);
}

TEST(Replay, AnEvaluatorThatWasWrongIsSeenThrough) {
  Bundle b;
  EveryOperation(std::filesystem::path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf")
      .run([&](Bundle& bundle) {
        if (bundle.operation.tap.tap == Tap::ffn_act) b = bundle;
      });
  b.who = "candidate wrong";
  std::swap(b.shown, b.evaluated);  // what was shown is sound, what it was held to was not
  EXPECT_NE(check_replay(b), "");
  const Replayed replayed = replay(b);
  EXPECT_EQ(replayed.verdict, Verdict::pass);
  EXPECT_GT(replayed.evaluator_bits, 0);
}

}  // namespace
}  // namespace crossval
