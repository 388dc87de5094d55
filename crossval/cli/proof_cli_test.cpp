// `locate`, `selftest` and `--inject`, as their users run them.

#include "crossval/cli/cli_fixture.h"

namespace crossval::test {
namespace {

using Proof = Cli;

const std::string kWitness = kRoot + "/fixtures/faults/witness.json";

TEST_F(Proof, SelftestBlamesEveryFaultAndRaisesNoAlarm) {
  const Result result = crossval("selftest --quiet --out " + path("selftest"));
  EXPECT_EQ(result.exit_code, 0) << result.output;
  const json made = json::parse(std::ifstream(folder_ / "selftest/selftest.json"));
  EXPECT_GE(made["faults"].size(), 60u);
  std::map<std::string, int> planted;
  for (const json& f : made["faults"]) {
    ++planted[f["planted_on"]];
    EXPECT_TRUE(f["detected"]) << f.dump();
    EXPECT_TRUE(f["side_ok"]) << f.dump();
    EXPECT_TRUE(f["operation_ok"]) << f.dump();
  }
  EXPECT_EQ(planted["candidate"], planted["reference"]);
  EXPECT_GE(made["clean_runs"].get<int>(), 100);  // 200 and more with the instruction sets of one x86-64
  EXPECT_EQ(made["false_alarms"], 0) << made["alarms"].dump();
  for (const char* file : {"selftest/selftest.md", "selftest/index.html"}) {
    std::ifstream in(folder_ / file);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    EXPECT_NE(text.find("silu-for-relu2"), std::string::npos) << file;
  }
}

TEST_F(Proof, SelftestReplacesItsOwnFolderOnly) {
  fs::create_directories(folder_ / "mine");
  std::ofstream(folder_ / "mine/notes.txt") << "x";
  const Result refused = crossval("selftest --quiet --faults-only --filter double-bos --out " + path("mine"));
  EXPECT_EQ(refused.exit_code, 2) << refused.output;
  EXPECT_TRUE(fs::exists(folder_ / "mine/notes.txt"));
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(crossval("selftest --quiet --faults-only --filter double-bos --out " + path("own")).exit_code,
              0);
  EXPECT_EQ(crossval("selftest --quiet --filter no-such-fault --out " + path("own")).exit_code, 2);
}

TEST_F(Proof, SelftestListsItsCatalogue) {
  const Result result = crossval("selftest --list");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.output.find("silu-for-relu2"), std::string::npos);
  EXPECT_NE(result.output.find("microsoft/BitNet #588"), std::string::npos);
}

TEST_F(Proof, SelftestNamesTheFoldersWhereItLookedForItsModels) {
  const Result result = crossval("selftest --quiet --out " + path("out"), "CROSSVAL_FIXTURES=/nowhere");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.output.find("/nowhere"), std::string::npos) << result.output;
}

TEST_F(Proof, LocatePrintsTheGuiltyOperationAndItsLikeness) {
  const Result result =
      crossval("locate --model " + kModel + " --prompts " + kWitness + " --case first --out " +
               path("report") + " --quiet --inject silu-for-relu2");
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_NE(result.output.find("candidate wrong in ffn_act-0"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("SiLU instead of ReLU²: 0 bits left"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("ffn_act-0"), std::string::npos);
}

TEST_F(Proof, LocateAsJsonHasEveryOperation) {
  const Result result = crossval("locate --json --model " + kModel + " --prompts " + kWitness +
                                 " --case first --out " + path("report") + " --quiet");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  const json made = json::parse(result.output);
  EXPECT_EQ(made["verdict"], "PASS");
  EXPECT_TRUE(made["who"].is_null());
  EXPECT_EQ(made["taps"].size(), 83u);
  for (const json& tap : made["taps"]) {
    EXPECT_TRUE(tap["candidate"]["pass"]) << tap.dump();
    EXPECT_TRUE(tap["reference"]["pass"]) << tap.dump();
  }
}

TEST_F(Proof, AFaultThatNobodyKnowsIsAUsageError) {
  const Result result = crossval(main_job("report") + " --inject no-such-fault");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.output.find("silu-for-relu2"), std::string::npos) << result.output;
}

TEST_F(Proof, EveryRunCarriesACanaryThatIsCaught) {
  ASSERT_EQ(crossval(main_job("report")).exit_code, 0);
  int canaries = 0;
  for (const json& r : records("report")) {
    if (r["type"] != "canary") continue;
    ++canaries;
    EXPECT_TRUE(r["caught"]) << r.dump();
  }
  EXPECT_EQ(canaries, 1);
}

TEST_F(Proof, GatesThatCatchNothingMakeTheRunInvalid) {
  // No finite difference is as great; only a value that is no number still fails.
  std::ofstream(folder_ / "blind.json") << R"({"schema": "crossval.gates/1", "gates": [
    {"name": "blind", "mode": "free", "metric": "nmse", "taps": ["l_out"], "threshold": 1e30}]})";
  int invalid = 0;
  for (const char* shard : {"0/1", "0/2", "1/2", "0/3"}) {
    const Result result =
        crossval(main_job("report") + " --gates " + path("blind.json") + " --shard " + shard);
    for (const json& r : records("report"))
      if (r["type"] == "canary") {
        EXPECT_EQ(result.exit_code, r["caught"].get<bool>() ? 0 : 4) << r.dump();
        invalid += !r["caught"].get<bool>();
      }
  }
  EXPECT_GT(invalid, 0);
}

TEST_F(Proof, ARunWithAFaultSaysSoInItsRecords) {
  EXPECT_EQ(crossval(main_job("report") + " --inject reference:missing-scale").exit_code, 1);
  const auto all = records("report");
  EXPECT_EQ(all.front()["reference"]["details"]["fault"], "missing-scale");
  EXPECT_EQ(all.back()["located"]["who"], "reference wrong");
  EXPECT_EQ(all.back()["located"]["tap"], "ffn_up-0");
  EXPECT_EQ(all.back()["quadrant"], "reference wrong");
}

TEST_F(Proof, TheEngineKeepsItsInvariants) {
  const std::string suite = kRoot + "/fixtures/suites/qa.json";
  // Seven cases and more, so that every way takes its turn.
  const Result result =
      crossval("--model " + kModel + " --prompts " + suite + " --reference self --filter 'capital-*' --out " +
               path("report") + " --quiet");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_NE(result.output.find("no reference was involved"), std::string::npos) << result.output;
  std::int64_t values = 0, cases = 0;
  for (const json& r : records("report")) {
    cases += r["type"] == "case";
    if (r["type"] != "comparison") continue;
    values += r["count"].get<std::int64_t>();
    EXPECT_EQ(r["bits"], 0) << r.dump();
  }
  EXPECT_GE(cases, 7);
  EXPECT_GT(values, 1000000);
}

TEST_F(Proof, EachInvariantNoticesAFaultOfTheEngine) {
  for (const char* way : {"isa", "threads", "split", "mixed", "padded", "forked", "restored"}) {
    const Result result =
        crossval(main_job("report") + " --filter add-2-2 --inject flipped-weight --reference self:as=" + way);
    EXPECT_EQ(result.exit_code, 1) << way << result.output;
    EXPECT_NE(result.output.find("candidate wrong in Qcur-3#1"), std::string::npos) << result.output;
  }
  EXPECT_EQ(crossval(main_job("report") + " --reference self:as=magic").exit_code, 2);
  EXPECT_EQ(crossval(main_job("report") + " --candidate self").exit_code, 2);
}

TEST_F(Proof, OthersAreHeldAgainstThemselvesTokenByToken) {
  const Result result = crossval(main_job("report") + " --candidate oracle --reference self");
  EXPECT_EQ(result.exit_code, 0) << result.output;
}

}  // namespace
}  // namespace crossval::test
