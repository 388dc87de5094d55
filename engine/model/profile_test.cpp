// What a profile records.

#include "engine/model/profile.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/model/context.h"
#include "engine/model/test_model.h"

namespace bitnet {
namespace {

using namespace std::chrono_literals;

TEST(Profile, EveryKindOfWorkHasItsName) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kWorks; ++i) names.insert(to_string(static_cast<Work>(i)));
  EXPECT_EQ(names.size(), kWorks);
  EXPECT_FALSE(names.contains(""));
}

TEST(Profile, AddsUpCallsTimeAndAmounts) {
  Profile profile(1);
  profile.add(Work::norm, 2s, {.bytes = 10, .float_operations = 3});
  profile.add(Work::norm, 1s, {.bytes = 5, .int_operations = 7});
  const WorkCost& cost = profile[Work::norm];
  EXPECT_EQ(cost.calls, 2);
  EXPECT_EQ(cost.seconds, 3);
  EXPECT_EQ(cost.amount.bytes, 15);
  EXPECT_EQ(cost.amount.int_operations, 7);
  EXPECT_EQ(cost.amount.float_operations, 3);
  EXPECT_EQ(profile[Work::head].calls, 0);
}

TEST(Profile, StepsOfAttentionDivideItsTimeAsTheWorkersSpentTheirs) {
  Profile profile(2);
  profile.laps(0).steps = {1s, 0s, 1s};
  profile.laps(1).steps = {1s, 0s, 5s};
  profile.add_steps(4s, {{{.bytes = 1}, {.bytes = 2}, {.bytes = 3}}});
  EXPECT_EQ(profile[Work::scores].seconds, 1);
  EXPECT_EQ(profile[Work::softmax].seconds, 0);
  EXPECT_EQ(profile[Work::context].seconds, 3);
  EXPECT_EQ(profile[Work::context].amount.bytes, 3);
  // The laps start again.
  profile.laps(0).steps = {0s, 1s, 0s};
  profile.add_steps(2s, {});
  EXPECT_EQ(profile[Work::softmax].seconds, 2);
  EXPECT_EQ(profile[Work::scores].seconds, 1);
}

TEST(Profile, CountsTheWorkOfAForwardPass) {
  const Model model = test::make_model(test::tiny_shape());
  const Config& c = model.config();
  Context context(model, {.threads = 2});
  Profile profile(2);
  std::vector<BatchRow> rows(5, BatchRow{.token = 3, .logits = false});
  rows.back().logits = true;
  context.record(&profile);
  const auto logits = context.forward(rows);
  const std::vector<float> recorded(logits.begin(), logits.end());

  EXPECT_EQ(profile[Work::embedding].calls, 1);
  EXPECT_EQ(profile[Work::head].calls, 1);
  EXPECT_EQ(profile[Work::head].amount.float_operations, 2 * c.n_embd * c.n_vocab);
  for (const Work work :
       {Work::attn_q, Work::attn_k, Work::attn_v, Work::attn_output, Work::ffn_gate, Work::ffn_up,
        Work::ffn_down, Work::cache, Work::scores, Work::softmax, Work::context})
    EXPECT_EQ(profile[work].calls, c.n_layer) << to_string(work);
  EXPECT_EQ(profile[Work::rope].calls, 2 * c.n_layer);
  EXPECT_EQ(profile[Work::attn_k].amount.int_operations, c.n_layer * 2 * c.n_embd * c.kv_width() * 5);
  // After the last attention only the row that wants logits goes on.
  EXPECT_EQ(profile[Work::ffn_down].amount.int_operations, 2 * c.n_embd * c.n_ff * (5 * (c.n_layer - 1) + 1));
  // Five rows see 1 + 2 + 3 + 4 + 5 cells; together they read five.
  EXPECT_EQ(profile[Work::scores].amount.float_operations, c.n_layer * 2 * 15 * c.q_width());
  EXPECT_EQ(profile[Work::scores].amount.bytes,
            c.n_layer * (2 * 5 * (c.kv_width() + c.q_width()) + 4 * 15 * c.n_head));

  // Recording moves no bit, and ends.
  context.record(nullptr);
  context.truncate(0, 0);
  const auto again = context.forward(rows);
  EXPECT_EQ(recorded, std::vector<float>(again.begin(), again.end()));
  EXPECT_EQ(profile[Work::embedding].calls, 1);
}

TEST(Profile, TellsTheScreenFromTheRowsItLeaves) {
  SynthShape shape = test::tiny_shape();
  shape.untied = true;
  const Model model = test::make_model(shape);
  const Config& c = model.config();
  Context context(model, {.screen_after = 0, .screen_min_bytes = 0});
  Profile profile(context.threads());
  context.record(&profile);
  const BatchRow row{.token = 3};
  context.forward_greedy({&row, 1});
  ASSERT_EQ(context.head_work().screened, 1);
  EXPECT_EQ(profile[Work::screen].calls, 1);
  EXPECT_EQ(profile[Work::screen].amount.bytes, context.head_work().screen_bytes);
  EXPECT_EQ(profile[Work::exact_rows].calls, 1);
  EXPECT_EQ(profile[Work::exact_rows].amount.float_operations, 2 * c.n_embd * context.head_work().survivors);
  EXPECT_EQ(profile[Work::head].calls, 0);
}

}  // namespace
}  // namespace bitnet
