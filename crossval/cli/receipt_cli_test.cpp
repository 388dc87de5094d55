// `verify-receipt` and `--baseline`, as their users run them.

#include "crossval/cli/cli_fixture.h"

namespace crossval::test {
namespace {

using Receipts = Cli;

TEST_F(Receipts, AreVerifiedByFileOrFolder) {
  ASSERT_EQ(crossval(main_job("report")).exit_code, 0);
  for (const std::string& name : {path("report"), path("report/receipt.json")}) {
    const Result result = crossval("verify-receipt " + name + " --model " + kModel + " --prompts " + kSmoke);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    EXPECT_NE(result.output.find("no real reference"), std::string::npos) << result.output;
    EXPECT_NE(result.output.find("the receipt follows from its records"), std::string::npos) << result.output;
  }
  const Result strict = crossval("verify-receipt --strict " + path("report"));
  EXPECT_EQ(strict.exit_code, 1);
  EXPECT_NE(strict.output.find("NOT PROVEN no real reference"), std::string::npos) << strict.output;
  const Result other = crossval("verify-receipt " + path("report") + " --model " + kSmoke);
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_NE(other.output.find("MISMATCH the model"), std::string::npos) << other.output;
}

TEST_F(Receipts, ThatWereForgedAreAFailureAndDamagedOnesBadInput) {
  ASSERT_EQ(crossval(main_job("report")).exit_code, 0);
  json receipt = json::parse(std::ifstream(folder_ / "report/receipt.json"));
  receipt["figures"]["comparisons"]["made"] = 64000;
  std::ofstream(folder_ / "report/receipt.json") << receipt.dump();
  const Result forged = crossval("verify-receipt " + path("report"));
  EXPECT_EQ(forged.exit_code, 1);
  EXPECT_NE(forged.output.find("/figures/comparisons/made: the receipt says 64000"), std::string::npos)
      << forged.output;
  std::ofstream(folder_ / "report/receipt.json") << "{";
  EXPECT_EQ(crossval("verify-receipt " + path("report")).exit_code, 2);
  EXPECT_EQ(crossval("verify-receipt " + path("nowhere")).exit_code, 2);
}

TEST_F(Receipts, BaselinesAreWrittenHeldAgainstAndRefused) {
  const std::string job = main_job("report") + " --filter add-2-2 --taps none --threads 1 --baseline ";
  const std::string file = path("baseline.json");
  const Result missing = crossval(job + file);
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.output.find("--update-baseline"), std::string::npos) << missing.output;
  EXPECT_FALSE(fs::exists(folder_ / "report"));
  ASSERT_EQ(crossval(job + file + " --update-baseline").exit_code, 0);
  json baseline = json::parse(std::ifstream(file));
  for (const char* phase : {"prefill", "decode"})
    for (json& n : baseline["speeds"][0][phase]["tokens_per_second"]) n = n.get<double>() * 1000;
  std::ofstream(file) << baseline.dump();
  const Result slower = crossval(job + file);
  EXPECT_EQ(slower.exit_code, 1);
  EXPECT_NE(slower.output.find("worse than the baseline: prefill"), std::string::npos) << slower.output;
  EXPECT_EQ(crossval("verify-receipt " + path("report")).exit_code, 0);
  const Result other = crossval(job + file + " --max-tokens 1");
  EXPECT_EQ(other.exit_code, 3);
  EXPECT_NE(other.output.find("is of another plan"), std::string::npos) << other.output;
}

}  // namespace
}  // namespace crossval::test
