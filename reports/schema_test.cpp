// The JSON Schemas under docs/reference/schema, held against records and reports, and against damaged ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "reports/render.h"
#include "reports/testing/json_schema.h"
#include "reports/testing/sample_run.h"

namespace crossval::reports {
namespace {

using nlohmann::json;
using testing::SampleOptions;
using testing::schema_errors;

json load_schema(const char* name) {
  return json::parse(
      testing::read_file(std::filesystem::path(CROSSVAL_SOURCE_DIR) / "docs/reference/schema" / name));
}

std::vector<SampleOptions> all_options() {
  SampleOptions pass;
  SampleOptions fail;
  fail.failing_case = 1;
  SampleOptions incomparable;
  incomparable.last_case_verdict = "INCOMPARABLE";
  SampleOptions invalid;
  invalid.last_case_verdict = "INVALID";
  SampleOptions hostile = fail;
  hostile.hostile = "<b>\xff|";
  SampleOptions killed;
  killed.with_summary = false;
  return {pass, fail, incomparable, invalid, hostile, killed};
}

TEST(Schema, RecordsConform) {
  const json schema = load_schema("results.schema.json");
  for (const SampleOptions& options : all_options()) {
    for (const json& record : testing::sample_records(options)) {
      EXPECT_EQ(schema_errors(schema, record), std::vector<std::string>{}) << record.dump().substr(0, 300);
    }
  }
}

TEST(Schema, UnknownTypesAndFieldsConform) {
  const json schema = load_schema("results.schema.json");
  EXPECT_TRUE(schema_errors(schema, {{"type", "weather"}, {"degrees", 21}}).empty());
  EXPECT_TRUE(
      schema_errors(schema, {{"type", "plan"}, {"cases", json::array()}, {"later", {{"x", 1}}}}).empty());
}

TEST(Schema, DamagedRecordsDoNotConform) {
  const json schema = load_schema("results.schema.json");
  const std::vector<json> records = testing::sample_records({});
  const std::vector<std::pair<std::string, std::vector<std::string>>> required = {
      {"run", {"schema", "claim", "model", "gates", "candidate", "reference", "taps"}},
      {"plan", {"cases"}},
      {"tokens", {"case", "step", "candidate", "reference", "verdict"}},
      {"comparison",
       {"case", "step", "tap", "mode", "cosine", "nmse", "norm_ratio", "max_abs", "bits", "count",
        "verdict"}},
      {"case", {"id", "verdict"}},
      {"skip", {"count", "reason"}},
      {"canary", {"tap", "fault", "caught"}},
      {"perf", {"participant", "seconds"}},
      {"summary", {"planned", "made", "skipped", "verdict", "exit", "cases"}}};
  for (const auto& [name, fields] : required) {
    const std::string type = name;
    const auto it =
        std::find_if(records.begin(), records.end(), [&](const json& r) { return r["type"] == type; });
    ASSERT_NE(it, records.end()) << type;
    for (const std::string& field : fields) {
      json without = *it;
      without.erase(field);
      EXPECT_FALSE(schema_errors(schema, without).empty()) << type << " without " << field;
      json wrong = *it;
      wrong[field] = json::array({json::object()});
      EXPECT_FALSE(schema_errors(schema, wrong).empty()) << type << " with a wrong " << field;
    }
  }
  EXPECT_FALSE(schema_errors(schema, {{"kind", "run"}}).empty());
  json number =
      *std::find_if(records.begin(), records.end(), [](const json& r) { return r["type"] == "comparison"; });
  number["cosine"] = "nan";
  EXPECT_TRUE(schema_errors(schema, number).empty());
  number["cosine"] = "NaN";
  EXPECT_FALSE(schema_errors(schema, number).empty());
}

TEST(Schema, ReportsConform) {
  const json schema = load_schema("report.schema.json");
  for (const SampleOptions& options : all_options()) {
    testing::ScratchDirectory scratch;
    render(scratch.write("results.jsonl", testing::to_jsonl(testing::sample_records(options))),
           scratch.path());
    json report = json::parse(scratch.read("report.json"));
    EXPECT_EQ(schema_errors(schema, report), std::vector<std::string>{});
    report.erase("verdict");
    EXPECT_FALSE(schema_errors(schema, report).empty());
  }
}

TEST(Schema, TheCheckKnowsItsKeywords) {
  EXPECT_THROW(schema_errors({{"pattern", "x"}}, "x"), std::runtime_error);
  EXPECT_FALSE(schema_errors({{"oneOf", {{{"type", "number"}}, {{"minimum", 0}}}}}, 1).empty());
  EXPECT_FALSE(schema_errors({{"items", {{"type", "string"}}}}, json::array({1})).empty());
}

}  // namespace
}  // namespace crossval::reports
