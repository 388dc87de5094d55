#include "crossval/run/noise_gates.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "crossval/compare/gates.h"
#include "crossval/run/run.h"
#include "engine/error.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(CROSSVAL_SOURCE_DIR) / "fixtures";

class NoiseGates : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("CROSSVAL_LLAMA_ADAPTER", "none", 1);
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("crossval-noise-") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  RunOptions options(const std::string& reference) const {
    RunOptions o;
    o.model = kFixtures / "model/bundled.gguf";
    o.prompts = kFixtures / "suites/smoke.json";
    o.out = folder_ / "gates.json";
    o.reference = reference;
    o.quiet = true;
    o.threads = 2;
    return o;
  }
  std::vector<Gate> free_gates() const {
    std::vector<Gate> gates = load_gates((folder_ / "gates.json").string()).gates;
    std::erase_if(gates, [](const Gate& g) { return g.mode == Mode::local; });
    return gates;
  }
  RunResult run_with_gates(const std::string& inject) const {
    RunOptions o = options("emulator");
    o.gates = (folder_ / "gates.json").string();
    o.out = folder_ / "report";
    o.inject = inject;
    o.silent = true;
    return run(o);
  }

  fs::path folder_;
};

TEST_F(NoiseGates, OfAReferenceThatNeverDiffersFromItselfAskForEveryBit) {
  record_noise(options("engine"), {});
  const std::vector<Gate> gates = free_gates();
  EXPECT_EQ(gates.size(), 20u + 3);
  for (const Gate& gate : gates) {
    EXPECT_EQ(gate.metric, Metric::bits) << gate.name;
    EXPECT_EQ(gate.threshold, 0) << gate.name;
    EXPECT_NE(gate.source.find("1 thread instead of 2"), std::string::npos) << gate.source;
    EXPECT_EQ(gate.date.size(), std::string("2026-01-31").size());
  }
}

TEST_F(NoiseGates, AreTwiceWhatWasMeasuredAndTighterThanTheDefault) {
  record_noise(options("emulator"), {"emulator:width=8"});
  int measured = 0;
  for (const Gate& gate : free_gates()) {
    EXPECT_NE(gate.source.find("the kernels for several tokens"), std::string::npos) << gate.source;
    EXPECT_NE(gate.source.find("on "), std::string::npos);
    if (gate.metric == Metric::cosine) {
      EXPECT_LT(gate.threshold, 1) << gate.name;
      EXPECT_GT(gate.threshold, 0.999) << gate.name;
      ++measured;
    }
    if (gate.metric == Metric::norm_ratio_error) {
      EXPECT_LT(gate.threshold, 0.02) << gate.name;
    }
  }
  EXPECT_GT(measured, 10);

  EXPECT_EQ(run_with_gates("").verdict, Verdict::pass);
  EXPECT_EQ(run_with_gates("channel-one-percent").verdict, Verdict::fail);
}

TEST_F(NoiseGates, NeedASecondWay) {
  EXPECT_THROW(record_noise(options("engine:threads=2"), {}), bitnet::InputError);
  EXPECT_THROW(record_noise(options("trace:x.safetensors"), {}), bitnet::InputError);
  EXPECT_FALSE(fs::exists(folder_ / "gates.json"));
}

}  // namespace
}  // namespace crossval
