#include "crossval/run/plan.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace crossval {
namespace {

const bitnet::Model& model() {
  static const bitnet::Model loaded =
      bitnet::Model::load(std::string(CROSSVAL_SOURCE_DIR) + "/fixtures/model/bundled.gguf");
  return loaded;
}

Case case_of(std::string id, std::string chat_template, std::string content) {
  Case c;
  c.id = std::move(id);
  c.chat_template = std::move(chat_template);
  c.messages = {{"user", std::move(content)}};
  return c;
}

TEST(Plan, AutoSaysWhatItChoseAndWhy) {
  const PlannedCase planned = plan_case(case_of("a", "auto", "hi"), model(), "suite.json");
  ASSERT_EQ(planned.remarks.size(), 1u);
  EXPECT_EQ(
      planned.remarks[0],
      "template llama3-chat: the file's chat template has `<|start_header_id|>` and `<|end_header_id|>`");
  EXPECT_EQ(planned.tokens, plan_case(case_of("b", "llama3-chat", "hi"), model(), "suite.json").tokens);
  EXPECT_TRUE(plan_case(case_of("c", "llama3-chat", "hi"), model(), "suite.json").remarks.empty());
}

TEST(Plan, TwoBosTokensAreKeptAndNoticed) {
  const PlannedCase planned = plan_case(case_of("a", "raw", "<|begin_of_text|>hi"), model(), "suite.json");
  const Token bos = *model().tokenizer().bos();
  ASSERT_GE(planned.tokens.size(), 2u);
  EXPECT_EQ(planned.tokens[0], bos);
  EXPECT_EQ(planned.tokens[1], bos);
  ASSERT_EQ(planned.remarks.size(), 1u);
  EXPECT_NE(planned.remarks[0].find("two BOS tokens"), std::string::npos) << planned.remarks[0];
}

TEST(Plan, ShardsAreDisjointAndTogetherAll) {
  Suite suite{.path = "suite.json", .sha256 = "", .cases = {}};
  for (int i = 0; i < 11; ++i)
    suite.cases.push_back(case_of((i % 2 ? "odd-" : "even-") + std::to_string(i), "raw", "x"));
  for (std::int64_t count = 1; count <= 6; ++count) {
    std::vector<std::string> dealt(6);
    std::string hash;
    for (std::int64_t index = 0; index < count; ++index) {
      const Selection part = select_cases(suite, "even-*", {index, count, "--shard"});
      EXPECT_EQ(part.planned, 6);
      hash = hash.empty() ? part.sha256 : hash;
      EXPECT_EQ(part.sha256, hash);
      for (std::size_t k = 0; k < part.cases.size(); ++k)
        dealt[k * static_cast<std::size_t>(count) + static_cast<std::size_t>(index)] = part.cases[k].id;
    }
    EXPECT_EQ(dealt, (std::vector<std::string>{"even-0", "even-2", "even-4", "even-6", "even-8", "even-10"}));
    EXPECT_EQ(hash, hash_of_plan({dealt.begin(), dealt.end()}));
  }
  EXPECT_THROW(select_cases(suite, "even-*", {6, 7, "--shard"}), bitnet::InputError);  // it would be empty
  EXPECT_THROW(select_cases(suite, "none", {}), bitnet::InputError);
  EXPECT_NE(hash_of_plan({"a", "b"}), hash_of_plan({"b", "a"}));
  EXPECT_NE(hash_of_plan({"a", "b"}), hash_of_plan({"a1 b"}));
}

TEST(Plan, ARemarkIsMadeOnce) {
  std::vector<PlannedCase> planned;
  for (const auto& [id, remarks] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"a", {}}, {"b", {"x", "y"}}, {"c", {"x"}}, {"d", {"x"}}}) {
    PlannedCase c;
    c.spec.id = id;
    c.remarks = remarks;
    planned.push_back(c);
  }
  EXPECT_EQ(remarks_of(planned), (std::vector<std::string>{"case `b` and 2 more: x", "case `b`: y"}));
  EXPECT_TRUE(remarks_of({}).empty());
}

}  // namespace
}  // namespace crossval
