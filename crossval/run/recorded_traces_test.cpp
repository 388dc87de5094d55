// fixtures/traces: live runs of bitnet.cpp, recorded. The emulator reproduces all of them in every bit, the
// engine those of a build with 16 lanes that was given one token per evaluation; against the others that have
// values it holds the gates.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "crossval/records/sha256.h"
#include "crossval/run/run.h"
#include "crossval/run/test_records.h"
#include "reference/trace/trace_reader.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kFixtures = fs::path(CROSSVAL_SOURCE_DIR) / "fixtures";
const fs::path kTraces = kFixtures / "traces";

struct Recorded {
  std::string name;
  std::string model;
  std::string suite;
  std::size_t cases;
  bool hashed;
  std::int64_t batch;
  int lanes = 16;
};
const std::vector<Recorded> kRecorded = {
    {"bundled-full", "bundled", "qa", 2, false, 1},
    {"bundled", "bundled", "qa", 84, true, 1},
    {"awkward", "awkward", "awkward", 6, true, 1},
    {"awkward-prompts", "awkward", "awkward", 6, true, 512},
    {"awkward-8-lanes-full", "awkward", "awkward", 1, false, 1, 8},
    {"bundled-8-lanes", "bundled", "token-ids", 5, true, 1, 8},
    {"bundled-8-lanes-prompts", "bundled", "token-ids", 5, true, 512, 8},
    {"awkward-8-lanes", "awkward", "token-ids", 5, true, 1, 8},
    {"awkward-8-lanes-prompts", "awkward", "token-ids", 5, true, 512, 8}};

void PrintTo(const Recorded& r, std::ostream* out) {
  *out << r.name;
}

class RecordedTrace : public testing::TestWithParam<Recorded> {
 protected:
  void SetUp() override {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::path(testing::TempDir()) / ("recorded-" + std::to_string(std::hash<std::string>{}(name)));
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static fs::path path() { return kTraces / (GetParam().name + ".safetensors"); }
  static fs::path model() { return kFixtures / "model" / (GetParam().model + ".gguf"); }
  static fs::path suite() { return kFixtures / "suites" / (GetParam().suite + ".json"); }

  // Only the cases that are recorded: a run with another would be INCOMPARABLE.
  RunResult run_against(const std::string& candidate) const {
    RunOptions o;
    o.model = model();
    o.prompts = suite();
    o.out = folder_;
    o.candidate = candidate;
    o.reference = "trace:" + path().string();
    o.filter = GetParam().name == "bundled-full"           ? "add-2*"
               : GetParam().name == "awkward-8-lanes-full" ? "one-letter"
                                                           : "*";
    o.quiet = true;
    return run(o);
  }
  std::vector<json> comparisons() const { return of_type(records(folder_), "comparison"); }
  void expect_no_bit_to_differ() const;

  fs::path folder_;
};

TEST_P(RecordedTrace, IsOfALiveBitnetCppOverTheseFiles) {
  const Trace trace = Trace::open(path());
  EXPECT_EQ(trace.model_sha256(), sha256_file(model()));
  EXPECT_EQ(trace.suite_sha256(), sha256_file(suite()));
  EXPECT_EQ(trace.cases().size(), GetParam().cases);
  EXPECT_EQ(trace.hashed(), GetParam().hashed);
  EXPECT_EQ(trace.reference_batch(), GetParam().batch);
  const Identity& id = trace.identity();
  EXPECT_EQ(id.name, "bitnet.cpp");
  EXPECT_EQ(id.details.at("generation"), "2");
  EXPECT_EQ(id.details.at("vec_dot_lanes"), std::to_string(GetParam().lanes));
  ASSERT_TRUE(trace.rope());
  EXPECT_EQ(trace.rope()->source, "libm");
  EXPECT_FALSE(trace.self_noise().empty());
  // Where it was recorded is nobody's business.
  for (const auto& [key, value] : id.details) EXPECT_EQ(value.find('/'), std::string::npos) << key;
  EXPECT_EQ(id.build.find('/'), std::string::npos);
}

void RecordedTrace::expect_no_bit_to_differ() const {
  std::int64_t bits = 0, count = 0;
  for (const json& c : comparisons()) {
    bits += c["bits"].get<std::int64_t>();
    count += c["count"].get<std::int64_t>();
    EXPECT_EQ(c["bits"], 0) << c["case"] << " " << c["step"] << " " << c["tap"] << " " << c["mode"];
    if (HasFailure()) break;
  }
  EXPECT_EQ(bits, 0);
  EXPECT_GT(count, 100000);
}

TEST_P(RecordedTrace, TheEmulatorDiffersInNoBit) {
  const RunResult result = run_against("emulator:rope=trace,width=" + std::to_string(GetParam().lanes));
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  EXPECT_TRUE(result.claim.starts_with("our emulator of bitnet.cpp against a recorded trace of bitnet.cpp"))
      << result.claim;
  expect_no_bit_to_differ();
}

// The engine's one arithmetic is that of a build with 16 lanes that is given one token per evaluation.
class SixteenLanes : public RecordedTrace {};
TEST_P(SixteenLanes, TheEngineDiffersInNoBit) {
  const RunResult result = run_against("engine:rope=trace");
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  expect_no_bit_to_differ();
}

// The tests above can fail: another build has other bits.
class SmallTrace : public RecordedTrace {};
TEST_P(SmallTrace, AnotherBuildDiffers) {
  run_against(GetParam().lanes == 8 ? "emulator:rope=trace" : "emulator:rope=trace,width=8");
  std::int64_t bits = 0;
  for (const json& c : comparisons()) bits += c["bits"].get<std::int64_t>();
  EXPECT_GT(bits, 0);
}

// A row that is known only by its hash is equal or fails, so of a build with 8 lanes the gates need values.
class FullTrace : public RecordedTrace {};
TEST_P(FullTrace, TheEngineHoldsTheGates) {
  const RunResult result = run_against("engine:rope=trace");
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  std::size_t local = 0, free = 0;
  for (const json& c : comparisons()) ++(c["mode"] == "local" ? local : free);
  EXPECT_GT(free, 0U);
  EXPECT_EQ(local, free);
}

std::vector<Recorded> chosen(bool (*choose)(const Recorded&)) {
  std::vector<Recorded> some;
  std::ranges::copy_if(kRecorded, std::back_inserter(some), choose);
  return some;
}
std::string name_of(const testing::TestParamInfo<Recorded>& info) {
  std::string name = info.param.name;
  std::erase(name, '-');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Fixtures, RecordedTrace, testing::ValuesIn(kRecorded), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, SixteenLanes, testing::ValuesIn(chosen([](const Recorded& r) {
                           return r.lanes == 16 && r.batch == 1;
                         })),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, SmallTrace,
                         testing::ValuesIn(chosen([](const Recorded& r) { return r.cases < 10; })), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, FullTrace,
                         testing::ValuesIn(chosen([](const Recorded& r) { return !r.hashed; })), name_of);

TEST(RecordedTraces, AreSmallAndAllAreTested) {
  std::uintmax_t bytes = 0;
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(kTraces)) {
    bytes += entry.file_size();
    if (entry.path().extension() != ".safetensors") continue;
    ++files;
    EXPECT_TRUE(std::ranges::any_of(kRecorded, [&](const Recorded& r) {
      return r.name == entry.path().stem().string();
    })) << entry.path();
  }
  EXPECT_EQ(files, kRecorded.size());
  EXPECT_LE(bytes, 16u << 20);
}

// One recording in full and one of hashes, of the same cases: they must agree.
TEST(RecordedTraces, HashesAreThoseOfTheFullValues) {
  const Trace full = Trace::open(kTraces / "bundled-full.safetensors");
  const Trace hashed = Trace::open(kTraces / "bundled.safetensors");
  ASSERT_EQ(full.taps(), hashed.taps());
  std::size_t rows = 0;
  for (const auto& [id, one] : full.cases()) {
    const Trace::Case& other = hashed.cases().find(id)->second;
    ASSERT_EQ(one.steps.size(), other.steps.size());
    for (std::size_t s = 1; s < one.steps.size(); ++s)  // later steps have one row
      for (std::size_t t = 0; t < full.taps().size(); ++t, ++rows) {
        const auto& values = one.steps[s].taps[t].values;
        std::vector<float> row(values.size() / sizeof(float));
        std::memcpy(row.data(), values.data(), values.size());
        const Sha256 hash = sha256_of(row);
        EXPECT_EQ(std::memcmp(hash.data(), other.steps[s].taps[t].hashes.data(), sizeof hash), 0)
            << id << " " << s << " " << bitnet::to_string(full.taps()[t]);
      }
  }
  EXPECT_GT(rows, 100U);
}

}  // namespace
}  // namespace crossval
