#include "crossval/suite/suite.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace crossval {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_suite(text, "qa.json");
  } catch (const bitnet::InputError& e) {
    return e.what();
  }
  return "accepted";
}

std::string with_case(const std::string& body) {
  return R"({"schema":"crossval.suite/1","cases":[)" + body + "]}";
}

TEST(Suite, DefaultsAreInheritedAndOverridden) {
  const Suite suite = parse_suite(R"({"schema":"crossval.suite/1",
      "defaults":{"template":"instruct","max_tokens":8,"stop":["\n"]},
      "cases":[{"id":"a","prompt":"2+2="},
               {"id":"b","prompt":"x","template":"raw","max_tokens":3,"sampling":{"temperature":0.5,"seed":7}},
               {"id":"c","tokens":[1,2],"continuation":[3]},
               {"id":"d","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],
                "expect":{"any_of":["x","y"]}}]})",
                                  "qa.json");
  ASSERT_EQ(suite.cases.size(), 4u);
  EXPECT_EQ(suite.cases[0].chat_template, "instruct");
  EXPECT_EQ(suite.cases[0].max_tokens, 8);
  EXPECT_EQ(suite.cases[0].stop, std::vector<std::string>{"\n"});
  EXPECT_EQ(suite.cases[1].chat_template, "raw");
  EXPECT_EQ(suite.cases[1].max_tokens, 3);
  EXPECT_EQ(suite.cases[1].sampling.seed, 7u);
  EXPECT_EQ(suite.cases[2].continuation, std::vector<bitnet::Token>{3});
  EXPECT_EQ(suite.cases[3].messages.size(), 2u);
  EXPECT_EQ(suite.cases[3].expect->kind, Expectation::Kind::any_of);
}

TEST(Suite, BareArrayOfStrings) {
  const Suite suite = parse_suite(R"(["one","two"])", "s.json");
  ASSERT_EQ(suite.cases.size(), 2u);
  EXPECT_EQ(suite.cases[1].id, "case-1");
  EXPECT_EQ(suite.cases[1].messages[0].content, "two");
}

TEST(Suite, Base64TwinHoldsAnyBytes) {
  const Suite suite = parse_suite(with_case(R"({"id":"a","prompt_b64":"/wD+"})"), "s.json");
  EXPECT_EQ(suite.cases[0].messages[0].content, std::string("\xff\0\xfe", 3));
}

TEST(Suite, MistakesAreNamedWithFileAndField) {
  const std::pair<std::string, std::string> bad[] = {
      {"", "qa.json: not valid JSON"},
      {"{", "qa.json: not valid JSON"},
      {"3", "qa.json: cases: must be an array"},
      {"[]", "qa.json: cases: is empty"},
      {"[1]", "cases[0]: a bare array must hold strings only"},
      {"{}", "schema: is missing"},
      {R"({"schema":"crossval.suite/9","cases":[]})", "this version reads crossval.suite/1"},
      {R"({"schema":"crossval.suite/1"})", "cases: is missing"},
      {R"({"schema":"crossval.suite/1","cases":[],"extra":1})", "extra: unknown key"},
      {with_case(R"({"prompt":"x"})"), "cases[0].id: is missing"},
      {with_case(R"({"id":"a","prompt":"x"},{"id":"a","prompt":"y"})"), "stands there twice"},
      {with_case(R"({"id":"a"})"), "needs exactly one of prompt, messages, tokens"},
      {with_case(R"({"id":"a","prompt":"x","tokens":[1]})"), "needs exactly one of prompt, messages, tokens"},
      {with_case(R"({"id":"a","prompt":"x","promt":"y"})"), "cases[0].promt: unknown key"},
      {with_case(R"({"id":"a","prompt":"x","max_tokens":-1})"), "cases[0].max_tokens: must be between"},
      {with_case(R"({"id":"a","prompt":"x","max_tokens":1.5})"), "cases[0].max_tokens: must be an integer"},
      {with_case(R"({"id":"a","prompt":"x","max_tokens":18446744073709551615})"), "must be an integer"},
      {with_case(R"({"id":"a","prompt":"x","template":"chatml2"})"), "cases[0].template"},
      {with_case(R"({"id":"a","prompt":"x","stop":[""]})"), "must not hold an empty string"},
      {with_case(R"({"id":"a","prompt":"x","expect":{}})"), "needs exactly one of equals"},
      {with_case(R"({"id":"a","prompt":"x","expect":{"equals":"a","contains":"b"}})"),
       "needs exactly one of equals"},
      {with_case(R"({"id":"a","prompt":"x","expect":{"regex":"("}})"), "is no ECMAScript expression"},
      {with_case(R"({"id":"a","prompt":"x","expect":{"any_of":[]}})"), "must not be empty"},
      {with_case(R"({"id":"a","prompt":"x","continuation":[1]})"), "needs tokens beside it"},
      {with_case(R"({"id":"a","tokens":[-1]})"), "must be an array of token ids"},
      {with_case(R"({"id":"a","tokens":[]})"), "must not be empty"},
      {with_case(R"({"id":"a","prompt_b64":"!"})"), "is not valid base64"},
      {with_case(R"({"id":"a","messages":[{"role":"robot","content":""}]})"),
       "must be system, user or assistant"},
      {with_case(R"({"id":"a","prompt":"x","gates":[]})"), "cases[0].gates: must be a non-empty array"},
      {with_case(R"({"id":"a","prompt":"x","gates":[{"name":"g"}]})"), "cases[0].gates[0].mode: is missing"},
      {with_case(R"({"id":"a","prompt":"x","sampling":{"temprature":1}})"), "unknown key"},
  };
  for (const auto& [text, expected] : bad) {
    const std::string message = error_of(text);
    EXPECT_NE(message.find(expected), std::string::npos) << text << "\n-> " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(Expectation, Kinds) {
  using Kind = Expectation::Kind;
  EXPECT_TRUE(meets({Kind::equals, {"Paris"}, {}}, " Paris\n", {}));
  EXPECT_FALSE(meets({Kind::equals, {"Paris"}, {}}, "Paris.", {}));
  EXPECT_TRUE(meets({Kind::contains, {"ari"}, {}}, "Paris", {}));
  EXPECT_FALSE(meets({Kind::contains, {"x"}, {}}, "Paris", {}));
  EXPECT_TRUE(meets({Kind::regex, {"^P.*s$"}, {}}, "Paris", {}));
  EXPECT_FALSE(meets({Kind::regex, {"^P.*x$"}, {}}, "Paris", {}));
  EXPECT_TRUE(meets({Kind::any_of, {"Rome", "Paris"}, {}}, "Paris", {}));
  EXPECT_FALSE(meets({Kind::any_of, {"Rome"}, {}}, "Paris", {}));
  EXPECT_TRUE(meets({Kind::token_ids, {}, {1, 2}}, "", {1, 2}));
  EXPECT_FALSE(meets({Kind::token_ids, {}, {1, 2}}, "", {1, 2, 3}));
}

}  // namespace
}  // namespace crossval
