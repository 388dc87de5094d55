// Failures of all kinds, saved by a run and replayed where there is neither the model nor the suite.

#include "crossval/cli/cli_fixture.h"

namespace crossval::test {
namespace {

using Replay = Cli;

const std::string kWitness = kRoot + "/fixtures/faults/witness.json";

// The bundle of a run, alone in a folder of its own; the report is gone.
std::string bundle_of(const fs::path& report, const fs::path& scratch) {
  fs::create_directories(scratch);
  std::string found;
  for (const auto& entry : fs::directory_iterator(report / "replay")) {
    EXPECT_TRUE(found.empty()) << "more than one bundle";
    found = (scratch / entry.path().filename()).string();
    EXPECT_LT(entry.file_size(), 1'000'000u) << found;
    fs::rename(entry.path(), found);
  }
  fs::remove_all(report);
  return found;
}

TEST_F(Replay, FailuresOfAllKindsGiveTheSameVerdictWithoutTheModel) {
  struct Failure {
    const char *fault, *tap, *who;
  };
  const Failure failures[] = {{"missing-scale", "ffn_up-0", "candidate wrong"},
                              {"reference:flipped-weight", "Qcur-3#1", "reference wrong"},
                              {"layer-norm", "attn_norm-0", "candidate wrong"},
                              {"rope-base", "Qcur-0#2", "candidate wrong"},
                              {"silu-for-relu2", "ffn_act-0", "candidate wrong"},
                              {"kv-heads-mapped-by-remainder", "kq-0", "candidate wrong"},
                              {"reference:mask-off-by-one", "kq_soft_max-0", "reference wrong"},
                              {"cache-of-values-off-by-one", "attn_ctx-2", "candidate wrong"},
                              {"residual-dropped", "ffn_inp-0", "candidate wrong"},
                              {"embedding-rows-swapped", "inp_embd", "candidate wrong"},
                              {"vocabulary-cut", "result_output", "candidate wrong"},
                              {"not-a-number", "ffn_up-1", "candidate wrong"}};
  for (const Failure& f : failures) {
    SCOPED_TRACE(f.fault);
    const Result run =
        crossval("--model " + kModel + " --prompts " + kWitness +
                 " --filter first --max-tokens 1 --quiet --inject " + f.fault + " --out " + path("report"));
    ASSERT_EQ(run.exit_code, 1) << run.output;
    const json located = records("report").back().at("located");
    ASSERT_TRUE(located.contains("bundle")) << located.dump();
    EXPECT_TRUE(fs::exists(folder_ / "report" / located["bundle"].get<std::string>()));
    const std::string bundle = bundle_of(folder_ / "report", folder_ / "scratch" / f.fault);
    const Result again = shell("cd " + path("scratch") + " && " CROSSVAL_BINARY " replay --json " + bundle);
    EXPECT_EQ(again.exit_code, 1) << again.output;
    const json made = json::parse(again.output);
    EXPECT_EQ(made["verdict"], "FAIL");
    EXPECT_EQ(made["who"], f.who) << again.output;
    EXPECT_EQ(made["tap"], f.tap);
    EXPECT_EQ(made["tap"], located["tap"]);
    EXPECT_EQ(made["recorded"]["why"], located["why"]);
    EXPECT_EQ(made["evaluator"]["bits"], 0) << again.output;
    EXPECT_EQ(made["held"], "recorded");
    EXPECT_TRUE(made["engine"]["pass"]) << again.output;  // without the fault
  }
}

TEST_F(Replay, SaysInWordsWhatWasFoundThenAndNow) {
  const Result run = crossval("--model " + kModel + " --prompts " + kWitness +
                              " --filter first --quiet --inject silu-for-relu2 --out " + path("report"));
  EXPECT_NE(run.output.find("without the model: crossval replay"), std::string::npos) << run.output;
  const std::string bundle = bundle_of(folder_ / "report", folder_ / "scratch");
  const Result again = crossval("replay --isa scalar " + bundle);
  EXPECT_EQ(again.exit_code, 1) << again.output;
  for (const char* words :
       {"FAIL: candidate wrong in ffn_act-0", "SiLU instead of ReLU²: 0 bits left", "1 of its columns",
        "engine here (scalar)", "arbiter: what is held, against the oracle here"})
    EXPECT_NE(again.output.find(words), std::string::npos) << words << "\n" << again.output;
  EXPECT_EQ(crossval("replay --isa none " + bundle).exit_code, 2);
}

TEST_F(Replay, AHostileBundleIsBadInput) {
  EXPECT_EQ(crossval("replay " + path("nowhere")).exit_code, 2);
  EXPECT_EQ(crossval("replay " + kModel).exit_code, 2);
  std::ofstream(folder_ / "junk") << std::string(5000, '{');
  EXPECT_EQ(crossval("replay " + path("junk")).exit_code, 2);
  EXPECT_EQ(crossval("replay").exit_code, 2);
}

TEST_F(Replay, ANewRunRemovesTheBundlesOfTheOldOneAndNothingElse) {
  const std::string job =
      "--model " + kModel + " --prompts " + kWitness + " --filter first --quiet --out " + path("report");
  EXPECT_EQ(crossval(job + " --inject layer-norm").exit_code, 1);
  EXPECT_TRUE(fs::exists(folder_ / "report/replay"));
  std::ofstream(folder_ / "report/replay/mine.txt") << "x";
  EXPECT_EQ(crossval(job).exit_code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "report/replay/mine.txt"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "report/replay"), {}), 1);
}

}  // namespace
}  // namespace crossval::test
