// Whether a change is told from noise, and what baselines are good for.

#include "crossval/baseline/baseline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "crossval/errors.h"
#include "crossval/run/run.h"
#include "crossval/run/test_records.h"
#include "engine/error.h"
#include "reports/testing/json_schema.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kRoot = CROSSVAL_SOURCE_DIR;

TEST(Change, OfASpeedMustBeBeyondTenPercentAndBeyondTheNoise) {
  EXPECT_EQ(change_of_speed(100, 100, 0.02), Change::same);
  EXPECT_EQ(change_of_speed(100, 91, 0.02), Change::same);
  EXPECT_EQ(change_of_speed(100, 109, 0.02), Change::same);
  EXPECT_EQ(change_of_speed(100, 89, 0.02), Change::worse);
  EXPECT_EQ(change_of_speed(100, 111, 0.02), Change::better);
  // Beyond 10 %, but the same program was measured as far apart.
  EXPECT_EQ(change_of_speed(100, 80, 0.30), Change::within_noise);
  EXPECT_EQ(change_of_speed(100, 120, 0.30), Change::within_noise);
  EXPECT_EQ(change_of_speed(100, 70, 0.30), Change::worse);
  // Alike, but a change of 10 % could not have been seen.
  EXPECT_EQ(change_of_speed(100, 100, 0.30), Change::within_noise);
  for (const double none : {0.0, -1.0, std::nan("")}) {
    EXPECT_EQ(change_of_speed(100, none, 0.02), Change::worse);
    EXPECT_EQ(change_of_speed(none, 100, 0.02), Change::worse);
  }
}

TEST(Change, OfAnErrorMustBeBeyondTenPercentAndRounding) {
  EXPECT_EQ(change_of_error(1e-6, 1.05e-6), Change::same);
  EXPECT_EQ(change_of_error(1e-6, 1.2e-6), Change::worse);
  EXPECT_EQ(change_of_error(1e-6, 0.8e-6), Change::better);
  EXPECT_EQ(change_of_error(0, 1e-15), Change::same);
  EXPECT_EQ(change_of_error(0, 1e-9), Change::worse);  // every bit was the same, now some are not
  EXPECT_EQ(change_of_error(1e-9, std::nan("")), Change::worse);
  EXPECT_EQ(change_of_error(std::nan(""), 1e-9), Change::better);
}

TEST(Speed, TheSpreadLeavesOutOneDisturbance) {
  EXPECT_DOUBLE_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_NEAR(spread({100, 110}), 0.1, 1e-12);
  EXPECT_NEAR(spread({100, 50, 110, 105, 102, 108, 200}), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(spread({7}), 0);
}

// Notes what it is asked for.
class Asked final : public Participant {
 public:
  Identity identity() const override { return {}; }
  std::int64_t n_vocab() const override { return 10; }
  std::vector<TapId> taps() const override { return {}; }
  std::vector<Token> tokenize(std::string_view, bool, bool) override { return {}; }
  std::string piece(Token) override { return {}; }
  void reset() override { length = 0; }
  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink&) override {
    length += std::ssize(tokens);
    longest = std::max(longest, length);
    largest = std::max(largest, std::ssize(tokens));
    if (tokens.size() == 1) logits = logits && wanted({bitnet::Tap::result_output, -1});
    taps_wanted = taps_wanted || wanted({bitnet::Tap::l_out, 0});
  }
  std::vector<float> evaluate(const bitnet::Operation&) override { return {}; }
  std::int64_t length = 0, longest = 0, largest = 0;
  bool logits = true, taps_wanted = false;
};

TEST(Speed, IsMeasuredWithinTheContextAndWithoutTaps) {
  const std::vector<Token> tokens = {1, 2, 3};
  for (const auto& [n_ctx, prompt, generated] : {std::tuple(4096, 128, 32), {64, 48, 16}, {130, 97, 32}}) {
    Asked asked;
    const auto speeds = measure_speed(asked, tokens, n_ctx, {.measurements = 3, .least_seconds = 0.001});
    EXPECT_EQ(asked.largest, prompt);
    EXPECT_EQ(asked.longest, prompt + generated);
    EXPECT_TRUE(asked.logits);
    EXPECT_FALSE(asked.taps_wanted);
    ASSERT_EQ(speeds.size(), 2u);
    EXPECT_EQ(speeds[0].tokens, prompt);
    EXPECT_EQ(speeds[1].tokens, generated);
    for (const Speed& speed : speeds) {
      EXPECT_EQ(speed.tokens_per_second.size(), 3u);
      EXPECT_GE(speed.seconds, 0.003);
    }
  }
}

class BaselineRun : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("CROSSVAL_LLAMA_ADAPTER", "none", 1);
    folder_ = fs::path(testing::TempDir()) /
              (std::string("baseline-") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  RunOptions options(const std::string& reference = "oracle") const {
    RunOptions o;
    o.model = kRoot / "fixtures/model/bundled.gguf";
    o.prompts = kRoot / "fixtures/suites/smoke.json";
    o.reference = reference;
    o.filter = "add-2-2";
    o.out = folder_ / "report";
    o.baseline = folder_ / "baseline.json";
    o.quiet = o.silent = true;
    o.threads = 1;
    return o;
  }
  RunOptions updating(RunOptions o) const {
    o.update_baseline = true;
    return o;
  }
  json document() const { return json::parse(std::ifstream(folder_ / "baseline.json")); }
  void write(const json& document) const { std::ofstream(folder_ / "baseline.json") << document.dump(); }
  // As if the programs of the baseline had been so many times as fast.
  void make_faster(double factor) const {
    json d = document();
    for (json& run : d["speeds"])
      for (const char* phase : {"prefill", "decode"})
        for (json& n : run[phase]["tokens_per_second"]) n = n.get<double>() * factor;
    write(d);
  }
  json record() const { return of_type(records(folder_ / "report"), "baseline").at(0); }
  static std::string refusal(const RunOptions& o) {
    try {
      run(o);
    } catch (const Incomparable& e) {
      return e.what();
    }
    return "accepted";
  }

  fs::path folder_;
};

TEST_F(BaselineRun, IsWrittenAndHeldAgainst) {
  ASSERT_EQ(run(updating(options())).verdict, Verdict::pass);
  EXPECT_TRUE(of_type(records(folder_ / "report"), "baseline").empty());
  const json written = document();
  const json schema = json::parse(std::ifstream(kRoot / "docs/reference/schema/baseline.schema.json"));
  EXPECT_EQ(reports::testing::schema_errors(schema, written), std::vector<std::string>{});
  EXPECT_EQ(written["accuracy"]["worst"].size(), 2u * 23);
  EXPECT_TRUE(written["accuracy"]["answers"]["add-2-2"]);

  make_faster(0.001);  // however busy this machine is
  EXPECT_EQ(run(options()).verdict, Verdict::pass);
  int same = 0, better = 0;
  const json held = record();
  for (const json& row : held["rows"]) {
    same += row["verdict"] == "same";
    better += row["verdict"] == "better";
  }
  EXPECT_EQ(same, 2 * 23 + 2);  // each tap, KL, answers
  EXPECT_EQ(better, 2);
  EXPECT_EQ(reports::testing::schema_errors(
                json::parse(std::ifstream(kRoot / "docs/reference/schema/results.schema.json")), record()),
            std::vector<std::string>{});
}

TEST_F(BaselineRun, SlowerIsAGateFailureInEveryReport) {
  run(updating(options()));
  make_faster(1000);
  const RunResult result = run(options());
  EXPECT_EQ(result.verdict, Verdict::fail);
  EXPECT_NE(result.headline.find("worse than the baseline: prefill of 128 tokens"), std::string::npos)
      << result.headline;
  EXPECT_EQ(records(folder_ / "report").back()["exit"], 1);
  for (const char* file : {"report.json", "junit.xml", "summary.md", "index.html"})
    EXPECT_NE(slurp(folder_ / "report" / file).find("worse than the baseline"), std::string::npos) << file;
  // It was measured three times over.
  for (const json& perf : of_type(records(folder_ / "report"), "perf"))
    if (perf.contains("tokens_per_second")) {
      EXPECT_EQ(perf["tokens_per_second"].size(), 21u);
    }
}

TEST_F(BaselineRun, LessAccurateIsAGateFailure) {
  run(updating(options()));
  make_faster(0.001);
  json d = document();
  const auto error = [](const json& row) { return row["one_minus_cosine"].get<double>(); };
  json& worst = *std::ranges::max_element(d["accuracy"]["worst"], {}, error);
  ASSERT_GT(error(worst), 1e-11);  // or the sums of the metric would hide the change
  worst["one_minus_cosine"] = error(worst) / 2;
  write(d);
  const RunResult result = run(options());
  EXPECT_EQ(result.verdict, Verdict::fail);
  const std::string name =
      "1 - cosine of " + worst["tap"].get<std::string>() + " (" + worst["mode"].get<std::string>() + ")";
  EXPECT_NE(result.headline.find("worse than the baseline: " + name), std::string::npos) << result.headline;
}

TEST_F(BaselineRun, AnswersThatAreLostAreNamed) {
  run(updating(options()));
  make_faster(0.001);
  json d = document();
  d["accuracy"]["answers"]["gone-1"] = true;
  write(d);
  EXPECT_EQ(run(options()).verdict, Verdict::fail);
  EXPECT_NE(record()["rows"][0]["why"].get<std::string>().find("gone-1"), std::string::npos);
}

TEST_F(BaselineRun, AnotherModelSuitePlanOrGatesAreRefusedByName) {
  run(updating(options()));
  const auto says = [&](const RunOptions& o, const std::string& name) {
    EXPECT_NE(refusal(o).find(name + " (it has "), std::string::npos) << refusal(o);
  };
  RunOptions o = options();
  o.prompts = kRoot / "fixtures/suites/qa.json";
  says(o, "suite");
  o = options();
  o.filter = "capital-*";
  says(o, "filter");
  o = options();
  o.max_tokens = 1;
  says(o, "plan of cases and tokens");
  o = options();
  o.min_cosine = 0.99;
  says(o, "gates");
  says(options("emulator:rope=own"), "reference");
  json d = document();
  d["run"]["model"] = std::string(64, 'a');
  write(d);
  says(options(), "model");
}

TEST_F(BaselineRun, OnAnotherMachineOnlyWhatHasTheSameBitsThereIsCompared) {
  for (const char* reference : {"emulator:rope=own", "oracle"}) {
    run(updating(options(reference)));
    json d = document();
    d["machine"]["CPU"] = "MOS 6502";
    write(d);
    const std::string said = refusal(options(reference));
    if (reference == std::string("oracle")) {
      EXPECT_NE(said.find("CPU (it has MOS 6502"), std::string::npos) << said;
      continue;
    }
    EXPECT_EQ(said, "accepted");
    const json rows = record()["rows"];
    EXPECT_EQ(record()["verdict"], "PASS");
    EXPECT_EQ(rows.back()["verdict"], "not compared");
    EXPECT_NE(rows.back()["why"].get<std::string>().find("MOS 6502"), std::string::npos);
    EXPECT_GT(rows.size(), 40u);
  }
}

TEST_F(BaselineRun, TheLastRunsOfTheSameProgramsAreKept) {
  RunOptions o = updating(options("emulator:rope=own"));
  o.taps = "none";
  run(o);
  json d = document();
  while (d["speeds"].size() < 6) d["speeds"].push_back(d["speeds"][0]);
  d["speeds"][0]["programs"] = "others";
  write(d);
  run(o);
  EXPECT_EQ(document()["speeds"].size(), 5u);
  for (const json& speeds : document()["speeds"]) EXPECT_NE(speeds["programs"], "others");
}

TEST_F(BaselineRun, AFailingRunWritesNone) {
  RunOptions o = updating(options());
  o.inject = "silu-for-relu2";
  EXPECT_EQ(run(o).verdict, Verdict::fail);
  EXPECT_FALSE(fs::exists(folder_ / "baseline.json"));
}

TEST_F(BaselineRun, DamagedFilesAreNamed) {
  run(updating(options()));
  const json good = document();
  const auto refused = [&](const json& d, const std::string& because) {
    write(d);
    try {
      run(options());
      ADD_FAILURE() << "accepted: " << because;
    } catch (const bitnet::InputError& e) {
      EXPECT_NE(std::string(e.what()).find(because), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("baseline.json"), std::string::npos) << e.what();
    }
  };
  refused(json::array(), "no JSON object");
  for (const char* key : {"schema", "run", "machine", "accuracy", "speeds"}) {
    json d = good;
    d.erase(key);
    refused(d, key);
  }
  json d = good;
  d["speeds"][0]["decode"]["tokens_per_second"][0] = -1;
  refused(d, "speeds: decode");
  d = good;
  d["accuracy"]["worst"][0].erase("tap");
  refused(d, "accuracy.worst");
  fs::remove(folder_ / "baseline.json");
  EXPECT_THROW(run(options()), bitnet::InputError);
  RunOptions o = options();
  o.baseline.clear();
  o.update_baseline = true;
  EXPECT_THROW(run(o), bitnet::InputError);
}

}  // namespace
}  // namespace crossval
