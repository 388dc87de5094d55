#include "crossval/run/run.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "crossval/run/merge.h"
#include "crossval/run/record.h"
#include "crossval/run/test_records.h"
#include "engine/error.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kFixtures = fs::path(CROSSVAL_SOURCE_DIR) / "fixtures";
const fs::path kModel = kFixtures / "model/bundled.gguf";
const fs::path kSuite = kFixtures / "suites/smoke.json";

class RunTest : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("CROSSVAL_LLAMA_ADAPTER", "none", 1);  // `auto` means the same everywhere
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("crossval-") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  RunOptions options(const std::string& out = "report") const {
    RunOptions o;
    o.model = kModel;
    o.prompts = kSuite;
    o.out = folder_ / out;
    o.quiet = true;
    o.threads = 2;
    return o;
  }

  fs::path folder_;
};

TEST_F(RunTest, EngineAgainstOraclePassesAndEverythingPlannedIsMade) {
  const RunResult result = run(options());
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  EXPECT_EQ(result.claim, "engine against our emulator of bitnet.cpp; no bitnet.cpp was involved");
  const auto all = records(folder_ / "report");
  const json run_record = all.front();
  const json summary = all.back();
  ASSERT_EQ(run_record["type"], "run");
  ASSERT_EQ(summary["type"], "summary");
  EXPECT_EQ(summary["planned"], summary["made"]);
  EXPECT_EQ(summary["skipped"], 0);
  EXPECT_EQ(summary["exit"], 0);
  EXPECT_EQ(of_type(all, "comparison").size(), summary["made"].get<std::size_t>());
  EXPECT_GT(summary["logit_noise"].get<double>(), 0);

  // Every canonical tap of every layer, in both modes, at every step of every case.
  std::map<std::string, std::size_t> per_step;
  for (const json& c : of_type(all, "comparison"))
    ++per_step[c["case"].get<std::string>() + "/" + std::to_string(c["step"].get<int>())];
  const std::size_t taps = run_record["taps"].size();
  EXPECT_EQ(taps, 20u * run_record["model"]["n_layer"].get<std::size_t>() + 3);
  EXPECT_EQ(per_step.size(), of_type(all, "tokens").size());
  for (const auto& [step, n] : per_step) EXPECT_EQ(n, 2 * taps) << step;
  for (const char* file : {"report.json", "junit.xml", "summary.md", "index.html"})
    EXPECT_TRUE(fs::exists(folder_ / "report" / file)) << file;
}

TEST_F(RunTest, SameFiguresForEveryIsaAndThreadCount) {
  std::vector<std::string> figures;
  for (const auto& [isa, threads] : std::vector<std::pair<std::string, int>>{{"scalar", 1}, {"", 2}}) {
    RunOptions o = options("r" + isa + std::to_string(threads));
    o.isa = isa;
    o.threads = threads;
    run(o);
    std::string text;
    for (const json& r : records(o.out))
      if (r["type"] != "run" && r["type"] != "perf") text += r.dump() + "\n";
    figures.push_back(text);
  }
  EXPECT_EQ(figures[0], figures[1]);
}

// A copy of the bundled model with a few ternary weights of one tensor changed.
fs::path damaged_model(const fs::path& folder, const std::string& tensor) {
  const bitnet::gguf::File file = bitnet::gguf::File::open(kModel);
  std::string bytes = slurp(kModel);
  const bitnet::gguf::Tensor* t = file.find_tensor(tensor);
  // The tensor's place in the file, found by its bytes.
  const std::string_view needle(reinterpret_cast<const char*>(t->data.data()), t->data.size());
  const std::size_t at = bytes.find(needle);
  // Codes 0, 1, 2 become 2, 0, 1 in eight bytes of the first row: no code 3 arises.
  for (std::size_t i = 0; i < 8; ++i) {
    auto& byte = bytes[at + i];
    unsigned out = 0;
    for (int shift = 0; shift < 8; shift += 2) {
      const unsigned code = static_cast<unsigned char>(byte) >> shift & 3;
      out |= (code + 2) % 3 << shift;
    }
    byte = static_cast<char>(out);
  }
  const fs::path path = folder / "damaged.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST_F(RunTest, DamagedWeightsFailAndTheFirstFailingTapIsNamed) {
  RunOptions o = options();
  o.model = damaged_model(folder_, "blk.1.ffn_up.weight");
  o.reference_model = kModel;
  o.reference = "oracle";
  const RunResult result = run(o);
  EXPECT_EQ(result.verdict, Verdict::fail);
  for (const json& c : of_type(records(o.out), "comparison"))
    if (c["verdict"] == "FAIL") {
      EXPECT_EQ(c["tap"], "ffn_up-1");
      EXPECT_EQ(c["mode"], "local");
      EXPECT_EQ(c["gate"], "local.integers");
      EXPECT_EQ(c["at"][1], 0);  // the damaged row is output channel 0
      break;
    }
  const json summary = records(o.out).back();
  EXPECT_EQ(summary["first_failure"]["tap"], "ffn_up-1");
  EXPECT_EQ(summary["exit"], 1);
  EXPECT_EQ(summary["quadrant"], "candidate wrong");
  EXPECT_EQ(summary["guilty"]["tap"], "ffn_up-1");
  EXPECT_TRUE(result.headline.starts_with("FAIL: candidate wrong in ffn_up-1 at step 0 of case "))
      << result.headline;
}

TEST_F(RunTest, WhoIsWrongIsSaidOnlyWhereSomebodyIs) {
  RunOptions o = options();
  run(o);
  EXPECT_EQ(records(o.out).back()["quadrant"], "agree");
  // SiLU where the model wants ReLU²: what users report of the third generation.
  o.reference = "emulator:generation=reported-2026,rope=own";
  const RunResult result = run(o);
  EXPECT_EQ(result.verdict, Verdict::fail);
  EXPECT_TRUE(result.headline.starts_with("FAIL: reference wrong in ")) << result.headline;
  const json summary = records(o.out).back();
  EXPECT_EQ(summary["quadrant"], "reference wrong");
  std::set<std::string> blamed;
  for (const json& c : of_type(records(o.out), "comparison"))
    if (c.value("blame", "") == "reference wrong") blamed.insert(c["tap"]);
  EXPECT_TRUE(blamed.contains("ffn_act-0"));
  // An arbiter is no side's business where there is none.
  o.arbiter = "none";
  run(o);
  EXPECT_EQ(records(o.out).back()["quadrant"], "cannot tell");
  EXPECT_EQ(records(o.out).front()["arbiter"], nullptr);
}

// Each of the four quadrants, in the headline, the summary, every report and the exit code.
TEST_F(RunTest, TheFourQuadrantsAreTheSameInEveryReport) {
  struct Quadrant {
    std::string name, reference;
    std::string arbiter = "oracle";
    bool damaged = false;
    int exit = 1;
  };
  const std::string silu = "emulator:generation=reported-2026,rope=own";
  for (const Quadrant& q : {Quadrant{.name = "agree", .reference = "emulator:rope=own", .exit = 0},
                            Quadrant{.name = "candidate wrong", .reference = "emulator", .damaged = true},
                            Quadrant{.name = "reference wrong", .reference = silu},
                            Quadrant{.name = "cannot tell", .reference = silu, .arbiter = "none"}}) {
    SCOPED_TRACE(q.name);
    RunOptions o = options();
    o.filter = "add-2-2";
    o.reference = q.reference;
    o.arbiter = q.arbiter;
    if (q.damaged) {
      o.model = damaged_model(folder_, "blk.1.ffn_up.weight");
      o.reference_model = kModel;
    }
    const RunResult result = run(o);
    EXPECT_EQ(static_cast<int>(exit_code(result.verdict)), q.exit);
    EXPECT_EQ(result.headline.find(q.name) != std::string::npos, q.name.ends_with("wrong"));
    const json summary = records(o.out).back();
    EXPECT_EQ(summary["quadrant"], q.name);
    EXPECT_EQ(summary["exit"], q.exit);
    const json report = json::parse(slurp(o.out / "report.json"));
    EXPECT_EQ(report["quadrant"], q.name);
    EXPECT_EQ(report["exit"], q.exit);
    const std::string junit = slurp(o.out / "junit.xml");
    EXPECT_NE(junit.find("<property name=\"quadrant\" value=\"" + q.name + "\"/>"), std::string::npos);
    EXPECT_NE(junit.find("<property name=\"exit\" value=\"" + std::to_string(q.exit) + "\"/>"),
              std::string::npos);
    EXPECT_EQ(junit.find("<failure") != std::string::npos, q.exit != 0);
    const std::string shown = q.name == "agree" ? "nobody: the sides agree" : q.name;
    EXPECT_NE(slurp(o.out / "summary.md").find("| who is wrong | " + shown + " |"), std::string::npos);
    EXPECT_EQ(slurp(o.out / "index.html").find("</code> · " + q.name + "</h2>") != std::string::npos,
              q.exit != 0);
  }
}

TEST_F(RunTest, ACaseMayHaveItsOwnGates) {
  // No bit may differ: more than engine and oracle can keep.
  std::ofstream(folder_ / "s.json") << R"({"schema":"crossval.suite/1","cases":[
      {"id":"usual","prompt":"2+2=","max_tokens":1},
      {"id":"strict","prompt":"2+2=","max_tokens":1,"gates":[
        {"name":"bits","mode":"free","metric":"bits","taps":["result_output"],"threshold":0}]}]})";
  RunOptions o = options();
  o.prompts = folder_ / "s.json";
  o.reference = "oracle";
  EXPECT_EQ(run(o).verdict, Verdict::fail);
  const auto cases = of_type(records(o.out), "case");
  EXPECT_EQ(cases[0]["verdict"], "PASS");
  EXPECT_EQ(cases[1]["verdict"], "FAIL");
  EXPECT_EQ(cases[1]["failed"], 1);
}

TEST_F(RunTest, LogitsOnly) {
  RunOptions o = options();
  o.taps = "none";
  EXPECT_EQ(run(o).verdict, Verdict::pass);
  for (const json& c : of_type(records(o.out), "comparison")) EXPECT_EQ(c["tap"], "result_output");
}

TEST_F(RunTest, ShardsMergeIntoTheSingleRun) {
  run(options("whole"));
  for (int i = 0; i < 2; ++i) {
    RunOptions o = options("s" + std::to_string(i));
    o.shard = {i, 2, "--shard"};
    run(o);
  }
  const RunResult merged = merge({folder_ / "s1", folder_ / "s0"}, folder_ / "merged");
  EXPECT_EQ(merged.verdict, Verdict::pass);
  const auto whole = records(folder_ / "whole"), joint = records(folder_ / "merged");
  EXPECT_EQ(of_type(whole, "plan"), of_type(joint, "plan"));
  const auto by_case = [](const std::vector<json>& all) {
    std::map<std::string, std::string> text;
    for (const json& r : all)
      if (r["type"] == "comparison" || r["type"] == "tokens") text[r["case"]] += r.dump() + "\n";
    return text;
  };
  EXPECT_EQ(by_case(whole), by_case(joint));
  for (const char* key : {"planned", "made", "skipped", "verdict", "cases"})
    EXPECT_EQ(whole.back()[key], joint.back()[key]) << key;
  EXPECT_EQ(whole[0]["plan"], joint[0]["plan"]);
  for (const char* key : {"self_noise", "logit_noise", "coverage", "headline"})
    EXPECT_EQ(whole.back()[key], joint.back()[key]) << key;
  EXPECT_THROW(merge({folder_ / "s1"}, folder_ / "short"), Invalid);
  EXPECT_THROW(merge({folder_ / "s1", folder_ / "s1"}, folder_ / "twice"), bitnet::InputError);
  RunOptions empty = options("s3");
  empty.shard = {3, 4, "--shard"};
  EXPECT_THROW(run(empty), bitnet::InputError);  // there are 3 cases
  EXPECT_FALSE(fs::exists(folder_ / "s3"));
}

// Killed before the first record stood there, and after all cases had ended: both are resumed.
TEST_F(RunTest, ResumeAtEitherEnd) {
  RunOptions o = options("whole");
  o.model = damaged_model(folder_, "blk.1.ffn_up.weight");
  o.reference_model = kModel;
  run(o);
  const auto whole = records(folder_ / "whole");
  const std::string bytes = slurp(folder_ / "whole/results.jsonl");
  const std::size_t run_and_plan = bytes.find('\n', bytes.find('\n') + 1) + 1;
  const auto figures = [](const std::vector<json>& all) {
    std::string text;
    for (const json& r : all)
      if (r["type"] != "run" && r["type"] != "perf" && r["type"] != "canary") text += r.dump() + "\n";
    return text;
  };
  o.out = folder_ / "killed";
  o.resume = true;
  const std::size_t kAt[] = {
      0, 1, run_and_plan / 2, run_and_plan - 1, run_and_plan, bytes.rfind("{\"", bytes.size() - 2)};
  for (const std::size_t at : kAt) {
    fs::remove_all(o.out);
    fs::create_directories(o.out);
    std::ofstream(o.out / "results.jsonl", std::ios::binary) << bytes.substr(0, at);
    std::ofstream(o.out / "pending.jsonl") << "";
    EXPECT_EQ(run(o).verdict, Verdict::fail) << at;
    EXPECT_EQ(figures(records(o.out)), figures(whole)) << at;
  }
  o.resume = false;  // nor does it bar a new run
  std::ofstream(o.out / "results.jsonl", std::ios::binary) << "";
  EXPECT_EQ(run(o).verdict, Verdict::fail);
}

TEST_F(RunTest, ResumeFinishesWhatWasInterrupted) {
  run(options("whole"));
  // As if the run had been killed in the middle of its second case: a broken line at the end, no summary.
  const auto whole = records(folder_ / "whole");
  fs::create_directories(folder_ / "killed");
  {
    std::ofstream out(folder_ / "killed/results.jsonl");
    int cases = 0, after = 0;
    for (const json& r : whole) {
      if (cases == 1 && ++after > 10) break;
      out << r.dump() << "\n";
      cases += r["type"] == "case";
    }
    out << R"({"type":"compar)";
  }
  RunOptions o = options("killed");
  o.resume = true;
  EXPECT_EQ(run(o).verdict, Verdict::pass);
  const auto again = records(folder_ / "killed");
  const auto comparable = [](const std::vector<json>& all) {
    std::string text;
    for (const json& r : all)
      if (r["type"] == "comparison" || r["type"] == "tokens") text += r.dump() + "\n";
    return text;
  };
  EXPECT_EQ(comparable(whole), comparable(again));
  for (const char* key : {"planned", "made", "cases", "self_noise", "logit_noise"})
    EXPECT_EQ(whole.back()[key], again.back()[key]) << key;

  o.prompts = kFixtures / "suites/qa.json";
  EXPECT_THROW(run(o), bitnet::InputError);  // another suite
}

TEST_F(RunTest, AnOutThatIsNotOursIsLeftAlone) {
  fs::create_directories(folder_ / "mine");
  std::ofstream(folder_ / "mine/thesis.txt") << "precious";
  EXPECT_THROW(run(options("mine")), bitnet::InputError);
  EXPECT_EQ(slurp(folder_ / "mine/thesis.txt"), "precious");
  EXPECT_FALSE(fs::exists(folder_ / "mine/results.jsonl"));
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THROW(run(options("file")), bitnet::InputError);
  run(options("twice"));
  EXPECT_EQ(run(options("twice")).verdict, Verdict::pass);  // an earlier report is replaced
}

TEST_F(RunTest, BadInputIsRefusedBeforeAnythingIsRun) {
  const auto refused = [&](auto&& change) {
    RunOptions o = options("never");
    change(o);
    EXPECT_THROW(run(o), bitnet::InputError);
    EXPECT_FALSE(fs::exists(o.out));
  };
  refused([](RunOptions& o) { o.model = "no-such.gguf"; });
  refused([](RunOptions& o) { o.prompts = "no-such.json"; });
  refused([](RunOptions& o) { o.filter = "no-such-*"; });
  refused([](RunOptions& o) { o.candidate = "engine:isa=mmx"; });
  refused([](RunOptions& o) { o.candidate = "motor"; });
  refused([](RunOptions& o) { o.reference = "trace:x"; });
  refused([](RunOptions& o) { o.taps = "l_oot-0"; });
  refused([](RunOptions& o) { o.gates = "no-such-gates.json"; });
  refused([](RunOptions& o) { o.max_tokens = 100000; });
  refused([](RunOptions& o) { o.tokens_from = TokensFrom::suite; });
}

TEST_F(RunTest, OtherDimensionsAreIncomparable) {
  RunOptions o = options();
  o.reference_model = kFixtures / "model/awkward.gguf";
  EXPECT_THROW(run(o), Incomparable);
}

TEST_F(RunTest, RecordsAreTheSameBytesForEveryIsaAndThreadCount) {
  std::vector<std::string> traces;
  for (const char* participant : {"engine:isa=scalar,threads=1", "engine:threads=2"}) {
    RunOptions o = options("trace.safetensors");
    o.reference = participant;
    o.max_tokens = 2;
    record(o);
    traces.push_back(slurp(o.out));
  }
  ASSERT_GT(traces[0].size(), 100000u);
  EXPECT_TRUE(traces[0] == traces[1]);

  // A safetensors file: a length, a header, tensors that fill the rest without a gap.
  std::uint64_t length = 0;
  std::memcpy(&length, traces[0].data(), sizeof length);
  json header = json::parse(traces[0].substr(8, length));
  EXPECT_EQ(header["__metadata__"]["schema"], "crossval.trace/1");
  header.erase("__metadata__");
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : header.items()) {
    bytes += tensor["data_offsets"][1].get<std::uint64_t>() - tensor["data_offsets"][0].get<std::uint64_t>();
    std::uint64_t count = 4;
    for (const auto& n : tensor["shape"]) count *= n.get<std::uint64_t>();
    EXPECT_EQ(count, tensor["data_offsets"][1].get<std::uint64_t>() -
                         tensor["data_offsets"][0].get<std::uint64_t>());
  }
  EXPECT_EQ(8 + length + bytes, traces[0].size());
}

}  // namespace
}  // namespace crossval
