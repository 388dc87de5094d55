#include "crossval/lockstep/lockstep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "crossval/errors.h"
#include "crossval/participants/engine_participant.h"
#include "reference/oracle/participant.h"

namespace crossval {
namespace {

using bitnet::Tap;

const std::string kModel = std::string(CROSSVAL_SOURCE_DIR) + "/fixtures/model/awkward.gguf";

std::shared_ptr<const bitnet::Model> model() {
  static const auto loaded = std::make_shared<const bitnet::Model>(bitnet::Model::load(kModel));
  return loaded;
}

// An engine whose shown tensors are changed on their way.
class Tampered final : public Participant {
 public:
  std::function<std::optional<Tensor>(Tensor)> change;  // nothing: the tensor is not shown
  Tampered() : inner_(make_engine(model(), {.threads = 1})) {}

  std::map<std::string, std::string> details;  // what it says of itself beyond the engine's
  Identity identity() const override {
    Identity id = inner_->identity();
    id.details.insert(details.begin(), details.end());
    return id;
  }
  std::int64_t n_vocab() const override { return inner_->n_vocab(); }
  std::vector<TapId> taps() const override { return inner_->taps(); }
  std::vector<Token> tokenize(std::string_view t, bool a, bool b) override {
    return inner_->tokenize(t, a, b);
  }
  std::string piece(Token t) override { return inner_->piece(t); }
  void reset() override { inner_->reset(); }
  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    inner_->eval(tokens, wanted, [&](Tensor&& t) {
      if (auto changed = change ? change(std::move(t)) : std::optional<Tensor>(std::move(t)))
        sink(std::move(*changed));
    });
  }
  bool can_evaluate() const override { return true; }
  std::vector<float> evaluate(const bitnet::Operation& o) override { return inner_->evaluate(o); }

 private:
  std::unique_ptr<Participant> inner_;
};

const std::vector<Token> kPrompt = {5, 9, 17, 33, 65, 3, 8};

LockstepPlan full_plan(const GateSet& gates, std::int64_t evaluation_tokens = 1) {
  LockstepPlan plan;
  plan.taps = bitnet::canonical_taps(model()->config());
  plan.local = {{.fed = Side::reference,
                 .taps = {plan.taps.begin(), plan.taps.end()},
                 .inputs = {plan.taps.begin(), plan.taps.end()}}};
  plan.evaluation_tokens = evaluation_tokens;
  plan.gates = &gates;
  return plan;
}

Comparison find(const Lockstep::Step& step, TapId tap, Mode mode) {
  return *std::find_if(step.comparisons.begin(), step.comparisons.end(),
                       [&](const Comparison& c) { return c.tap == tap && c.mode == mode; });
}

class LockstepTest : public testing::Test {
 protected:
  GateSet gates_ = default_gates(0.999);
  std::unique_ptr<Participant> engine_ = make_engine(model(), {.threads = 2});
  Tampered tampered_;

  Lockstep::Step run(Participant& reference, std::int64_t evaluation_tokens = 1) {
    const LockstepPlan plan = full_plan(gates_, evaluation_tokens);
    Lockstep lockstep({.candidate = *engine_,
                       .reference = reference,
                       .candidate_model = *model(),
                       .reference_model = *model()},
                      plan);
    lockstep.reset();
    return lockstep.step(kPrompt, 0);
  }
};

TEST_F(LockstepTest, EngineAgainstItselfDiffersInNoBit) {
  for (const std::int64_t n : {1, 3, 100}) {
    const Lockstep::Step step = run(tampered_, n);
    EXPECT_EQ(step.comparisons.size(), 2 * bitnet::canonical_taps(model()->config()).size());
    for (const Comparison& c : step.comparisons) {
      EXPECT_EQ(c.bits, 0) << to_string(c.tap) << " " << to_string(c.mode);
      EXPECT_TRUE(c.judgement.pass);
      EXPECT_EQ(c.rows, static_cast<std::int64_t>(kPrompt.size()));
      EXPECT_GT(c.count, 0);
    }
    EXPECT_EQ(step.candidate_logits, step.reference_logits);
  }
}

TEST_F(LockstepTest, EngineAgainstOracleHoldsTheLocalGates) {
  const auto oracle = make_oracle(kModel, {.threads = 1});
  const Lockstep::Step step = run(*oracle);
  for (const Comparison& c : step.comparisons) {
    if (c.mode != Mode::local) continue;
    EXPECT_TRUE(c.judgement.pass) << to_string(c.tap) << ": " << c.judgement.why << " at " << c.worst.row.at;
  }
}

TEST(ForeignRoundings, AreWhatAParticipantSaysAndWeDoOtherwise) {
  const bitnet::Weights& weights = model()->weights();
  ASSERT_EQ(weights.output.type(), bitnet::TensorType::f32);
  const auto said = [&](const char* products, const char* head) {
    return foreign_rounding({.name = "",
                             .version = "",
                             .build = "",
                             .details = {{"product_input", products}, {"head_input", head}}},
                            weights);
  };
  const ForeignRounding ik = said("q8_K16", "f32");
  for (const Tap tap :
       {Tap::q_proj, Tap::k_proj, Tap::v_proj, Tap::attn_out, Tap::ffn_gate, Tap::ffn_up, Tap::ffn_down}) {
    ASSERT_NE(ik.of({tap, 1}), nullptr);
    EXPECT_EQ(ik.of({tap, 1})->name, "q8_K16");
    EXPECT_EQ(ik.own_of({tap, 1}).name, "i8_s");
  }
  for (const Tap tap : {Tap::result_output, Tap::result_norm, Tap::kq, Tap::l_out, Tap::inp_embd})
    EXPECT_EQ(ik.of({tap, -1}), nullptr);
  const ForeignRounding other = said("i8_s", "q8_0");
  EXPECT_EQ(other.of({Tap::q_proj, 0}), nullptr);
  ASSERT_NE(other.of({Tap::result_output, -1}), nullptr);
  EXPECT_EQ(other.own_of({Tap::result_output, -1}).name, "f32");
  EXPECT_EQ(said("q8_KV", "").of({Tap::q_proj, 0}), nullptr);
}

// A head whose input is rounded to bfloat16, in the place where it differs: some logits move a little.
TEST_F(LockstepTest, AnotherRoundingOfTheInputExcusesAsMuchAsItExplains) {
  const TapId tap{Tap::result_output, -1};
  float step = 0.002f;
  tampered_.details = {{"head_input", "bf16"}};
  tampered_.change = [&](Tensor t) {
    if (t.id == tap)
      for (std::size_t i = 0; i < t.values.size(); ++i) t.values[i] += i % 2 == 0 ? step : -step;
    return std::optional(std::move(t));
  };
  const auto oracle = make_oracle(kModel, {.threads = 1});
  const auto compared = [&](bool told) {
    LockstepPlan plan = full_plan(gates_, 100);
    if (told)
      plan.rounding.emplace(Side::reference, foreign_rounding(tampered_.identity(), model()->weights()));
    Lockstep lockstep({.candidate = *engine_,
                       .reference = tampered_,
                       .candidate_model = *model(),
                       .reference_model = *model(),
                       .arbiter = [&] { return oracle.get(); }},
                      plan);
    lockstep.reset();
    const Lockstep::Step result = lockstep.step(kPrompt, 0);
    for (const Comparison& c : result.comparisons)
      EXPECT_TRUE(c.tap == tap || (c.judgement.pass && !c.worst.rounding)) << to_string(c.tap);
    return find(result, tap, Mode::local);
  };
  const Comparison little = compared(true);
  ASSERT_TRUE(little.worst.rounding);
  EXPECT_GT(little.worst.rounding->share, 0);
  step *= 0.5f / static_cast<float>(little.worst.rounding->share);
  const Comparison within = compared(true);
  EXPECT_TRUE(within.judgement.pass) << within.judgement.why;
  EXPECT_NEAR(within.worst.rounding->share, 0.5, 0.05);
  EXPECT_FALSE(compared(false).judgement.pass);
  step *= 4;
  const Comparison beyond = compared(true);
  EXPECT_FALSE(beyond.judgement.pass);
  ASSERT_TRUE(beyond.opinion);
  EXPECT_EQ(beyond.opinion->blame, Blame::reference);
}

TEST_F(LockstepTest, OneNanFailsTheTapBothWays) {
  const TapId tap{Tap::ffn_norm, 1};
  tampered_.change = [&](Tensor t) {
    if (t.id == tap) t.values[7] = std::numeric_limits<float>::quiet_NaN();
    return std::optional(std::move(t));
  };
  const Lockstep::Step step = run(tampered_, 100);
  for (const Mode mode : {Mode::local, Mode::free}) {
    const Comparison& c = find(step, tap, mode);
    EXPECT_FALSE(c.judgement.pass);
    EXPECT_EQ(c.row, 0);
    EXPECT_EQ(c.worst.row.at, 7);
  }
}

TEST_F(LockstepTest, TheWorstRowDecidesNotThePool) {
  const TapId tap{Tap::l_out, 0};
  tampered_.change = [&](Tensor t) {
    if (t.id == tap)
      for (std::int64_t k = t.offsets[4]; k < t.offsets[5]; ++k) t.values[static_cast<std::size_t>(k)] *= -1;
    return std::optional(std::move(t));
  };
  const Comparison& c = find(run(tampered_, 100), tap, Mode::free);
  EXPECT_FALSE(c.judgement.pass);
  EXPECT_EQ(c.row, 4);
  EXPECT_NEAR(c.worst.row.cosine, -1, 1e-12);
}

TEST_F(LockstepTest, RowsAreCountedWithinTheStepAcrossEvaluations) {
  const TapId tap{Tap::l_out, 0};
  int evaluation = 0;
  tampered_.change = [&](Tensor t) {
    if (t.id == tap && evaluation++ == 3) t.values[2] += 100;
    return std::optional(std::move(t));
  };
  const Comparison& c = find(run(tampered_, 2), tap, Mode::free);
  EXPECT_EQ(c.row, 6);  // evaluations of 2 + 2 + 2 + 1 tokens
  EXPECT_EQ(c.worst.row.at, 2);
}

TEST_F(LockstepTest, ScaleAloneFailsByTheNormRatio) {
  const TapId tap{Tap::attn_out, 1};
  tampered_.change = [&](Tensor t) {
    if (t.id == tap)
      for (float& v : t.values) v *= 1.5f;
    return std::optional(std::move(t));
  };
  const Lockstep::Step step = run(tampered_, 100);
  EXPECT_NEAR(find(step, tap, Mode::free).worst.row.cosine, 1, 1e-12);
  EXPECT_EQ(find(step, tap, Mode::free).judgement.gate->name, "free.tap.norm_ratio");
  EXPECT_FALSE(find(step, tap, Mode::local).judgement.pass);
}

TEST_F(LockstepTest, OneWrongIntegerIsFound) {
  // One output of a product moved by one unit of its integer: far too little for any cosine.
  const TapId tap{Tap::ffn_down, 0};
  const float scale = model()->weights().layers[0].ffn_down.matrix.scale;
  tampered_.change = [&](Tensor t) {
    if (t.id == tap) t.values[11] += 0.01f * scale;  // 1 / s is about 0.01 for activations of about 1
    return std::optional(std::move(t));
  };
  EXPECT_FALSE(find(run(tampered_, 100), tap, Mode::local).judgement.pass);
}

TEST_F(LockstepTest, MissingTapIsIncomparable) {
  tampered_.change = [](Tensor t) {
    return t.id == TapId{Tap::ffn_act, 1} ? std::nullopt : std::optional(std::move(t));
  };
  EXPECT_THROW(run(tampered_), Incomparable);
}

TEST_F(LockstepTest, ShortTensorIsIncomparableNotCut) {
  tampered_.change = [](Tensor t) {
    if (t.id == TapId{Tap::ffn_act, 1}) {
      t.values.pop_back();
      --t.offsets.back();
    }
    return std::optional(std::move(t));
  };
  EXPECT_THROW(run(tampered_), Incomparable);
}

TEST_F(LockstepTest, MissingRowIsIncomparable) {
  tampered_.change = [](Tensor t) {
    if (t.id == TapId{Tap::result_norm, -1} && t.rows() > 1) {
      t.offsets.pop_back();
      t.values.resize(static_cast<std::size_t>(t.offsets.back()));
    }
    return std::optional(std::move(t));
  };
  EXPECT_THROW(run(tampered_, 100), Incomparable);
}

TEST_F(LockstepTest, AParticipantThatDiesEndsTheStepAndNothingHangs) {
  tampered_.change = [](Tensor t) -> std::optional<Tensor> {
    if (t.id == TapId{Tap::kq, 1}) throw std::runtime_error("died in the middle");
    return t;
  };
  EXPECT_THROW(run(tampered_), std::runtime_error);
}

TEST_F(LockstepTest, SelfNoiseIsZeroForEqualAndPositiveForTheOracleRounded) {
  const auto oracle = make_oracle(kModel, {.threads = 1});
  const auto rounded = make_oracle(kModel, {.threads = 1, .round_taps = true});
  const LockstepPlan plan = full_plan(gates_);
  Lockstep noisy({.candidate = *engine_,
                  .reference = *oracle,
                  .noise = rounded.get(),
                  .candidate_model = *model(),
                  .reference_model = *model()},
                 plan);
  noisy.reset();
  noisy.step(kPrompt, 0);
  EXPECT_TRUE(noisy.noise().measured);
  EXPECT_GT(noisy.noise().logit, 0);
  Tampered twin;
  Lockstep quiet({.candidate = *engine_,
                  .reference = tampered_,
                  .noise = &twin,
                  .candidate_model = *model(),
                  .reference_model = *model()},
                 plan);
  quiet.reset();
  quiet.step(kPrompt, 0);
  EXPECT_EQ(quiet.noise().logit, 0);
  for (const Noise& n : quiet.noise().taps) {
    EXPECT_EQ(n.cosine, 0);
    EXPECT_EQ(n.norm, 0);
  }
}

TEST_F(LockstepTest, ATapThatIsZeroEverywhereIsReported) {
  const TapId tap{Tap::ffn_up, 0};
  Tampered candidate;
  const auto blank = [&](Tensor t) {
    if (t.id == tap) std::fill(t.values.begin(), t.values.end(), 0.0f);
    return std::optional(std::move(t));
  };
  candidate.change = tampered_.change = blank;
  const LockstepPlan plan = full_plan(gates_);
  Lockstep lockstep({.candidate = candidate,
                     .reference = tampered_,
                     .candidate_model = *model(),
                     .reference_model = *model()},
                    plan);
  lockstep.reset();
  lockstep.step(kPrompt, 0);
  EXPECT_EQ(lockstep.always_zero(), std::vector<TapId>{tap});
}

TEST(IntegerProducts, AreRecoveredExactly) {
  const std::vector<float> input = {0.5f, -2.0f, 1.25f};
  const float s = static_cast<float>(127.0 / 2.0), w = 1.625f;
  bitnet::Projection plain, with_bias, with_factor;
  plain.matrix.scale = with_bias.matrix.scale = with_factor.matrix.scale = w;
  with_factor.factor = 0.3f;
  with_bias.bias = {-3.25f, 0.7f, 4096.0f, 1e-3f, 0.0f, -2.0f};
  for (const bitnet::Projection* p : {&plain, &with_factor, &with_bias}) {
    std::vector<float> output;
    std::vector<std::int64_t> want = {0, 1, -1, 127, -4099, 877824};
    if (p == &plain) want.insert(want.end(), {3000001, -3999999});
    for (std::size_t i = 0; i < want.size(); ++i)
      output.push_back(static_cast<float>(want[i]) / s * w * p->factor + (p->bias.empty() ? 0 : p->bias[i]));
    EXPECT_EQ(integer_products(output, input, *p), want);
    output = {0.3f / s * w * p->factor + (p->bias.empty() ? 0 : p->bias[0])};
    EXPECT_EQ(integer_products(output, input, *p)[0], std::numeric_limits<std::int64_t>::min());
  }
}

// Both sides are engines; whoever is tampered with after its operation is at odds with the arbiter.
class QuadrantTest : public testing::Test {
 protected:
  GateSet gates_ = default_gates(0.999);
  std::unique_ptr<Participant> engine_ = make_engine(model(), {.threads = 1});
  std::unique_ptr<Participant> oracle_ = make_oracle(kModel, {.threads = 1});
  Tampered tampered_;
  int questions_ = 0;
  const TapId tap_{Tap::ffn_act, 0};

  void SetUp() override {
    tampered_.change = [this](Tensor t) {
      if (t.id == tap_) t.values[3] += 1;
      return std::optional(std::move(t));
    };
  }
  std::function<Participant*()> arbiter() {
    return [this] {
      ++questions_;
      return oracle_.get();
    };
  }
};

// Shows taps, evaluates nothing.
class Mute final : public Participant {
 public:
  explicit Mute(Participant& inner) : inner_(inner) {}
  Identity identity() const override { return inner_.identity(); }
  std::int64_t n_vocab() const override { return inner_.n_vocab(); }
  std::vector<TapId> taps() const override { return inner_.taps(); }
  std::vector<Token> tokenize(std::string_view t, bool a, bool b) override {
    return inner_.tokenize(t, a, b);
  }
  std::string piece(Token t) override { return inner_.piece(t); }
  void reset() override { inner_.reset(); }
  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    inner_.eval(tokens, wanted, sink);
  }
  std::vector<float> evaluate(const bitnet::Operation&) override {
    throw std::logic_error("asked to evaluate what it cannot");
  }

 private:
  Participant& inner_;
};

TEST_F(QuadrantTest, TheReferenceIsBlamedForWhatItGotWrong) {
  const LockstepPlan plan = full_plan(gates_);
  Lockstep lockstep({.candidate = *engine_,
                     .reference = tampered_,
                     .candidate_model = *model(),
                     .reference_model = *model(),
                     .arbiter = arbiter()},
                    plan);
  lockstep.reset();
  const Lockstep::Step step = lockstep.step(kPrompt, 0);
  const Comparison& c = find(step, tap_, Mode::local);
  ASSERT_FALSE(c.judgement.pass);
  ASSERT_TRUE(c.opinion);
  EXPECT_EQ(c.opinion->blame, Blame::reference);
  EXPECT_GT(c.opinion->reference->nmse, 1e-5);
  EXPECT_LT(c.opinion->candidate->nmse, 1e-9);
  // Once about each comparison that failed, never where a gate holds: ffn_par-0, too, was not made from what
  // the reference shows of ffn_act-0.
  EXPECT_EQ(questions_, 2);
}

TEST_F(QuadrantTest, TheCandidateIsBlamedForWhatItGotWrong) {
  LockstepPlan plan = full_plan(gates_);
  plan.local.front().fed = Side::candidate;
  Mute candidate(tampered_);
  Lockstep lockstep({.candidate = candidate,
                     .reference = *engine_,
                     .candidate_model = *model(),
                     .reference_model = *model(),
                     .arbiter = arbiter()},
                    plan);
  lockstep.reset();
  const Lockstep::Step step = lockstep.step(kPrompt, 0);
  const Comparison& c = find(step, tap_, Mode::local);
  ASSERT_TRUE(c.opinion);
  EXPECT_EQ(c.opinion->blame, Blame::candidate);
  EXPECT_EQ(questions_, 2);
}

TEST_F(QuadrantTest, AnArbiterThatAgreesWithNobodyCannotTell) {
  Tampered other;  // the arbiter, by another error than the reference's
  class Wrong final : public Participant {
   public:
    explicit Wrong(Participant& inner) : inner_(inner) {}
    Identity identity() const override { return inner_.identity(); }
    std::int64_t n_vocab() const override { return inner_.n_vocab(); }
    std::vector<TapId> taps() const override { return inner_.taps(); }
    std::vector<Token> tokenize(std::string_view, bool, bool) override { return {}; }
    std::string piece(Token) override { return {}; }
    void reset() override {}
    void eval(std::span<const Token>, const std::function<bool(TapId)>&, const TensorSink&) override {}
    bool can_evaluate() const override { return true; }
    std::vector<float> evaluate(const bitnet::Operation& o) override {
      auto values = inner_.evaluate(o);
      for (float& v : values) v = v * 2 + 1;
      return values;
    }

   private:
    Participant& inner_;
  } wrong(other);
  const LockstepPlan plan = full_plan(gates_);
  Lockstep lockstep({.candidate = *engine_,
                     .reference = tampered_,
                     .candidate_model = *model(),
                     .reference_model = *model(),
                     .arbiter = [&]() -> Participant* { return &wrong; }},
                    plan);
  lockstep.reset();
  const Lockstep::Step step = lockstep.step(kPrompt, 0);
  EXPECT_EQ(find(step, tap_, Mode::local).opinion->blame, Blame::unclear);
}

TEST_F(QuadrantTest, WhereNeitherSideEvaluatesAThirdPartyHoldsBothToThemselves) {
  Mute candidate(tampered_);
  Mute reference(*oracle_);
  const auto evaluator = make_engine(model(), {.threads = 1});
  const auto judge = make_oracle(kModel, {.threads = 1});
  LockstepPlan plan = full_plan(gates_);
  plan.local.push_back(plan.local.front());
  plan.local.front().fed = Side::candidate;
  // Of the reference, one tap whose inputs are no compared taps themselves.
  plan.local.back().taps = {{Tap::ffn_par, 1}};
  plan.local.back().inputs = {{Tap::ffn_act, 1}, {Tap::ffn_up, 1}};
  plan.taps = {tap_, {Tap::ffn_par, 1}, {Tap::l_out, 1}};
  plan.local.front().taps = {plan.taps.begin(), plan.taps.end()};
  Lockstep lockstep({.candidate = candidate,
                     .reference = reference,
                     .candidate_model = *model(),
                     .reference_model = *model(),
                     .evaluator = evaluator.get(),
                     .arbiter = [&] { return judge.get(); }},
                    plan);
  lockstep.reset();
  EXPECT_EQ(lockstep.comparisons_per_step(), 3 + 3 + 1);
  const Lockstep::Step step = lockstep.step(kPrompt, 0);
  ASSERT_EQ(step.comparisons.size(), 7U);
  for (const Comparison& c : step.comparisons) {
    if (c.mode != Mode::local) continue;
    EXPECT_EQ(c.judgement.pass, c.tap != tap_) << to_string(c.tap) << " of the " << to_string(*c.side);
    if (c.tap == tap_) {
      EXPECT_EQ(c.side, Side::candidate);
      ASSERT_TRUE(c.opinion);
      EXPECT_EQ(c.opinion->blame, Blame::candidate);
      EXPECT_FALSE(c.opinion->reference);
    }
  }
}

}  // namespace
}  // namespace crossval
