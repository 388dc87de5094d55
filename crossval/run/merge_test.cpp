// Shards written by hand, as runs write them: what is joined, and what is refused.

#include "crossval/run/merge.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <set>

#include "crossval/records/record_file.h"
#include "crossval/run/noise_json.h"
#include "crossval/run/plan.h"
#include "crossval/run/test_records.h"
#include "engine/error.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class MergeTest : public testing::Test {
 protected:
  static constexpr int kShards = 3;
  static constexpr int kCases = 7;

  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("crossval-merge-") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (int i = 0; i < kCases; ++i) ids_.push_back("case-" + std::to_string(i));
    for (int i = 0; i < kShards; ++i) shards_.push_back(make_shard(i));
  }
  void TearDown() override { fs::remove_all(folder_); }

  // As wide as a tap's self-noise and the logits'.
  static json noise(double cosine) {
    SelfNoise noise;
    for (Noise& tap : noise.taps) tap = {cosine, cosine};
    noise.logit = cosine;
    return to_json(noise);
  }

  json comparison(const std::string& id, const std::string& tap, double one_minus_cosine) const {
    return {{"type", "comparison"},
            {"case", id},
            {"step", 0},
            {"tap", tap},
            {"mode", "free"},
            {"row", 0},
            {"rows", 1},
            {"cosine", 1 - one_minus_cosine},
            {"nmse", 0},
            {"norm_ratio", 1},
            {"max_abs", 0},
            {"at", {0, 0}},
            {"got", 1},
            {"expected", 1},
            {"bits", 0},
            {"count", 1},
            {"cosine_trimmed", 1},
            {"gate", "free"},
            {"verdict", "PASS"}};
  }

  std::vector<json> make_shard(int index) const {
    std::vector<std::string_view> all(ids_.begin(), ids_.end());
    const json side = {{"name", "engine"},
                       {"version", "1"},
                       {"build", "b"},
                       {"details", {{"isa", "avx2"}, {"threads", "2"}, {"rope", "own"}}}};
    std::vector<json> records = {{{"type", "run"},
                                  {"schema", "crossval.results/1"},
                                  {"claim", "engine against engine"},
                                  {"model", {{"sha256", "m"}}},
                                  {"suite", {{"sha256", "s"}}},
                                  {"gates", {{"sha256", "g"}}},
                                  {"taps", {"l_out-0"}},
                                  {"candidate", side},
                                  {"reference", side},
                                  {"host", {{"cpu", "cpu " + std::to_string(index)}}},
                                  {"shard", {{"index", index}, {"count", kShards}}},
                                  {"plan", {{"cases", kCases}, {"sha256", hash_of_plan(all)}}}}};
    json plan = json::array();
    for (int i = index; i < kCases; i += kShards) plan.push_back(ids_[static_cast<std::size_t>(i)]);
    records.push_back({{"type", "plan"}, {"cases", plan}});
    for (const json& id : plan) {
      records.push_back(comparison(id, "l_out-0", 0));
      records.push_back({{"type", "tokens"},
                         {"case", id},
                         {"step", 0},
                         {"fed", {1}},
                         {"candidate", 5},
                         {"reference", 5},
                         {"margin", 1.0},
                         {"verdict", "PASS"}});
      records.push_back({{"type", "case"},
                         {"id", id},
                         {"verdict", "PASS"},
                         {"tokens", {5}},
                         {"expect", nullptr},
                         {"flips", {{"explained", 0}, {"unexplained", 0}}},
                         {"planned", 1},
                         {"comparisons", 1},
                         {"skipped", 0},
                         {"failed", 0},
                         {"first_failure", nullptr},
                         {"guilty", nullptr},
                         {"self_noise", noise(1e-6)}});
    }
    records.push_back({{"type", "perf"}, {"participant", "candidate"}, {"what", "all"}, {"seconds", 1.5}});
    records.push_back({{"type", "summary"},
                       {"verdict", "PASS"},
                       {"located", nullptr},
                       {"coverage", {{{"gate", "free"}, {"compared", plan.size()}, {"min_compared", 5}}}}});
    return records;
  }

  static json& of_case(std::vector<json>& records, const char* type, const std::string& id) {
    for (json& r : records)
      if (r["type"] == type && (r.value("case", "") == id || r.value("id", "") == id)) return r;
    throw std::logic_error("no such record");
  }

  RunResult join() {
    std::vector<fs::path> folders;
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      folders.push_back(folder_ / std::to_string(i));
      fs::create_directories(folders.back());
      RecordFile file(folders.back() / "results.jsonl", /*append=*/false);
      for (const json& r : shards_[i]) file.append(r);
    }
    return merge(folders, folder_ / "joint");
  }

  template <class Error>
  void expect_refused(const std::string& words) {
    try {
      join();
      ADD_FAILURE() << "joined, though " << words;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << e.what();
    }
    EXPECT_FALSE(fs::exists(folder_ / "joint"));
  }

  fs::path folder_;
  std::vector<std::string> ids_;
  std::vector<std::vector<json>> shards_;
};

TEST_F(MergeTest, JoinsThePlanInItsOrder) {
  std::swap(shards_[0], shards_[2]);  // in whatever order they come
  const RunResult result = join();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  const auto all = records(folder_ / "joint");
  EXPECT_EQ(all[1]["cases"], json(ids_));
  EXPECT_EQ(all[0]["shard"]["count"], 1);
  EXPECT_EQ(all[0]["merged"]["shards"], kShards);
  EXPECT_EQ(all[0]["merged"]["hosts"].size(), 3u);
  EXPECT_EQ(of_type(all, "case").size(), 7u);
  ASSERT_EQ(of_type(all, "perf").size(), 1u);
  EXPECT_EQ(of_type(all, "perf")[0]["seconds"], 4.5);
  EXPECT_EQ(all.back()["made"], 7);
  // 3 + 2 + 2 are enough for a gate that asks for 5, though no shard alone was.
  EXPECT_EQ(all.back()["coverage"][0]["compared"], 7);
}

TEST_F(MergeTest, AMissingShardIsNamed) {
  shards_.erase(shards_.begin() + 1);
  expect_refused<Invalid>("shard 1 of 3 is missing");
  shards_.erase(shards_.begin());
  expect_refused<Invalid>("shards 0 and 1 of 3 are missing");
}

TEST_F(MergeTest, AShardGivenTwiceIsNamed) {
  shards_.push_back(shards_[1]);
  expect_refused<bitnet::InputError>("shard 1 was given twice");
}

TEST_F(MergeTest, ACaseThatIsThereTwiceMissingOrForeignIsNamed) {
  const auto whole = shards_;
  shards_[1].insert(shards_[1].end() - 1, of_case(shards_[1], "case", "case-4"));
  expect_refused<Invalid>("case `case-4` is there twice");
  shards_ = whole;
  std::erase_if(shards_[2], [](const json& r) { return r["type"] == "case" && r["id"] == "case-5"; });
  expect_refused<Invalid>("no verdict for `case-5`");
  shards_ = whole;
  of_case(shards_[0], "case", "case-3")["id"] = "case-4";
  expect_refused<Invalid>("holds case `case-4`, which its plan does not");
  // Gone from the shard's own plan as well: only the plan of the whole tells.
  shards_ = whole;
  std::erase_if(shards_[2], [](const json& r) { return r["type"] == "case" && r["id"] == "case-5"; });
  shards_[2][1]["cases"].erase(1);
  expect_refused<Invalid>("the plan: it has 7 cases, and they 6");
  // Another in its place.
  shards_ = whole;
  of_case(shards_[2], "case", "case-5")["id"] = "case-9";
  shards_[2][1]["cases"][1] = "case-9";
  expect_refused<Invalid>("but others or in another order");
}

TEST_F(MergeTest, AnUnfinishedShardIsNamed) {
  shards_[1].pop_back();
  expect_refused<Invalid>("1/results.jsonl: the shard did not finish; finish it with --resume");
}

TEST_F(MergeTest, AnotherRunIsRefusedByWhatDiffers) {
  const std::pair<const char*, const char*> kDifferences[] = {
      {"/model/sha256", "its model is other, that of"},
      {"/suite/sha256", "its suite is"},
      {"/gates/sha256", "its gates is"},
      {"/shard/count", "its number of shards is"},
      {"/plan/sha256", "its plan is"},
      {"/candidate/name", "its candidate name is"},
      {"/reference/build", "its reference build is"},
      {"/reference/details/rope", "its options of the reference is"},
      {"/max_tokens", "its --max-tokens is"}};
  const auto whole = shards_;
  for (const auto& [pointer, words] : kDifferences) {
    shards_ = whole;
    shards_[2][0][json::json_pointer(pointer)] = "other";
    expect_refused<Incomparable>(words);
  }
  shards_ = whole;  // the bits are the same on every machine
  shards_[2][0]["candidate"]["details"]["isa"] = "neon";
  EXPECT_EQ(join().verdict, Verdict::pass);
}

TEST_F(MergeTest, AShardIsNotOverwritten) {
  join();
  const std::string before = slurp(folder_ / "1/results.jsonl");
  EXPECT_THROW(merge({folder_ / "0", folder_ / "1", folder_ / "2"}, folder_ / "1"), bitnet::InputError);
  EXPECT_EQ(slurp(folder_ / "1/results.jsonl"), before);
}

// A single run would have known the self-noise of case-1, in another shard, and excused case-0.
TEST_F(MergeTest, TheSelfNoiseOfAllShardsJudges) {
  json& compared = of_case(shards_[0], "comparison", "case-0");
  compared["cosine"] = 1 - 1e-4;
  compared["verdict"] = "FAIL";
  compared["why"] = "cosine 0.9999 < 0.99999, and beyond twice the self-noise";
  json& picks = of_case(shards_[0], "tokens", "case-0");
  picks["candidate"] = 6;
  picks["margin"] = 1e-4;
  picks["verdict"] = "FAIL";
  json& failed = of_case(shards_[0], "case", "case-0");
  failed["verdict"] = "FAIL";
  failed["failed"] = 1;
  failed["flips"]["unexplained"] = 1;
  failed["first_failure"] = {{"step", 0}, {"tap", "l_out-0"}, {"mode", "free"}};
  RunResult result = join();
  EXPECT_EQ(result.verdict, Verdict::fail) << result.headline;
  EXPECT_EQ(records(folder_ / "joint").back()["first_failure"]["case"], "case-0");

  of_case(shards_[1], "case", "case-1")["self_noise"] = noise(1e-3);
  result = join();
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  auto joint = records(folder_ / "joint");
  const json& excused = of_case(joint, "comparison", "case-0");
  EXPECT_EQ(excused["verdict"], "PASS");
  EXPECT_EQ(excused["noise"], json({1e-3, 1e-3}));
  EXPECT_FALSE(excused.contains("why"));
  EXPECT_EQ(of_case(joint, "tokens", "case-0")["verdict"], "EXPLAINED");
  const json& passed = of_case(joint, "case", "case-0");
  EXPECT_EQ(passed["verdict"], "PASS");
  EXPECT_EQ(passed["failed"], 0);
  EXPECT_EQ(passed["flips"], json({{"explained", 1}, {"unexplained", 0}}));
  EXPECT_TRUE(passed["first_failure"].is_null());
  EXPECT_TRUE(joint.back()["first_failure"].is_null());
}

TEST_F(MergeTest, TheFirstFailureIsThatOfTheSuitesOrder) {
  for (const auto& [shard, id] : {std::pair<std::size_t, const char*>{0, "case-3"}, {1, "case-1"}}) {
    json& compared = of_case(shards_[shard], "comparison", id);
    compared["verdict"] = "FAIL";
    compared["why"] = "cosine";
    json& failed = of_case(shards_[shard], "case", id);
    failed["verdict"] = "FAIL";
    failed["failed"] = 1;
    failed["first_failure"] = {{"step", 0}, {"tap", "l_out-0"}, {"mode", "free"}};
  }
  EXPECT_EQ(join().verdict, Verdict::fail);
  EXPECT_EQ(records(folder_ / "joint").back()["first_failure"]["case"], "case-1");
}

TEST_F(MergeTest, CoverageIsThatOfAllTogether) {
  // Zero in one shard only is no complaint; the shard's own is left out.
  for (const char* id : {"case-0", "case-3", "case-6"})
    of_case(shards_[0], "case", id)["zero_taps"] = {"l_out-0"};
  shards_[0].insert(
      shards_[0].end() - 1,
      json{{"type", "skip"}, {"count", 0}, {"reason", "coverage: tap l_out-0 was zero everywhere"}});
  shards_[0].back()["verdict"] = "FAIL";
  EXPECT_EQ(join().verdict, Verdict::pass);
  EXPECT_TRUE(of_type(records(folder_ / "joint"), "skip").empty());
  // Everywhere it is.
  for (auto& shard : shards_)
    for (json& r : shard)
      if (r["type"] == "case") r["zero_taps"] = {"l_out-0"};
  EXPECT_EQ(join().verdict, Verdict::fail);
  ASSERT_EQ(of_type(records(folder_ / "joint"), "skip").size(), 1u);
  for (auto& shard : shards_) shard.back()["coverage"][0]["min_compared"] = 8;
  EXPECT_EQ(join().verdict, Verdict::invalid);
}

TEST_F(MergeTest, AMissedCanaryIsInvalid) {
  shards_[2].insert(shards_[2].begin() + 2, json{{"type", "canary"},
                                                 {"case", "case-2"},
                                                 {"step", 0},
                                                 {"tap", "l_out-0"},
                                                 {"caught", false},
                                                 {"verdict", "INVALID"}});
  EXPECT_EQ(join().verdict, Verdict::invalid);
}

}  // namespace
}  // namespace crossval
