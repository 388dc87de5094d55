// The records of real runs, held against the published schema.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "crossval/run/run.h"
#include "reports/testing/json_schema.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kSource = CROSSVAL_SOURCE_DIR;

TEST(Records, FollowTheSchemaWhateverTheVerdict) {
  std::ifstream in(kSource / "docs/reference/schema/results.schema.json");
  const json schema = json::parse(in);
  const fs::path out = fs::path(testing::TempDir()) / "crossval-records";
  fs::remove_all(out);
  std::ofstream(out.string() + ".json")
      << R"({"schema":"crossval.suite/1","defaults":{"max_tokens":1},"cases":[
      {"id":"good","prompt":"2+2=","expect":{"contains":"4"}},
      {"id":"wrong","prompt":"2+2=","expect":{"equals":"5"}},
      {"id":"strict","prompt":"2+2=","gates":[
        {"name":"bits","mode":"free","metric":"bits","taps":["*"],"threshold":0,"or_within_noise":true}]}]})";
  RunOptions options;
  options.model = kSource / "fixtures/model/bundled.gguf";
  options.prompts = out.string() + ".json";
  options.reference = "oracle";
  options.out = out;
  options.quiet = true;
  EXPECT_EQ(run(options).verdict, Verdict::fail);

  std::set<std::string> types, verdicts;
  std::ifstream records(out / "results.jsonl");
  for (std::string line; std::getline(records, line);) {
    const json record = json::parse(line);
    types.insert(record.at("type"));
    if (record.contains("verdict")) verdicts.insert(record["verdict"]);
    EXPECT_EQ(reports::testing::schema_errors(schema, record), std::vector<std::string>{})
        << line.substr(0, 300);
  }
  EXPECT_EQ(types, (std::set<std::string>{"run", "plan", "canary", "comparison", "tokens", "case", "perf",
                                          "summary"}));
  EXPECT_EQ(verdicts, (std::set<std::string>{"PASS", "FAIL"}));
  fs::remove_all(out);
  fs::remove(out.string() + ".json");
}

}  // namespace
}  // namespace crossval
