// The command as its users run it: exit codes, output, and what stays on disk.

#include "crossval/cli/cli_fixture.h"

namespace {

using namespace crossval::test;

TEST_F(Cli, TheMainJobNeedsNoSubcommand) {
  const Result r = crossval(main_job("report"));
  EXPECT_EQ(r.exit_code, 0) << r.output;
  EXPECT_TRUE(r.output.starts_with(
      "engine against our emulator of bitnet.cpp; no bitnet.cpp was involved\nPASS: 3 of 3 cases"))
      << r.output;
  EXPECT_EQ(crossval("run " + main_job("report2")).exit_code, 0);
  EXPECT_EQ(figures("report"), figures("report2"));
  for (const char* file : {"results.jsonl", "report.json", "junit.xml", "summary.md", "index.html"})
    EXPECT_TRUE(fs::exists(folder_ / "report" / file)) << file;
}

TEST_F(Cli, HelpAndVersionAreSuccesses) {
  for (const char* arguments : {"--help", "run --help", "record --help", "list --help", "merge --help",
                                "render --help", "--version", "doctor"})
    EXPECT_EQ(crossval(arguments).exit_code, 0) << arguments;
}

TEST_F(Cli, UsageErrorsAreTwoAndRunNothing) {
  const std::string job = main_job("never");
  for (const std::string& arguments :
       std::vector<std::string>{"",
                                "frobnicate",
                                "--no-such-flag",
                                job + " --no-such-flag",
                                "--model " + kModel,
                                "--prompts " + kSmoke,
                                job + " --isa nope",
                                job + " --candidate engine:isa=nope",
                                job + " --candidate engine:speed=9",
                                job + " --reference emulator:width=9",
                                job + " --reference bitnet.cpp",
                                job + " --reference nobody",
                                job + " --threads 0",
                                job + " --threads x",
                                job + " --min-cosine 2",
                                job + " --shard 3/3",
                                job + " --shard x",
                                job + " --filter none-*",
                                job + " --taps l_oot",
                                job + " --tokens-from me",
                                job + " --gates /nowhere.json",
                                job + " --max-tokens -3",
                                job + " --timeout 0",
                                job + " --timeout -1",
                                job + " --timeout soon",
                                job + " --reference exec",
                                job + " --reference exec:",
                                job + " --reference \"exec:'never closed\"",
                                job + " --reference exec:/nowhere/engine",
                                job + " --reference bitnet.cpp:width=8",
                                job + " --reference-batch 0",
                                job + " --resume",
                                job + " --baseline x.json",
                                "--model /nowhere.gguf --prompts " + kSmoke,
                                "--model " + kSmoke + " --prompts " + kSmoke,
                                "--model " + kModel + " --prompts /nowhere.json",
                                "--model " + kModel + " --prompts " + kModel,
                                "list --prompts /nowhere.json",
                                "render /nowhere",
                                "merge /nowhere --out " + path("m"),
                                "merge",
                                "record --model " + kModel + " --prompts " + kSmoke}) {
    const Result r = crossval(arguments);
    EXPECT_EQ(r.exit_code, 2) << arguments << "\n" << r.output;
    EXPECT_FALSE(r.output.empty()) << arguments;
  }
  EXPECT_FALSE(fs::exists(folder_ / "never"));
}

TEST_F(Cli, AForcedIsaThatIsNotThereIsTwo) {
  EXPECT_EQ(crossval(main_job("r"), "CROSSVAL_FORCE_ISA=nope").exit_code, 2);
  EXPECT_EQ(crossval(main_job("r"), "CROSSVAL_FORCE_ISA=scalar").exit_code, 0);
  EXPECT_EQ(records("r")[0]["candidate"]["isa"], "scalar");
}

TEST_F(Cli, AnUnmetExpectationIsOne) {
  std::ofstream(path("s.json")) << R"({"schema":"crossval.suite/1","cases":[
      {"id":"wrong","prompt":"Capital of France?","template":"instruct","max_tokens":4,"expect":{"equals":"Rome"}}]})";
  const Result r =
      crossval("--model " + kModel + " --prompts " + path("s.json") + " --out " + path("r") + " --quiet");
  EXPECT_EQ(r.exit_code, 1) << r.output;
  EXPECT_NE(r.output.find("1 answers not as expected"), std::string::npos) << r.output;
}

TEST_F(Cli, OtherDimensionsAreThree) {
  EXPECT_EQ(
      crossval(main_job("r") + " --reference-model " + kRoot + "/fixtures/model/awkward.gguf").exit_code, 3);
}

TEST_F(Cli, AFullDiskIsFourAndLosesNothing) {
  ASSERT_EQ(crossval(main_job("whole")).exit_code, 0);
  // The results would grow to several hundred KB; the shell allows 150 (blocks of 512 bytes).
  const Result full = shell("sh -c 'ulimit -f 300; exec " CROSSVAL_BINARY " " + main_job("full") + "'");
  EXPECT_EQ(full.exit_code, 4) << full.output;
  EXPECT_NE(full.output.find("results.jsonl"), std::string::npos) << full.output;
  EXPECT_NE(full.output.find("--resume"), std::string::npos) << full.output;
  const auto kept = records("full");  // every line parses
  ASSERT_GT(kept.size(), 100u);
  EXPECT_EQ(kept[0]["type"], "run");
  EXPECT_EQ(crossval(main_job("full") + " --resume").exit_code, 0);
  EXPECT_EQ(figures("full"), figures("whole"));
}

TEST_F(Cli, KilledAndResumedIsTheSameRun) {
  ASSERT_EQ(crossval(main_job("whole")).exit_code, 0);
  shell("timeout -s KILL 0.15 " CROSSVAL_BINARY " " + main_job("killed"));
  if (!fs::exists(folder_ / "killed" / "results.jsonl"))
    EXPECT_EQ(crossval(main_job("killed")).exit_code, 0);  // killed before it began
  else
    EXPECT_EQ(crossval(main_job("killed") + " --resume").exit_code, 0);
  EXPECT_EQ(figures("killed"), figures("whole"));
}

TEST_F(Cli, ListPrintsThePlan) {
  const Result whole = crossval("list --prompts " + kSmoke);
  EXPECT_EQ(whole.exit_code, 0);
  EXPECT_EQ(std::count(whole.output.begin(), whole.output.end(), '\n'), 3);
  const Result first = crossval("list --prompts " + kSmoke + " --shard 0/2");
  const Result second = crossval("list --prompts " + kSmoke + " --shard 1/2");
  EXPECT_EQ(std::count(first.output.begin(), first.output.end(), '\n'), 2);
  EXPECT_EQ(std::count(second.output.begin(), second.output.end(), '\n'), 1);
}

TEST_F(Cli, AShardIsTakenFromTheEnvironmentAndSaid) {
  const std::string list = "list --prompts " + kSmoke;
  const Result slurm = crossval(
      list, "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=1");
  EXPECT_EQ(slurm.exit_code, 0);
  EXPECT_NE(slurm.output.find("shard 1/2 (counted from 0), from SLURM_ARRAY_TASK_ID: 1 of 3 cases"),
            std::string::npos)
      << slurm.output;
  EXPECT_EQ(crossval(list + " --shard 0/1", "CI_NODE_INDEX=2 CI_NODE_TOTAL=2").output, crossval(list).output);
  EXPECT_EQ(crossval(list, "CI_NODE_INDEX=3 CI_NODE_TOTAL=2").exit_code, 2);
  EXPECT_EQ(crossval(main_job("never"), "JOB_COMPLETION_INDEX=1").exit_code, 2);
  EXPECT_FALSE(fs::exists(folder_ / "never"));
  const json plan = json::parse(crossval(list + " --json").output);
  EXPECT_EQ(plan["cases"].size(), 3u);
  EXPECT_EQ(plan["plan"]["cases"], 3);
}

// What Bazel asks of a test: its part, the file that says so, the results where it looks for them.
TEST_F(Cli, BazelsProtocolIsHeeded) {
  const Result r = crossval(
      "--model " + kModel + " --prompts " + kSmoke + " --max-tokens 1 --taps none --quiet",
      "TEST_TOTAL_SHARDS=3 TEST_SHARD_INDEX=2 TEST_SHARD_STATUS_FILE=" + path("status") +
          " XML_OUTPUT_FILE=" + path("test.xml") + " TEST_UNDECLARED_OUTPUTS_DIR=" + path("outputs"));
  EXPECT_LE(r.exit_code, 1) << r.output;  // one token is not always the answer
  EXPECT_TRUE(fs::exists(folder_ / "status"));
  const fs::path report = "outputs/crossval-report";
  EXPECT_EQ(crossval::slurp(folder_ / "test.xml"), crossval::slurp(folder_ / report / "junit.xml"));
  EXPECT_EQ(records(report)[0]["shard"], json({{"index", 2}, {"count", 3}, {"from", "TEST_SHARD_INDEX"}}));
  EXPECT_EQ(crossval(main_job("r") + " --filter add-2-2 --max-tokens 1", "XML_OUTPUT_FILE=/nowhere/test.xml")
                .exit_code,
            4);
}

TEST_F(Cli, WhatMergeRefusesHasItsExitCode) {
  const std::string few = " --max-tokens 1 --taps none";
  for (const char* shard : {"0", "1"})
    ASSERT_LE(crossval(main_job(shard) + few + " --shard " + shard + "/2").exit_code, 1);
  ASSERT_LE(crossval(main_job("other") + " --max-tokens 2 --taps none --shard 1/2").exit_code, 1);
  const auto join = [&](const std::string& shards) {
    std::string folders;
    for (std::size_t at = 0; at < shards.size(); at = shards.find(' ', at) + 1) {
      folders += path(shards.substr(at, shards.find(' ', at) - at)) + " ";
      if (shards.find(' ', at) == std::string::npos) break;
    }
    return crossval("merge " + folders + "--out " + path("joint")).exit_code;
  };
  EXPECT_LE(join("0 1"), 1);
  EXPECT_EQ(join("0"), 4);        // a shard is missing
  EXPECT_EQ(join("0 0 1"), 2);    // one is given twice
  EXPECT_EQ(join("0 other"), 3);  // of another run
}

TEST_F(Cli, RenderWritesTheReportsAgain) {
  ASSERT_EQ(crossval(main_job("r")).exit_code, 0);
  fs::remove(folder_ / "r" / "index.html");
  EXPECT_EQ(crossval("render " + path("r")).exit_code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "r" / "index.html"));
  std::ofstream(folder_ / "r" / "results.jsonl") << "{\"type\":\"run\",\"schema\":\"crossval.results/9\"}\n";
  EXPECT_EQ(crossval("render " + path("r")).exit_code, 2);
}

TEST_F(Cli, HostileIdsReachTheTerminalHarmless) {
  std::ofstream(path("s.json")) << R"(["a\u001b[31mred"])";
  std::ofstream(path("t.json"))
      << R"({"schema":"crossval.suite/1","cases":[{"id":"\u001b]0;x\u0007","prompt":"2+2="}]})";
  EXPECT_EQ(crossval("list --prompts " + path("t.json")).output.find('\x1b'), std::string::npos);
  const Result r = crossval("--model " + kModel + " --prompts " + path("t.json") + " --out " + path("r") +
                            " --max-tokens 1");
  EXPECT_EQ(r.output.find('\x1b'), std::string::npos);
}

// The figures of a processor without AVX, by emulation, are those of this one.
TEST_F(Cli, TheSameFiguresOnAnOldProcessor) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "qemu-user does not give a sanitizer the addresses it wants";
#endif
#if defined(__x86_64__)
  ASSERT_EQ(shell("command -v qemu-x86_64 >/dev/null").exit_code, 0)
      << "qemu-x86_64 is missing; install qemu-user (ci/setup does)";
  const std::string one_case = " --filter add-2-2 --max-tokens 2";
  ASSERT_EQ(crossval(main_job("native") + one_case).exit_code & ~1, 0);
  const Result old = crossval(main_job("old") + one_case, "qemu-x86_64 -cpu Nehalem");
  EXPECT_EQ(old.exit_code & ~1, 0) << old.output;
  EXPECT_EQ(records("old")[0]["candidate"]["isa"], "scalar");
  EXPECT_EQ(figures("old"), figures("native"));
#endif
}

}  // namespace
