// Traces by the command: recorded and replayed, with the exit codes of the contract.

#include "crossval/cli/cli_fixture.h"

namespace crossval::test {
namespace {

class TraceCli : public Cli {
 protected:
  std::string inputs() const { return "--model " + kModel + " --prompts " + kSmoke + " --quiet"; }
  Result record(const std::string& more) {
    return crossval("record " + inputs() + " --max-tokens 2 --out " + path("t") + " " + more);
  }
  Result replay(const std::string& more, const std::string& from = "") {
    return crossval((from.empty() ? inputs() : from) + " --max-tokens 2 --out " + path("r") +
                    " --reference trace:" + path("t") + " " + more);
  }
};

TEST_F(TraceCli, RecordedAndReplayed) {
  for (const std::string& values : {std::string("full"), std::string("sha256")}) {
    Result r = record("--reference emulator --values " + values);
    EXPECT_EQ(r.exit_code, 0) << r.output;
    r = replay("--candidate engine:rope=trace");
    EXPECT_EQ(r.exit_code, 0) << r.output;
    EXPECT_TRUE(r.output.starts_with("engine against a recorded trace of emulator")) << r.output;
    EXPECT_EQ(records("r")[0]["local"], values == "full");
  }
  // The last one is of hashes: whoever computes otherwise differs by an unknown amount.
  EXPECT_EQ(replay("--candidate oracle").exit_code, 1);
}

TEST_F(TraceCli, AnotherModelOrSuiteIsThreeUnlessAllowed) {
  ASSERT_EQ(record("--reference engine").exit_code, 0);
  std::ifstream in(kSmoke);
  std::ofstream(path("s.json")) << in.rdbuf() << "\n";
  const std::string other = "--model " + kModel + " --prompts " + path("s.json") + " --quiet";
  Result r = replay("", other);
  EXPECT_EQ(r.exit_code, 3) << r.output;
  EXPECT_NE(r.output.find("recorded with another suite"), std::string::npos) << r.output;
  EXPECT_FALSE(fs::exists(folder_ / "r"));
  EXPECT_EQ(replay("--allow-other-model", other).exit_code, 0);
  r = replay("--allow-other-model",
             "--model " + kRoot + "/fixtures/model/awkward.gguf --prompts " + kSmoke + " --quiet");
  EXPECT_EQ(r.exit_code, 3) << r.output;
}

TEST_F(TraceCli, BadInputIsTwo) {
  EXPECT_EQ(record("--reference engine --values some").exit_code, 2);
  EXPECT_EQ(record("--reference emulator:rope=trace").exit_code, 2);
  ASSERT_EQ(record("--reference oracle").exit_code, 0);
  EXPECT_EQ(replay("--candidate engine:rope=trace").exit_code, 2);  // the oracle has no table
  EXPECT_EQ(replay("--reference-batch 7").exit_code, 2);
  EXPECT_EQ(record("--reference trace:" + path("t")).exit_code, 2);
  EXPECT_EQ(crossval(inputs() + " --reference trace:" + kSmoke).exit_code, 2);
  EXPECT_EQ(crossval(inputs() + " --reference trace:").exit_code, 2);
  // Damaged in its last byte's place, and cut.
  fs::resize_file(path("t"), fs::file_size(path("t")) - 1);
  const Result r = replay("");
  EXPECT_EQ(r.exit_code, 2) << r.output;
  EXPECT_NE(r.output.find("copy or write it again"), std::string::npos) << r.output;
}

TEST_F(TraceCli, AFullDiskIsFourAndLeavesNothing) {
  const Result r = crossval("record " + inputs() + " --reference engine --out " + path("t"), "ulimit -f 64;");
  EXPECT_EQ(r.exit_code, 4) << r.output;
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace crossval::test
