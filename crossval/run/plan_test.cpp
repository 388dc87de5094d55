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
