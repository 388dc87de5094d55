// Receipts of real runs, and what becomes of forged ones. The forger knows his trade: he makes the receipt
// again from the records that he has changed, so that nothing but the records themselves gives him away.

#include "crossval/receipt/receipt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "crossval/receipt/verify.h"
#include "crossval/run/merge.h"
#include "crossval/run/run.h"
#include "crossval/run/test_records.h"
#include "engine/error.h"
#include "reports/testing/json_schema.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kFixtures = fs::path(CROSSVAL_SOURCE_DIR) / "fixtures";

class ReceiptTest : public testing::Test {
 protected:
  // Tests run side by side, each in a process of its own.
  static fs::path root() {
    return fs::path(testing::TempDir()) / ("crossval-receipts-" + std::to_string(::getpid()));
  }

  // A passing run against the oracle, whose figures differ in every value, and a failing one.
  static void SetUpTestSuite() {
    ::setenv("CROSSVAL_LLAMA_ADAPTER", "none", 1);
    fs::remove_all(root());
    try {
      RunOptions o = options("passed");
      if (run(o).verdict != Verdict::pass) trouble_ = "the sound run did not pass";
      o.out = root() / "failed";
      o.inject = "silu-for-relu2";
      if (run(o).verdict != Verdict::fail) trouble_ = "the faulty run did not fail";
    } catch (const std::exception& e) {
      trouble_ = e.what();
    }
  }
  // GoogleTest skips tests whose suite could not be set up, and what is skipped does not fail.
  void SetUp() override { ASSERT_EQ(trouble_, ""); }
  static void TearDownTestSuite() { fs::remove_all(root()); }

  static inline std::string trouble_;

  static RunOptions options(const std::string& out) {
    RunOptions o;
    o.model = kFixtures / "model/bundled.gguf";
    o.prompts = kFixtures / "suites/smoke.json";
    o.reference = "oracle";
    o.out = root() / out;
    o.quiet = o.silent = true;
    o.threads = 2;
    return o;
  }

  static json receipt_of(const fs::path& folder) {
    return json::parse(std::ifstream(folder / "receipt.json"));
  }
  static Verification verify(const fs::path& folder, bool strict = false) {
    return verify_receipt({.receipt = folder, .model = {}, .prompts = {}, .strict = strict});
  }

  // A copy of a run whose records went through `forge`; the receipt is made again from them.
  static fs::path forged(const std::string& of, const std::function<void(std::vector<json>&)>& forge) {
    const fs::path folder = root() / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder);
    fs::copy(root() / of, folder);
    std::vector<json> all = records(folder);
    forge(all);
    {
      std::ofstream out(folder / "results.jsonl");
      for (const json& record : all) out << record.dump() << "\n";
    }
    write_receipt(folder);
    return folder;
  }
  static json& first(std::vector<json>& all, const std::string& type, const json& with = json::object()) {
    for (json& record : all)
      if (record["type"] == type) {
        json merged = record;
        merged.update(with);
        if (merged == record) return record;
      }
    throw std::runtime_error("no such record: " + type);
  }

  static void expect_caught(const fs::path& folder, const std::string& because) {
    const Verification v = verify(folder);
    EXPECT_FALSE(v.mismatches.empty());
    std::string all;
    for (const std::string& what : v.mismatches) all += what + "\n";
    EXPECT_NE(all.find(because), std::string::npos) << all;
  }
};

TEST_F(ReceiptTest, EveryRunWritesOneThatFollowsFromItsRecords) {
  for (const char* name : {"passed", "failed"}) {
    const Verification v = verify(root() / name);
    EXPECT_EQ(v.mismatches, std::vector<std::string>{}) << name;
    EXPECT_EQ(v.notes, std::vector<std::string>{}) << name;
  }
  const json receipt = receipt_of(root() / "passed");
  const auto schema =
      json::parse(std::ifstream(fs::path(CROSSVAL_SOURCE_DIR) / "docs/reference/schema/receipt.schema.json"));
  EXPECT_EQ(reports::testing::schema_errors(schema, receipt), std::vector<std::string>{});
  for (const auto& [key, value] : receipt.items()) {
    if (key == "time" || key == "host" || key.ends_with("model") || key == "arbiter") continue;
    json damaged = receipt;
    damaged[key] = -1;
    if (schema["properties"].contains(key)) {
      EXPECT_FALSE(reports::testing::schema_errors(schema, damaged).empty()) << key;
    }
  }
  EXPECT_EQ(receipt["verdict"], "PASS");
  EXPECT_EQ(receipt["candidate"]["kind"], "engine");
  EXPECT_EQ(receipt["model"]["sha256"].get<std::string>().size(), 64u);
  EXPECT_FALSE(receipt["crossval"]["binaries"].empty());
  const auto made = records(root() / "passed").back()["made"];
  EXPECT_EQ(receipt["figures"]["comparisons"]["made"], made);
  // The kernels that really ran: at least seven products for each layer of each step, and nothing of another
  // activation.
  std::int64_t products = 0, silu = 0;
  for (const auto& [name, n] : receipt["kernels"]["candidate"].items()) {
    if (name.ends_with("::ternary_matmul")) products += n.get<std::int64_t>();
    if (name.ends_with("::silu")) silu += n.get<std::int64_t>();
  }
  EXPECT_GE(products, 7 * 4 * receipt["figures"]["picks"]["steps"].get<std::int64_t>());
  EXPECT_EQ(silu, 0);
}

TEST_F(ReceiptTest, TheKernelsAreThoseOfTheInstructionSetThatRan) {
  RunOptions o = options("scalar");
  o.isa = "scalar";
  run(o);
  const json kernels = receipt_of(o.out)["kernels"]["candidate"];
  EXPECT_GT(kernels["scalar::ternary_matmul"].get<std::int64_t>(), 0);
  for (const auto& [name, n] : kernels.items()) EXPECT_TRUE(name.starts_with("scalar::")) << name;
}

TEST_F(ReceiptTest, WithoutARealReferenceItSaysSoAndProvesNothingStrictly) {
  const json receipt = receipt_of(root() / "passed");
  EXPECT_FALSE(receipt["strict"]["holds"]);
  EXPECT_NE(receipt["claim"].get<std::string>().find("no real reference"), std::string::npos);
  EXPECT_FALSE(verify(root() / "passed", true).unproven.empty());
  for (const char* reference : {"emulator:rope=own", "self"}) {
    RunOptions o = options("unreal");
    o.reference = reference;
    o.filter = "add-2-2";
    ASSERT_EQ(run(o).verdict, Verdict::pass);
    EXPECT_EQ(verify(o.out).mismatches, std::vector<std::string>{}) << reference;
    EXPECT_FALSE(verify(o.out, true).unproven.empty()) << reference;
  }
}

TEST_F(ReceiptTest, ARecordedBitnetCppIsARealReference) {
  RunOptions o = options("recorded");
  o.prompts = kFixtures / "suites/qa.json";
  o.filter = "add-2*";
  o.candidate = "engine:rope=trace";
  o.reference = "trace:" + (kFixtures / "traces/bundled-full.safetensors").string();
  ASSERT_EQ(run(o).verdict, Verdict::pass);
  const Verification v = verify(o.out, true);
  EXPECT_EQ(v.mismatches, std::vector<std::string>{});
  EXPECT_EQ(v.unproven, std::vector<std::string>{});
  // The same run with a planted fault that no gate notices would prove nothing either.
  const fs::path folder = forged("recorded", [](std::vector<json>& all) {
    first(all, "run")["candidate"]["details"]["fault"] = "none-that-counts";
  });
  EXPECT_FALSE(verify(folder, true).unproven.empty());
}

TEST_F(ReceiptTest, ShardsMakeAReceiptWhenTheyAreMerged) {
  for (int i = 0; i < 2; ++i) {
    RunOptions o = options("s" + std::to_string(i));
    o.shard = {i, 2};
    run(o);
  }
  merge({root() / "s0", root() / "s1"}, root() / "merged");
  EXPECT_EQ(verify(root() / "merged").mismatches, std::vector<std::string>{});
  const json joint = receipt_of(root() / "merged")["figures"],
             whole = receipt_of(root() / "passed")["figures"];
  for (const char* key : {"cases", "comparisons", "picks", "answers", "kl"})
    EXPECT_EQ(joint[key], whole[key]) << key;
  for (std::size_t i = 0; i < whole["worst"].size(); ++i)
    for (const char* key :
         {"mode", "tap", "one_minus_cosine", "nmse", "max_abs", "values", "values_differing"})
      EXPECT_EQ(joint["worst"][i][key], whole["worst"][i][key]) << i;
}

TEST_F(ReceiptTest, AFigureEditedInTheReceipt) {
  const fs::path folder = forged("passed", [](auto&) {});
  json receipt = receipt_of(folder);
  receipt["figures"]["worst"][3]["one_minus_cosine"] = 0;
  std::ofstream(folder / "receipt.json") << receipt.dump();
  expect_caught(folder, "/figures/worst/3/one_minus_cosine");
}

TEST_F(ReceiptTest, RecordsEditedUnderAReceipt) {
  const fs::path folder = forged("passed", [](auto&) {});
  std::vector<json> all = records(folder);
  first(all, "case")["answer"] = "5";
  std::ofstream out(folder / "results.jsonl");
  for (const json& record : all) out << record.dump() << "\n";
  out.close();
  expect_caught(folder, "the records were changed after line");
}

TEST_F(ReceiptTest, AFigureEditedInTheRecords) {
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         first(all, "comparison", {{"tap", "l_out-2"}, {"mode", "free"}})["cosine"] = 0.9999;
                       }),
                "cosine and norm ratio make it");
}

TEST_F(ReceiptTest, AGreatestDifferenceThatItsValuesDoNotHave) {
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         first(all, "comparison", {{"tap", "l_out-2"}, {"mode", "free"}})["max_abs"] = 1e-9;
                       }),
                "apart");
}

TEST_F(ReceiptTest, ConstantsInsteadOfMeasuredValues) {
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         for (json& r : all)
                           if (r["type"] == "comparison")
                             r.update({{"cosine", 1.0},
                                       {"nmse", 0.0},
                                       {"norm_ratio", 1.0},
                                       {"max_abs", 0.0},
                                       {"got", 1.5},
                                       {"expected", 1.5},
                                       {"bits", 0}});
                       }),
                "nothing was measured");
}

TEST_F(ReceiptTest, ConstantsThatHangTogether) {
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         double value = 0.5;
                         for (json& r : all)
                           if (r["type"] == "comparison") {
                             r.update({{"cosine", 1.0}, {"norm_ratio", 1.0}, {"nmse", 0.0}, {"bits", 1}});
                             r.update({{"got", value}, {"expected", value + 0.125}, {"max_abs", 0.125}});
                             value += 1;
                           }
                       }),
                "by the very same figure");
}

TEST_F(ReceiptTest, AComparisonLeftOutAndEveryCountAdjusted) {
  expect_caught(forged("failed",
                       [](std::vector<json>& all) {
                         const auto it = std::ranges::find_if(all, [](const json& r) {
                           return r["type"] == "comparison" && r["verdict"] == "FAIL";
                         });
                         const json id = (*it)["case"];
                         all.erase(it);
                         for (const char* key : {"comparisons", "planned", "failed"}) {
                           json& n = first(all, "case", {{"id", id}})[key];
                           n = n.get<int>() - 1;
                         }
                         for (const char* key : {"made", "planned", "failed"}) {
                           json& n = all.back()[key];
                           n = n.get<int>() - 1;
                         }
                       }),
                "different ones are in these records");
}

TEST_F(ReceiptTest, AFailedComparisonReplacedByACopyOfAnother) {
  expect_caught(forged("failed",
                       [](std::vector<json>& all) {
                         const json passed = first(all, "comparison", {{"verdict", "PASS"}});
                         first(all, "comparison", {{"verdict", "FAIL"}, {"case", passed["case"]}}) = passed;
                       }),
                "stands there twice");
}

TEST_F(ReceiptTest, ACaseLeftOut) {
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         const std::string id = "capital-france";
                         std::int64_t gone = 0;
                         std::erase_if(all, [&](const json& r) {
                           gone += r["type"] == "comparison" && r["case"] == id;
                           return r.value("case", "") == id || r.value("id", "") == id;
                         });
                         first(all, "plan")["cases"] = {"add-2-2", "chat-symbol-gold"};
                         for (const char* key : {"made", "planned"})
                           all.back()[key] = all.back()[key].get<std::int64_t>() - gone;
                         all.back()["cases"]["pass"] = 2;
                       }),
                "the plan is not that of the suite");
}

TEST_F(ReceiptTest, AnotherModelsHash) {
  const std::string other(64, 'a');
  expect_caught(
      forged("passed", [&](std::vector<json>& all) { first(all, "run")["model"]["sha256"] = other; }),
      "bundled.gguf has SHA-256");
  // In the receipt alone.
  const fs::path folder = forged("passed", [](auto&) {});
  json receipt = receipt_of(folder);
  receipt["model"]["sha256"] = other;
  std::ofstream(folder / "receipt.json") << receipt.dump();
  expect_caught(folder, "/model/sha256");
}

TEST_F(ReceiptTest, RecordsOfAnotherRun) {
  const fs::path folder = forged("failed", [](auto&) {});
  fs::copy_file(root() / "passed/results.jsonl", folder / "results.jsonl",
                fs::copy_options::overwrite_existing);
  expect_caught(folder, "or are those of another run");
}

TEST_F(ReceiptTest, AVerdictFlippedInTheSummary) {
  expect_caught(forged("failed",
                       [](std::vector<json>& all) {
                         all.back()["verdict"] = "PASS";
                         all.back()["exit"] = 0;
                         all.back()["headline"] = "PASS: all is well";
                       }),
                "does not follow from the records");
}

TEST_F(ReceiptTest, EveryVerdictFlipped) {
  expect_caught(forged("failed",
                       [](std::vector<json>& all) {
                         for (json& r : all) {
                           if (r.contains("verdict")) r["verdict"] = "PASS";
                           if (r["type"] == "case") r["failed"] = 0;
                         }
                         json& s = all.back();
                         s.update({{"failed", 0}, {"exit", 0}, {"headline", "PASS: all is well"}});
                         s["cases"] = {{"pass", 3}, {"fail", 0}, {"incomparable", 0}, {"invalid", 0}};
                       }),
                "passed, but fails gate");
}

TEST_F(ReceiptTest, GatesLoosenedAfterwards) {
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         for (json& gate : first(all, "run")["gates"]["list"])
                           if (gate["name"] == "free.cosine") gate["threshold"] = 0.1;
                       }),
                "the gates are not those");
}

TEST_F(ReceiptTest, KernelsThatDidNotRun) {
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         json& kernels = first(all, "perf", {{"participant", "candidate"}})["kernels"];
                         kernels = {{"i2s_gemv", 1}, {"tl1_neon_pack", 1}};
                       }),
                "kernel i2s_gemv is none of");
  expect_caught(forged("passed",
                       [](std::vector<json>& all) {
                         for (json& n : first(all, "perf", {{"participant", "candidate"}})["kernels"]) n = 1;
                       }),
                "ternary_matmul was taken 1 times");
}

TEST_F(ReceiptTest, AnAnswerThatWasNotGiven) {
  expect_caught(forged("passed", [](std::vector<json>& all) { first(all, "case")["answer"] = "22"; }),
                "as expected does not follow");
}

TEST_F(ReceiptTest, WhatIsNoReceiptIsRefused) {
  EXPECT_THROW(verify(root() / "nowhere"), bitnet::InputError);
  const fs::path folder = forged("passed", [](auto&) {});
  std::ofstream(folder / "receipt.json") << "{}";
  EXPECT_THROW(verify(folder), bitnet::InputError);
  fs::copy_file(root() / "passed/receipt.json", folder / "receipt.json",
                fs::copy_options::overwrite_existing);
  std::ofstream(folder / "results.jsonl", std::ios::app) << "no record\n";
  EXPECT_THROW(verify(folder), bitnet::InputError);
  fs::remove(folder / "results.jsonl");
  EXPECT_THROW(verify(folder), bitnet::InputError);
}

}  // namespace
}  // namespace crossval
