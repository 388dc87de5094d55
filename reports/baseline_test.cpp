// A run that is held against a baseline: every rendering says the same.
#include <gtest/gtest.h>

#include <algorithm>

#include "reports/aggregate.h"
#include "reports/render.h"
#include "reports/testing/json_schema.h"
#include "reports/testing/sample_run.h"
#include "reports/testing/xml_checker.h"

namespace crossval::reports {
namespace {

using nlohmann::json;

json row(const std::string& what, const std::string& unit, double base, double now,
         const std::string& verdict) {
  return {{"what", what}, {"unit", unit},  {"base", base},
          {"now", now},   {"noise", 0.03}, {"verdict", verdict}};
}

json baseline_record(const std::string& verdict) {
  const bool pass = verdict == "PASS";
  return {
      {"type", "baseline"},
      {"file", "main.json"},
      {"sha256", std::string(64, '0')},
      {"time", "2026-01-02T03:04:05Z"},
      {"verdict", verdict},
      {"headline",
       pass ? "not worse than the baseline" : "worse than the baseline: decode 26.8 -> 20.1 (-25.0 %)"},
      {"rows",
       {row("decode of 32 tokens", "tokens/s", 26.8, pass ? 26.9 : 20.1, pass ? "same" : "worse"),
        row("prefill of 128 tokens", "tokens/s", 170, 150, "within noise"),
        row("1 - cosine of l_out<b>|`x` (free)", "error", 1e-9, 1e-9, "same"),
        {{"what", "speed"}, {"verdict", "not compared"}, {"why", "the baseline is of another <i>CPU</i>"}}}}};
}

// A passing run with such a record before its summary, which says `verdict`.
std::vector<json> held_against(const std::string& baseline, const std::string& verdict) {
  std::vector<json> all = testing::sample_records({});
  json summary = all.back();
  all.back() = baseline_record(baseline);
  summary["verdict"] = verdict;
  summary["exit"] = verdict == "PASS" ? 0 : 1;
  summary["headline"] =
      verdict + ": 4 of 4 cases pass; " + baseline_record(baseline)["headline"].get<std::string>();
  all.push_back(summary);
  return all;
}

Rendered rendered(const testing::ScratchDirectory& scratch, const std::vector<json>& records) {
  return render(scratch.write("results.jsonl", testing::to_jsonl(records)), scratch.path());
}

TEST(Baseline, EveryReportSaysWhatBecameWorse) {
  testing::ScratchDirectory scratch;
  const Rendered r = rendered(scratch, held_against("FAIL", "FAIL"));
  EXPECT_EQ(r.verdict, "FAIL");
  EXPECT_EQ(r.exit_code, 1);
  const json report = json::parse(scratch.read("report.json"));
  EXPECT_EQ(report["verdict"], "FAIL");
  EXPECT_EQ(report["baseline"]["verdict"], "FAIL");
  EXPECT_EQ(report["baseline"]["rows"].size(), 4u);
  const std::string junit = scratch.read("junit.xml");
  const auto document = testing::parse_xml(junit);
  int failures = 0;
  for (const auto* test_case : document->all("testcase"))
    if (!test_case->all("failure").empty()) {
      ++failures;
      EXPECT_EQ(test_case->attributes.at("name"), "decode of 32 tokens");
    }
  EXPECT_EQ(failures, 1);
  EXPECT_NE(junit.find("26.8 tokens/s -&gt; 20.1 tokens/s"), std::string::npos);
  EXPECT_NE(junit.find("<skipped message=\"the baseline is of another"), std::string::npos);
  const std::string markdown = scratch.read("summary.md");
  EXPECT_NE(markdown.find("### Against the baseline"), std::string::npos);
  // What became worse stands first; unchanged errors are left out, they are many.
  const std::size_t worse = markdown.find("| decode of 32 tokens |"),
                    noisy = markdown.find("| prefill of 128 tokens |");
  ASSERT_NE(worse, std::string::npos);
  EXPECT_LT(worse, noisy);
  EXPECT_NE(markdown.find("within noise"), std::string::npos);
  EXPECT_EQ(markdown.find("cosine of l_out"), std::string::npos);
  const std::string html = scratch.read("index.html");
  EXPECT_NE(html.find("id=\"baseline\""), std::string::npos);
  EXPECT_NE(html.find("−25.0 %"), std::string::npos);
  EXPECT_EQ(html.find("l_out<b>"), std::string::npos);
  EXPECT_EQ(html.find("<i>CPU"), std::string::npos);
  EXPECT_EQ(markdown.find("<i>CPU"), std::string::npos);
}

TEST(Baseline, WithinNoiseIsNoFailure) {
  testing::ScratchDirectory scratch;
  const Rendered r = rendered(scratch, held_against("PASS", "PASS"));
  EXPECT_EQ(r.verdict, "PASS");
  EXPECT_EQ(scratch.read("junit.xml").find("<failure"), std::string::npos);
}

TEST(Baseline, APassThatIsWorseThanItsBaselineIsAContradiction) {
  testing::ScratchDirectory scratch;
  const Rendered r = rendered(scratch, held_against("FAIL", "PASS"));
  EXPECT_EQ(r.verdict, "INVALID");
  EXPECT_EQ(r.exit_code, 4);
}

TEST(Baseline, DamagedRecordsAreRefused) {
  testing::ScratchDirectory scratch;
  std::vector<json> all = held_against("PASS", "PASS");
  for (json& record : all)
    if (record["type"] == "baseline") record.erase("rows");
  EXPECT_THROW(rendered(scratch, all), RecordError);
}

TEST(Baseline, RecordAndReportConformToTheirSchemas) {
  const auto schema = [](const char* name) {
    return json::parse(
        testing::read_file(std::filesystem::path(CROSSVAL_SOURCE_DIR) / "docs/reference/schema" / name));
  };
  const json results = schema("results.schema.json");
  for (const char* verdict : {"PASS", "FAIL"})
    EXPECT_EQ(testing::schema_errors(results, baseline_record(verdict)), std::vector<std::string>{});
  json damaged = baseline_record("PASS");
  damaged["rows"][0]["verdict"] = "splendid";
  EXPECT_FALSE(testing::schema_errors(results, damaged).empty());
  damaged.erase("rows");
  EXPECT_FALSE(testing::schema_errors(results, damaged).empty());
  testing::ScratchDirectory scratch;
  rendered(scratch, held_against("FAIL", "FAIL"));
  EXPECT_EQ(testing::schema_errors(schema("report.schema.json"), json::parse(scratch.read("report.json"))),
            std::vector<std::string>{});
}

}  // namespace
}  // namespace crossval::reports
