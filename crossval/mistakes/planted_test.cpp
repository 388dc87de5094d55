#include "crossval/mistakes/planted.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "crossval/mistakes/catalogue.h"
#include "crossval/mistakes/text_mistake.h"
#include "crossval/participants/spec.h"
#include "engine/error.h"

namespace crossval {
namespace {

using bitnet::Tap;

const std::filesystem::path kModel =
    std::filesystem::path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf";

std::shared_ptr<const bitnet::Model> model() {
  static const auto kLoaded = std::make_shared<const bitnet::Model>(bitnet::Model::load(kModel));
  return kLoaded;
}

std::unique_ptr<Participant> sound(const std::string& name) {
  return make_participant(parse_participant(name), model(), kModel, {.threads = 1});
}

std::unique_ptr<Participant> planted(const std::string& name, const Fault& fault) {
  return plant(fault, sound(name), model(), kModel);
}

// Every tap of an evaluation.
std::map<TapId, std::vector<float>> taps_of(Participant& participant, const std::vector<Token>& tokens) {
  std::map<TapId, std::vector<float>> taps;
  participant.eval(
      tokens, [](TapId) { return true; }, [&](Tensor&& t) { taps[t.id] = std::move(t.values); });
  return taps;
}

class EveryParticipant : public testing::TestWithParam<const char*> {};

TEST_P(EveryParticipant, IsMistakenFromTheFaultOnAndNowhereBefore) {
  const auto good = sound(GetParam());
  const auto bad =
      planted(GetParam(), {.name = "test", .mistake = "empty-kernel", .tap = Tap::v_proj, .layer = 1});
  const auto right = taps_of(*good, {1, 2, 3}), wrong = taps_of(*bad, {1, 2, 3});
  for (const TapId id : bitnet::canonical_taps(model()->config())) {
    const bool before = id.layer < 1 && id.tap != Tap::result_norm && id.tap != Tap::result_output;
    const bool same_layer_before = id.layer == 1 && id.tap < Tap::v_proj;
    // Scores do not read values.
    const bool beside = id.layer == 1 && (id.tap == Tap::kq || id.tap == Tap::kq_soft_max);
    EXPECT_EQ(right.at(id) == wrong.at(id), before || same_layer_before || beside) << bitnet::to_string(id);
  }
  EXPECT_EQ(wrong.at({Tap::v_proj, 1}), std::vector<float>(wrong.at({Tap::v_proj, 1}).size(), 0.0f));
}

TEST_P(EveryParticipant, KeepsTheFaultInItsCache) {
  // The fault is in the keys of the first token alone: what comes later reads them from the cache.
  const auto good = sound(GetParam());
  const auto bad =
      planted(GetParam(), {.name = "test", .mistake = "rope-missing", .tap = Tap::k_rope, .layer = 0});
  taps_of(*good, {1, 2, 3, 4});
  taps_of(*bad, {1, 2, 3, 4});
  const auto right = taps_of(*good, {5}), wrong = taps_of(*bad, {5});
  EXPECT_EQ(right.at({Tap::q_rope, 0}), wrong.at({Tap::q_rope, 0}));
  EXPECT_NE(right.at({Tap::kq, 0}), wrong.at({Tap::kq, 0}));
}

TEST_P(EveryParticipant, IsMistakenInALoneOperationToo) {
  const auto good = sound(GetParam());
  const auto bad = planted(GetParam(), {.name = "test", .mistake = "silu-for-relu2"});
  std::vector<float> gate(static_cast<std::size_t>(model()->config().n_ff), 0.5f);
  const std::int32_t position = 0;
  const bitnet::Operation operation{
      .output = {Tap::ffn_act, 0}, .positions = {&position, 1}, .tokens = {}, .a = gate.data()};
  EXPECT_FLOAT_EQ(good->evaluate(operation)[0], 0.25f);
  EXPECT_NEAR(bad->evaluate(operation)[0], 0.5 / (1 + std::exp(-0.5)), 1e-6);
}

TEST_P(EveryParticipant, IsSoundAgainWhereTheFaultIsNot) {
  const auto good = sound(GetParam());
  const auto bad = planted(GetParam(), {.name = "test", .mistake = "last-row-zero", .tap = Tap::ffn_up});
  EXPECT_EQ(taps_of(*good, {7}), taps_of(*bad, {7}));  // one row: there is no last one to forget
  EXPECT_NE(taps_of(*good, {7, 8}), taps_of(*bad, {7, 8}));
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryParticipant, testing::Values("engine", "emulator:rope=own", "oracle"),
                         [](const auto& kind) { return std::string(kind.param).substr(0, 6); });

TEST(Planted, ASequenceAfterAnotherSeesItsCells) {
  const auto good = sound("engine");
  const auto bad = planted("engine", {.name = "test", .mistake = "cache-stale"});
  EXPECT_EQ(taps_of(*good, {1, 2, 3}), taps_of(*bad, {1, 2, 3}));  // the first sequence has none before it
  good->reset();
  bad->reset();
  EXPECT_NE(taps_of(*good, {1, 2, 3}), taps_of(*bad, {1, 2, 3}));
}

TEST(Planted, SaysThatItIs) {
  EXPECT_EQ(planted("engine", {.name = "mine", .mistake = "silu-for-relu2"})->identity().details.at("fault"),
            "mine");
}

TEST(Planted, AMistakeThatTheModelLeavesNoRoomForIsRefused) {
  EXPECT_THROW(planted("engine", {.name = "test", .mistake = "relu2-for-silu"}), bitnet::InputError);
  EXPECT_THROW(planted("engine", {.name = "test", .mistake = "bias-missing"}), bitnet::InputError);
  EXPECT_THROW(planted("engine", {.name = "test", .mistake = "silu-for-relu2", .tap = Tap::kq}),
               bitnet::InputError);
  EXPECT_THROW(planted("engine", {.name = "test", .mistake = "no-such-mistake"}), bitnet::InputError);
}

TEST(TextMistakes, AreFoundFromTheirIds) {
  const bitnet::Model& m = *model();
  const std::string text = "<|start_header_id|>user<|end_header_id|>\n\nHello\n\nthere<|eot_id|>";
  std::set<std::vector<Token>> seen;
  for (const TextMistake& mistake : text_mistakes()) {
    const Retokenize retokenize = mistake.make(m.file(), m.tokenizer());
    if (!retokenize) continue;
    const TextAsked asked{text, true, true};
    const auto ids = retokenize(asked);
    if (!seen.insert(ids).second || ids == m.tokenizer().encode(text, true, true)) continue;
    const TextMistake* found = explain_tokens(m.file(), m.tokenizer(), asked, ids);
    ASSERT_NE(found, nullptr) << mistake.name;
    EXPECT_EQ(found->name, mistake.name);
  }
  EXPECT_GE(seen.size(), 5u);
  EXPECT_EQ(explain_tokens(m.file(), m.tokenizer(), {text, true, true}, {1, 2, 3}), nullptr);
}

TEST(Catalogue, NamesRealMistakesOnce) {
  EXPECT_GE(catalogue().size(), 30u);
  std::set<std::string> names;
  for (const CatalogueEntry& entry : catalogue()) {
    EXPECT_TRUE(names.insert(entry.fault.name).second) << entry.fault.name;
    if (find_text_mistake(entry.fault.mistake)) {
      EXPECT_EQ(entry.blamed, "tokens") << entry.fault.name;
      continue;
    }
    const Mistake& mistake = mistake_named(entry.fault.mistake);  // throws where there is none
    const auto blamed = bitnet::parse_tap(entry.blamed);
    ASSERT_TRUE(blamed) << entry.fault.name;
    EXPECT_NE(std::ranges::find(mistake.taps, blamed->tap), mistake.taps.end()) << entry.fault.name;
    EXPECT_EQ(entry.fault.tap.value_or(blamed->tap), blamed->tap) << entry.fault.name;
  }
  EXPECT_THROW(fault_named("no-such-fault"), bitnet::InputError);
}

TEST(Catalogue, UsesEveryMistakeThatIsNoMereExplanation) {
  std::set<std::string_view> used;
  for (const CatalogueEntry& entry : catalogue()) used.insert(entry.fault.mistake);
  // Builds and settings that are right in themselves, and further values of an epsilon or a base.
  const std::set<std::string_view> explanations{"fused-quantizer",   "eight-lanes",       "rope-base-10000",
                                                "rope-base-1000042", "epsilon-1e-5",      "epsilon-1e-12",
                                                "epsilon-0",         "gate-not-activated"};
  for (const Mistake& mistake : mistakes())
    EXPECT_TRUE(used.contains(mistake.name) || explanations.contains(mistake.name)) << mistake.name;
}

}  // namespace
}  // namespace crossval
