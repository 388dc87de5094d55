// Participants that are programs, through the command: what each way of going wrong ends in, what is kept,
// and that a resumed run is the whole one.

#include <signal.h>

#include <chrono>
#include <thread>

#include "crossval/cli/cli_fixture.h"

namespace {

using namespace crossval::test;
using namespace std::chrono_literals;

class Programs : public Cli {
 protected:
  // The reference misbehaves so; the words of `exec:` as a shell needs them.
  static std::string faulty(const std::string& words) {
    return " --reference-batch 64 --reference 'exec:" FAULTY_PARTICIPANT " " + words + "'";
  }
  std::string quick_job(const std::string& out) const { return main_job(out) + " --filter add-2-2"; }
  // The problem of the first case that has one.
  std::string problem(const std::string& out) const {
    for (const json& r : records(out))
      if (r["type"] == "case" && r.contains("problem")) return r["problem"];
    return "";
  }
};

TEST_F(Programs, AGoodOneIsAReferenceACandidateAndBoth) {
  const Result r = crossval(main_job("reference") + faulty("ok"));
  EXPECT_EQ(r.exit_code, 0) << r.output;
  EXPECT_TRUE(r.output.starts_with("engine against the program that calls itself faulty 1, with the tests\n"))
      << r.output;
  const auto all = records("reference");
  EXPECT_EQ(all[0]["reference"]["name"], "faulty");
  EXPECT_TRUE(all[0]["skipped_taps"].empty());
  EXPECT_GT(all.back()["made"], 1000);
  // Its other way of computing was there to measure the self-noise with.
  EXPECT_EQ(all.back()["self_noise"].size(), 23u);
  const std::string words = "'exec:" FAULTY_PARTICIPANT " ok'";
  EXPECT_EQ(crossval(quick_job("candidate") + " --reference oracle --candidate " + words).exit_code, 0);
  const Result both = crossval(quick_job("both") + " --candidate " + words + " --reference " + words);
  EXPECT_EQ(both.exit_code, 0) << both.output;
  EXPECT_EQ(crossval("record --quiet --model " + kModel + " --prompts " + kSmoke + " --out " + path("t") +
                     faulty("ok"))
                .exit_code,
            0);
}

TEST_F(Programs, WordsAreSplitAsAShellSplitsThem) {
  fs::create_directories(folder_ / "a b");
  fs::create_symlink(FAULTY_PARTICIPANT, folder_ / "a b" / "it's");
  const std::string words = "\"exec:'" + path("a b") + "/it'\\\\''s' ok\"";
  const Result r = crossval(quick_job("r") + " --reference " + words);
  EXPECT_EQ(r.exit_code, 0) << words << "\n" << r.output;
}

TEST_F(Programs, WhatCannotBeStartedIsTwoAndNothingIsRun) {
  for (const char* fault : {"refuses-hello", "refuses-load"}) {
    const Result r = crossval(quick_job("never") + faulty(fault));
    EXPECT_EQ(r.exit_code, 2) << fault << "\n" << r.output;
    EXPECT_FALSE(fs::exists(folder_ / "never")) << fault;
  }
  const Result missing = crossval(quick_job("never") + " --reference exec:/nowhere/engine");
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.output.find("/nowhere/engine"), std::string::npos) << missing.output;
  EXPECT_FALSE(fs::exists(folder_ / "never"));
}

TEST_F(Programs, WhatIsSeenAtTheStartEndsTheCommand) {
  const std::pair<const char*, int> faults[] = {{"wrong-version", 3},
                                                {"other-vocabulary", 3},
                                                {"no-logits", 3},
                                                {"exit-at-start", 4},
                                                {"cannot-load", 4}};
  for (const auto& [fault, code] : faults) {
    const Result r = crossval(quick_job("never") + faulty(fault));
    EXPECT_EQ(r.exit_code, code) << fault << "\n" << r.output;
    EXPECT_FALSE(fs::exists(folder_ / "never")) << fault;
  }
}

struct Fault {
  const char* name;
  int exit_code;
  const char* says;
};

class InACase : public Programs, public testing::WithParamInterface<Fault> {};

TEST_P(InACase, HasItsExitCodeAndIsReported) {
  const Fault& fault = GetParam();
  const bool hangs = std::string(fault.name).starts_with("hang") || std::string(fault.name) == "deaf";
  const Result r = crossval(quick_job("r") + faulty(fault.name) + " --timeout " + (hangs ? "2" : "60"));
  EXPECT_EQ(r.exit_code, fault.exit_code) << r.output;
  EXPECT_EQ(records("r").back()["exit"], fault.exit_code);
  EXPECT_NE(problem("r").find(fault.says), std::string::npos) << problem("r");
  if (fault.exit_code == 4) {
    EXPECT_NE(problem("r").find("last request: "), std::string::npos) << problem("r");
  }
  EXPECT_TRUE(fs::exists(folder_ / "r" / "junit.xml"));
}

INSTANTIATE_TEST_SUITE_P(
    Faults, InACase,
    testing::Values(Fault{"exit", 4, "exit status 5"}, Fault{"killed-in-tensor", 4, "signal 9"},
                    Fault{"hang", 4, "no answer for 2 s"}, Fault{"deaf", 4, "no answer for 2 s"},
                    Fault{"garbage", 4, "no JSON"}, Fault{"endless-line", 4, "longer than 1 MiB"},
                    Fault{"too-few-bytes", 4, "no JSON"}, Fault{"too-many-bytes", 4, "no JSON"},
                    Fault{"wrong-shape", 4, "must be 256"}, Fault{"unasked-tap", 4, "unasked"},
                    Fault{"refuses-eval", 4, "the accelerator is busy"},
                    Fault{"child-left-and-exit", 4, "exit status 6"},
                    Fault{"other-tokens", 3, "token ids differ at position"},
                    Fault{"missing-tap", 3, "l_out-1"}, Fault{"nan-tensor", 1, ""},
                    Fault{"nan-logits", 1, ""}, Fault{"slow", 0, ""}, Fault{"flood-stderr", 0, ""},
                    Fault{"logits-only", 0, ""}),
    [](const auto& fault) {
      std::string name = fault.param.name;
      std::erase(name, '-');
      return name;
    });

TEST_F(Programs, ItsNameAndItsStderrAreTextEverywhere) {
  for (const auto& [fault, code] : {std::pair{"hostile-name", 0}, std::pair{"hostile-stderr", 4}}) {
    fs::remove_all(folder_ / "r");
    const Result r = crossval(quick_job("r") + faulty(fault));
    EXPECT_EQ(r.exit_code, code) << r.output;
    std::map<std::string, std::string> shown = {{"the terminal", r.output}};
    for (const char* file : {"index.html", "junit.xml", "summary.md", "results.sarif"}) {
      std::ifstream in(folder_ / "r" / file);
      shown[file] = {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    }
    for (const auto& [where, text] : shown) {
      EXPECT_EQ(text.find_first_of("\x1b\x07"), std::string::npos) << where;
      if (where != "the terminal" && where != "results.sarif") {
        EXPECT_EQ(text.find("<script>alert"), std::string::npos) << where;
      }
    }
    // It is shown, not dropped; in Markdown brackets make no link.
    EXPECT_NE(shown["junit.xml"].find("&lt;script&gt;alert(1)"), std::string::npos) << fault;
    EXPECT_EQ(shown["summary.md"].find("[x]("), std::string::npos);
  }
}

TEST_F(Programs, NaNIsNamedWhereItIs) {
  ASSERT_EQ(crossval(quick_job("r") + faulty("nan-tensor")).exit_code, 1);
  for (const json& r : records("r"))
    if (r["type"] == "comparison" && r["verdict"] == "FAIL") {
      EXPECT_EQ(r["tap"], "l_out-1");
      EXPECT_EQ(r["at"][1], 3);
      break;
    }
}

TEST_F(Programs, LogitsAloneAreSaidInTheFirstLine) {
  const Result r = crossval(quick_job("r") + faulty("logits-only"));
  EXPECT_EQ(r.output.substr(0, r.output.find('\n')),
            "engine against the program that calls itself faulty 1, with the tests; logits only");
}

TEST_F(Programs, AProcessThatItLeftIsEnded) {
  const std::string file = path("pid");
  const Result r = crossval(quick_job("r") + faulty("child-left"), "FAULTY_CHILD=" + file);
  EXPECT_EQ(r.exit_code, 0) << r.output;
  pid_t pid = 0;
  ASSERT_TRUE(std::ifstream(file) >> pid);
  const auto runs = [pid] {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    const std::string stat{std::istreambuf_iterator<char>(in), {}};
    const auto name_end = stat.rfind(')');
    return name_end != std::string::npos && stat.compare(name_end + 2, 1, "Z") != 0;
  };
  for (int i = 0; i < 1000 && runs(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(runs());
}

TEST_F(Programs, DeathLeavesTheResultsAndResumeFinishesTheRest) {
  ASSERT_EQ(crossval(main_job("whole") + faulty("ok")).exit_code, 0);
  // The first case takes two evaluations, and six where the reference's twin is fed token by token; a program
  // dies in the seventh of its life, until the file is there.
  const std::string mended = path("mended");
  const std::string job = main_job("died") + faulty("exit 6 " + mended);
  EXPECT_EQ(crossval(job).exit_code, 4);
  std::map<std::string, int> verdicts;
  for (const json& r : records("died"))
    if (r["type"] == "case") ++verdicts[r["verdict"]];
  EXPECT_GE(verdicts["PASS"], 1);
  EXPECT_GE(verdicts["INVALID"], 1);
  EXPECT_EQ(verdicts["PASS"] + verdicts["INVALID"], 3);
  std::ofstream{mended};
  const Result resumed = crossval(job + " --resume");
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
  const auto by_case = [this](const std::string& out) {
    std::map<std::string, std::string> text;
    for (const json& r : records(out))
      if (r["type"] == "comparison" || r["type"] == "tokens") text[r["case"]] += r.dump() + "\n";
    return text;
  };
  EXPECT_EQ(by_case("died"), by_case("whole"));
}

TEST_F(Programs, AReferenceThatAlwaysHangsIsGivenUpSoon) {
  const auto start = std::chrono::steady_clock::now();
  const Result r =
      crossval("--model " + kModel + " --prompts " + kRoot + "/fixtures/suites/qa.json --quiet --out " +
               path("r") + " --timeout 1" + faulty("hang"));
  EXPECT_EQ(r.exit_code, 4);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 40s);  // 84 cases of a second and more would be 84 s
  int invalid = 0;
  std::string last;
  for (const json& c : records("r"))
    if (c["type"] == "case") {
      invalid += c["verdict"] == "INVALID";
      last = c["problem"];
    }
  EXPECT_EQ(invalid, 84);
  EXPECT_NE(last.find("failed 3 times in a row"), std::string::npos) << last;
}

TEST_F(Programs, TextThatIsNoUtf8StaysOutsideTheComparisonOfIds) {
  std::ofstream(path("s.json"))
      << R"({"schema":"crossval.suite/1","cases":[{"id":"bytes","prompt_b64":"Mv8y","template":"raw","max_tokens":1}]})";
  const Result r = crossval("--quiet --model " + kModel + " --prompts " + path("s.json") + " --out " +
                            path("r") + faulty("ok"));
  EXPECT_EQ(r.exit_code, 0) << r.output;
  std::string reason;
  for (const json& record : records("r"))
    if (record["type"] == "skip") reason = record["reason"];
  EXPECT_NE(reason.find("the prompt is no UTF-8"), std::string::npos);
  EXPECT_NE(reason.find("the reference's own are not compared"), std::string::npos) << reason;

  const std::string trace = path("t.safetensors");
  const Result recorded = crossval("record --quiet --model " + kModel + " --prompts " + path("s.json") +
                                   " --out " + trace + faulty("ok"));
  EXPECT_EQ(recorded.exit_code, 0) << recorded.output;
  EXPECT_NE(crossval::slurp(trace).find("the participant's own are not compared"), std::string::npos);
}

// What docs/how-to/plug-in-your-engine.md shows: an engine in pure Python, plugged in by 60 lines.
TEST_F(Programs, ThePythonParticipantPassesEveryTapLocalAndFree) {
  ASSERT_EQ(shell("python3 -c 'import sys'").exit_code, 0) << "python3 is missing (ci/setup installs it)";
  const std::string participant = kRoot + "/fixtures/participants/participant.py";
  const Result r = crossval(main_job("r") + " --filter capital-france --candidate 'exec:python3 -B \"" +
                            participant + "\"'");
  EXPECT_EQ(r.exit_code, 0) << r.output;
  EXPECT_TRUE(r.output.starts_with("the program that calls itself tiny-engine 1, Python 3.")) << r.output;
  const auto all = records("r");
  EXPECT_EQ(all[0]["taps"].size(), 83u);
  EXPECT_EQ(all[0]["local"], true);
  EXPECT_EQ(all.back()["made"], all.back()["planned"]);
  EXPECT_GE(all.back()["made"], 2 * 83);
  std::ifstream in(participant);
  EXPECT_LE(std::count(std::istreambuf_iterator<char>(in), {}, '\n'), 60);
}

// A script in the adapter's place.
TEST_F(Programs, AutoIsBitnetCppWhereItsAdapterIs) {
  const std::string adapter = path("adapter");
  std::ofstream(adapter) << "#!/bin/sh\nexec " FAULTY_PARTICIPANT " ok\n";
  fs::permissions(adapter, fs::perms::owner_all);
  ::setenv("CROSSVAL_LLAMA_ADAPTER", adapter.c_str(), 1);
  for (const char* reference : {"", " --reference auto", " --reference bitnet.cpp"}) {
    const Result r = crossval(quick_job("r") + reference);
    EXPECT_EQ(r.exit_code, 0) << r.output;
    EXPECT_TRUE(r.output.starts_with("engine against live bitnet.cpp (with the tests)\nPASS")) << r.output;
  }
  Result doctor = crossval("doctor");
  EXPECT_EQ(doctor.exit_code, 0);
  for (const char* part :
       {"  bitnet.cpp: yes\n", "    adapter: ", "    name: faulty\n", "    build: with the tests\n",
        "    fault: ok\n", "default reference (auto): bitnet.cpp\n"})
    EXPECT_NE(doctor.output.find(part), std::string::npos) << part << "\n" << doctor.output;
  std::ofstream(adapter) << "#!/bin/sh\necho 'libllama.so: cannot open' >&2; exit 127\n";
  doctor = crossval("doctor");
  EXPECT_EQ(doctor.exit_code, 0);
  EXPECT_NE(doctor.output.find("its adapter does not work"), std::string::npos) << doctor.output;
  EXPECT_NE(doctor.output.find("libllama.so: cannot open"), std::string::npos) << doctor.output;
  ::setenv("CROSSVAL_LLAMA_ADAPTER", "none", 1);
  doctor = crossval("doctor");
  EXPECT_NE(doctor.output.find("-DBITNET_CPP_DIR="), std::string::npos) << doctor.output;
  const Result missing = crossval(quick_job("never") + " --reference bitnet.cpp");
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.output.find("-DBITNET_CPP_DIR="), std::string::npos) << missing.output;
}

}  // namespace
