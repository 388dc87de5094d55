#include "reference/trace/replay.h"

#include <gtest/gtest.h>

#include "engine/error.h"
#include "reference/errors.h"
#include "reference/trace/test_trace.h"

namespace crossval {
namespace {

using testing::test_config;
using testing::test_trace;

class ReplayTest : public ::testing::Test {
 protected:
  std::unique_ptr<Participant> open(const testing::TestTrace& trace,
                                    const bitnet::Config& config = test_config()) {
    bytes_ = trace.bytes();
    return make_replay(std::make_shared<const Trace>(Trace::parse(std::as_bytes(std::span(bytes_)), "t")),
                       config);
  }
  static std::vector<Tensor> eval(Participant& p, const std::vector<Token>& tokens) {
    std::vector<Tensor> all;
    p.eval(
        tokens, [](TapId) { return true; }, [&](Tensor&& t) { all.push_back(std::move(t)); });
    return all;
  }
  static std::string refusal(Participant& p, const std::vector<Token>& tokens) {
    try {
      eval(p, tokens);
      return "";
    } catch (const Incomparable& e) {
      return e.what();
    }
  }
  std::string bytes_;
};

TEST_F(ReplayTest, ShowsTheRowsOfEachEvaluationHoweverTheyAreDealtOut) {
  const auto p = open(test_trace());
  EXPECT_EQ(p->identity().name, "trace of engine");
  EXPECT_TRUE(p->shows_values());
  EXPECT_FALSE(p->can_evaluate());
  p->begin_case("a");
  EXPECT_EQ(p->tokenize("whatever", true, true), (std::vector<Token>{1, 2}));
  p->reset();
  // Whole steps: scores of 1 and 2 cells, widths of 2, logits of 3.
  auto shown = eval(*p, {1, 2});
  ASSERT_EQ(shown.size(), 3U);
  EXPECT_EQ(bitnet::to_string(shown[0].id), "kq-0");
  EXPECT_EQ(shown[0].offsets, (std::vector<std::int64_t>{0, 1, 3}));
  EXPECT_EQ(shown[0].values, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(shown[1].values, (std::vector<float>{4, 5, 6, 7}));
  shown = eval(*p, {0});
  EXPECT_EQ(shown[0].offsets, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(shown[0].values, (std::vector<float>{14, 15, 16}));
  // Token by token.
  p->reset();
  EXPECT_EQ(eval(*p, {1})[0].values, (std::vector<float>{1}));
  shown = eval(*p, {2});
  EXPECT_EQ(shown[0].values, (std::vector<float>{2, 3}));
  EXPECT_EQ(shown[2].values, (std::vector<float>{11, 12, 13}));
  EXPECT_EQ(p->piece(2), "\xff");
  EXPECT_THROW(p->evaluate({}), bitnet::InputError);
}

TEST_F(ReplayTest, ShowsOnlyWhatIsWanted) {
  const auto p = open(test_trace());
  p->begin_case("b/c");
  int shown = 0;
  const std::vector<Token> tokens{2};
  p->eval(
      tokens, [](TapId id) { return id.tap == bitnet::Tap::l_out; },
      [&](Tensor&& t) {
        ++shown;
        EXPECT_EQ(t.id.tap, bitnet::Tap::l_out);
      });
  EXPECT_EQ(shown, 1);
}

TEST_F(ReplayTest, HashesComeWithTheLastRowsValues) {
  const auto p = open(test_trace(true));
  EXPECT_FALSE(p->shows_values());
  p->begin_case("a");
  const auto shown = eval(*p, {1, 2});
  ASSERT_EQ(shown.size(), 3U);
  EXPECT_EQ(shown[0].hashes.size(), 2U);
  EXPECT_FALSE(shown[0].known(0) || shown[0].known(1));
  EXPECT_EQ(shown[1].offsets, (std::vector<std::int64_t>{0, 0, 2}));
  EXPECT_FALSE(shown[1].known(0));
  EXPECT_TRUE(shown[1].known(1));
  EXPECT_EQ(shown[1].values, (std::vector<float>{1, 2}));
  EXPECT_EQ(shown[2].row(1).size(), 3U);
  EXPECT_NE(shown[1].hashes[0], shown[1].hashes[1]);
  // Of a part that ends before the step's last row there are no values.
  p->reset();
  EXPECT_FALSE(eval(*p, {1})[1].known(0));
  EXPECT_TRUE(eval(*p, {2})[1].known(0));
}

TEST_F(ReplayTest, OtherTokensAreNamedWithCaseStepPositionAndBothIds) {
  const auto p = open(test_trace());
  p->begin_case("a");
  EXPECT_EQ(refusal(*p, {1, 0}),
            "case `a`, step 0, position 1: the run feeds the token 0 `a`, the trace recorded 2 `\\xff` (t)");
  p->reset();
  EXPECT_NE(
      refusal(*p, {1, 2, 0}).find("step 0, position 2: the run feeds 0 `a`, but the recorded step ends"),
      std::string::npos);
  p->reset();
  eval(*p, {1, 2});
  EXPECT_NE(refusal(*p, {1}).find("step 1, position 2: the run feeds the token 1 `b`, the trace recorded 0"),
            std::string::npos);
  eval(*p, {0});
  EXPECT_NE(
      refusal(*p, {0}).find("step 2, position 3: the run feeds 0 `a`, but the trace ends after 2 steps"),
      std::string::npos);
}

TEST_F(ReplayTest, ACaseThatIsNotThereIsIncomparable) {
  const auto p = open(test_trace());
  EXPECT_THROW(eval(*p, {1}), Incomparable);  // no case begun
  p->begin_case("z");
  EXPECT_NE(refusal(*p, {1}).find("case `z` is not in the trace t"), std::string::npos);
  EXPECT_THROW(p->tokenize("", true, true), Incomparable);
}

TEST_F(ReplayTest, AModelOfOtherDimensionsIsIncomparable) {
  for (auto change : {+[](bitnet::Config& c) { c.n_vocab = 4; }, +[](bitnet::Config& c) { c.n_embd = 3; },
                      +[](bitnet::Config& c) { c.n_head = 2; }, +[](bitnet::Config& c) { c.n_layer = 0; },
                      +[](bitnet::Config& c) { c.n_rot = 4; }}) {
    bitnet::Config config = test_config();
    change(config);
    EXPECT_THROW(open(test_trace(), config), Incomparable);
  }
  bitnet::Config config = test_config();
  config.n_embd = 3;
  EXPECT_THROW(open(test_trace(true), config), Incomparable);
}

}  // namespace
}  // namespace crossval
