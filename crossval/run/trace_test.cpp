// Traces from end to end: recorded, replayed on either side, refused where they are of something else.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "crossval/errors.h"
#include "crossval/records/sha256.h"
#include "crossval/run/record.h"
#include "crossval/run/run.h"
#include "crossval/run/test_records.h"
#include "crossval/run/trace_rope.h"
#include "engine/base64.h"
#include "engine/error.h"
#include "engine/safetensors/safetensors.h"
#include "reference/trace/trace_reader.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kFixtures = fs::path(CROSSVAL_SOURCE_DIR) / "fixtures";
const fs::path kModel = kFixtures / "model/bundled.gguf";
const fs::path kAwkward = kFixtures / "model/awkward.gguf";
const fs::path kSuite = kFixtures / "suites/smoke.json";

std::int64_t differing_bits(const std::vector<json>& all, const std::string& mode = "") {
  std::int64_t bits = 0;
  for (const json& c : of_type(all, "comparison"))
    if (mode.empty() || c["mode"] == mode) bits += c["bits"].get<std::int64_t>();
  return bits;
}

class TraceRun : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("traces-") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  RunOptions options(const std::string& out) const {
    RunOptions o;
    o.model = kModel;
    o.prompts = kSuite;
    o.out = folder_ / out;
    o.quiet = true;
    o.threads = 2;
    return o;
  }
  // Records and returns the trace as the name of a participant.
  std::string trace(const std::string& participant, TraceValues values = TraceValues::full,
                    const std::function<void(RunOptions&)>& change = {}) const {
    RunOptions o = options("t" + std::to_string(++traces_) + ".safetensors");
    o.reference = participant;
    o.trace_values = values;
    if (change) change(o);
    record(o);
    return "trace:" + o.out.string();
  }
  // The message with which a run is refused as incomparable before anything is run.
  std::string refusal(const RunOptions& o) const {
    try {
      run(o);
    } catch (const Incomparable& e) {
      EXPECT_FALSE(fs::exists(o.out));
      return e.what();
    }
    return "";
  }

  fs::path folder_;
  mutable int traces_ = 0;
};

TEST_F(TraceRun, TheEngineEqualsTheRecordedEmulatorInEveryBit) {
  for (const std::int64_t batch : {1, 8}) {
    RunOptions o = options("report" + std::to_string(batch));
    // One token per evaluation for the engine's arithmetic; whole evaluations for the emulator's own.
    o.candidate = batch == 1 ? "engine:rope=trace" : "emulator:rope=trace";
    o.reference = trace("emulator", TraceValues::full, [&](RunOptions& r) { r.reference_batch = batch; });
    const RunResult result = run(o);
    EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
    EXPECT_NE(result.claim.find("a recorded trace of emulator"), std::string::npos) << result.claim;
    const auto all = records(o.out);
    // A single operation is evaluated as for a token alone, so of several only the passes themselves are
    // equal.
    EXPECT_EQ(differing_bits(all, "free"), 0);
    if (batch == 1) {
      EXPECT_EQ(differing_bits(all, "local"), 0);
    }
    const json& first = all.front();
    // Local gates as with any participant that shows taps; fed as the trace was recorded.
    EXPECT_TRUE(first["local"].get<bool>());
    EXPECT_TRUE(first["skipped_taps"].empty());
    EXPECT_EQ(first["reference_batch"], batch);
    EXPECT_EQ(first["candidate"]["details"]["rope"], "trace");
    std::size_t local = 0, free = 0;
    for (const json& c : of_type(all, "comparison")) ++(c["mode"] == "local" ? local : free);
    EXPECT_EQ(local, free);
    EXPECT_GT(local, 0U);
    // Self-noise is the recorded one.
    EXPECT_GT(all.back()["logit_noise"].get<double>(), 0);
    EXPECT_TRUE(first["reference"]["name"] == "trace of emulator");
  }
}

TEST_F(TraceRun, SelfNoiseIsThatOfALiveRun) {
  RunOptions live = options("live");
  live.reference = "emulator:rope=own";
  run(live);
  RunOptions replayed = options("replayed");
  replayed.reference = trace("emulator:rope=own");
  run(replayed);
  const json a = records(live.out).back(), b = records(replayed.out).back();
  EXPECT_EQ(a["self_noise"], b["self_noise"]);
  EXPECT_EQ(a["logit_noise"], b["logit_noise"]);
  EXPECT_EQ(a["made"], b["made"]);
}

TEST_F(TraceRun, ATraceMayBeTheCandidate) {
  RunOptions o = options("report");
  o.candidate = trace("emulator:rope=own");
  o.reference = "engine";
  const RunResult result = run(o);
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  EXPECT_EQ(differing_bits(records(o.out)), 0);
}

TEST_F(TraceRun, HashesAreHeldToEveryBit) {
  RunOptions o = options("report");
  o.candidate = "engine:rope=trace";
  o.reference = trace("emulator", TraceValues::sha256);
  const RunResult result = run(o);
  EXPECT_EQ(result.verdict, Verdict::pass) << result.headline;
  const auto all = records(o.out);
  EXPECT_EQ(differing_bits(all), 0);
  // Operations cannot be fed with hashes: no local comparison, and the reason is there for every tap.
  EXPECT_FALSE(all.front()["local"].get<bool>());
  EXPECT_EQ(all.front()["skipped_local"].size(), all.front()["taps"].size());
  EXPECT_NE(all.front()["skipped_local"][0]["reason"].get<std::string>().find("SHA-256"), std::string::npos);
  for (const json& c : of_type(all, "comparison")) {
    EXPECT_EQ(c["mode"], "free");
    EXPECT_GT(c["count"].get<std::int64_t>(), 0);
  }
  // Every answer and every token as in a run against the live participant.
  RunOptions live = options("live");
  live.reference = "emulator";
  run(live);
  EXPECT_EQ(of_type(all, "tokens"), of_type(records(live.out), "tokens"));
  // Both sides may be hashes.
  o.candidate = o.reference;
  o.out = folder_ / "both";
  EXPECT_EQ(run(o).verdict, Verdict::pass);
  EXPECT_EQ(differing_bits(records(o.out)), 0);
}

TEST_F(TraceRun, ARowOfAnotherHashFailsByAnUnknownAmount) {
  RunOptions o = options("report");
  o.candidate = "oracle";
  o.reference = trace("emulator", TraceValues::sha256);
  const RunResult result = run(o);
  EXPECT_EQ(result.verdict, Verdict::fail);
  std::int64_t unknown = 0;
  for (const json& c : of_type(records(o.out), "comparison")) {
    if (c["verdict"] == "PASS") continue;
    ++unknown;
    EXPECT_NE(c["why"].get<std::string>().find("the trace holds only the row's SHA-256"), std::string::npos);
    EXPECT_EQ(c["cosine"], "nan");
    EXPECT_NE(c["gate"], "none");
    EXPECT_GE(c["bits"].get<std::int64_t>(), 1);
  }
  EXPECT_GT(unknown, 0);
  // Last rows have their values, and are measured: the logits of every generated step pass.
  for (const json& c : of_type(records(o.out), "comparison")) {
    if (c["tap"] != "result_output" || c["step"] == 0) continue;
    EXPECT_EQ(c["verdict"], "PASS");
    EXPECT_GT(c["cosine"].get<double>(), 0.999);
    EXPECT_TRUE(c.contains("kl"));
  }
}

// Values and hash of one row that do not belong together: the trace itself is wrong, neither side is.
TEST_F(TraceRun, ATraceThatContradictsItselfIsInvalid) {
  RunOptions o = options("report");
  o.reference = trace("emulator:rope=own", TraceValues::sha256);
  const fs::path path = o.reference.substr(6);
  std::streamoff at = 0;
  {
    const bitnet::Safetensors file = bitnet::Safetensors::open(path);
    const auto tensor =
        std::ranges::find(file.tensors(), "add-2-2/1/l_out-2", &bitnet::Safetensors::Tensor::name);
    ASSERT_NE(tensor, file.tensors().end());
    const std::string bytes = slurp(path);
    at = static_cast<std::streamoff>(bytes.find(
        std::string_view(reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size())));
  }
  {
    std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(at);
    out.put('\x55');
  }
  EXPECT_EQ(run(o).verdict, Verdict::invalid);
  for (const json& c : of_type(records(o.out), "case")) {
    EXPECT_EQ(c["verdict"], c["id"] == "add-2-2" ? "INVALID" : "PASS");
    if (c["id"] == "add-2-2") {
      EXPECT_NE(c["problem"].get<std::string>().find("contradict each other"), std::string::npos);
    }
  }
}

// A gate may allow great differences; one of unknown size it may not.
TEST_F(TraceRun, NoThresholdExcusesAHashThatDiffers) {
  std::ofstream(folder_ / "gates.json") << R"({"schema":"crossval.gates/1","gates":[
      {"name":"roughly","mode":"free","metric":"nmse","taps":["l_out"],"threshold":0.5}]})";
  RunOptions o = options("report");
  o.candidate = "oracle";
  o.gates = folder_ / "gates.json";
  o.reference = trace("emulator", TraceValues::sha256);
  EXPECT_EQ(run(o).verdict, Verdict::fail);
  o.reference = trace("emulator");
  EXPECT_EQ(run(o).verdict, Verdict::pass);
}

TEST_F(TraceRun, AnotherModelOrSuiteIsRefused) {
  RunOptions o = options("report");
  o.reference = trace("emulator:rope=own");
  // The same weights in another file: a copy with a byte behind its last tensor's padding changed.
  std::string bytes = slurp(kModel);
  const auto name = bytes.find("bitnet");
  ASSERT_NE(name, std::string::npos);
  const fs::path other = folder_ / "other.gguf";
  std::ofstream(other, std::ios::binary) << bytes << std::string(32, '\0');
  const std::string here = sha256_file(kModel), there = sha256_file(other);
  o.model = other;
  const std::string message = refusal(o);
  EXPECT_NE(message.find(here), std::string::npos) << message;
  EXPECT_NE(message.find(there), std::string::npos) << message;
  EXPECT_NE(message.find("--allow-other-model"), std::string::npos);
  o.allow_other_model = true;
  EXPECT_EQ(run(o).verdict, Verdict::pass);

  // With --reference-model the trace is held to that one.
  RunOptions two = options("two");
  two.model = other;
  two.reference_model = kModel;
  two.reference = o.reference;
  EXPECT_EQ(run(two).verdict, Verdict::pass);
  two.out = folder_ / "three";
  std::swap(two.model, two.reference_model);
  EXPECT_NE(refusal(two), "");

  RunOptions suite = options("suite");
  suite.reference = o.reference;
  suite.prompts = folder_ / "s.json";
  std::ofstream(suite.prompts) << slurp(kSuite) << "\n";
  EXPECT_NE(refusal(suite).find("another suite"), std::string::npos);
  suite.allow_other_model = true;
  EXPECT_EQ(run(suite).verdict, Verdict::pass);

  // Other dimensions stay incomparable.
  RunOptions awkward = options("awkward");
  awkward.model = kAwkward;
  awkward.reference = o.reference;
  awkward.allow_other_model = true;
  EXPECT_NE(refusal(awkward).find("other dimensions"), std::string::npos);
}

TEST_F(TraceRun, WhatTheTraceLacksIsIncomparable) {
  RunOptions o = options("report");
  o.reference = trace("engine", TraceValues::full, [](RunOptions& r) {
    r.max_tokens = 2;
    r.filter = "add-*";
  });
  o.max_tokens = 2;
  EXPECT_EQ(run(o).verdict, Verdict::incomparable);
  for (const json& c : of_type(records(o.out), "case")) {
    const bool recorded = c["id"].get<std::string>().starts_with("add-");
    EXPECT_EQ(c["verdict"], recorded ? "PASS" : "INCOMPARABLE") << c["id"];
    if (!recorded) {
      EXPECT_NE(c["problem"].get<std::string>().find("is not in the trace"), std::string::npos);
    }
  }
  // A run that goes on where the trace ended.
  RunOptions longer = options("longer");
  longer.prompts = folder_ / "s.json";
  std::ofstream(longer.prompts) << R"({"schema":"crossval.suite/1","cases":[
      {"id":"a","prompt":"The capital of","max_tokens":6}]})";
  longer.reference = trace("engine", TraceValues::full, [&](RunOptions& r) {
    r.prompts = longer.prompts;
    r.max_tokens = 2;
  });
  EXPECT_EQ(run(longer).verdict, Verdict::incomparable);
  EXPECT_NE(of_type(records(longer.out), "case")[0]["problem"].get<std::string>().find(
                "the trace ends after 2 steps"),
            std::string::npos);
}

// Another suite that was allowed, with other ids or other steps.
TEST_F(TraceRun, OtherTokensAreNamed) {
  const auto suite = [&](const std::string& name, const std::string& ids) {
    std::ofstream(folder_ / name) << R"({"schema":"crossval.suite/1","cases":[{"id":"a",)" + ids + "}]}";
    return folder_ / name;
  };
  RunOptions o = options("report");
  const fs::path recorded = suite("recorded.json", R"("tokens":[5,6,7],"continuation":[8])");
  const auto record_it = [&](RunOptions& r) { r.prompts = recorded; };
  o.allow_other_model = true;
  o.prompts = suite("other.json", R"("tokens":[5,9,7],"continuation":[8])");
  o.reference = trace("engine", TraceValues::full, record_it);
  EXPECT_EQ(run(o).verdict, Verdict::incomparable);
  const std::string problem = of_type(records(o.out), "case")[0]["problem"];
  EXPECT_NE(problem.find("case `a`, step 0, position 1: the run feeds the token 9"), std::string::npos)
      << problem;
  EXPECT_NE(problem.find("the trace recorded 6"), std::string::npos) << problem;
  // The same ids in other steps: of hashes, the last row of the run's step has no values.
  o.prompts = suite("steps.json", R"("tokens":[5,6],"continuation":[7,8])");
  o.reference = trace("engine", TraceValues::sha256, record_it);
  EXPECT_EQ(run(o).verdict, Verdict::incomparable);
}

TEST_F(TraceRun, RopeTablesAreThoseOfTheParticipant) {
  const auto model = bitnet::Model::load(kModel);
  const auto table = [&](const std::string& participant) {
    return Trace::open(trace(participant).substr(6)).rope();
  };
  const auto own = table("engine"), emulator_own = table("emulator:rope=own");
  const auto libm = table("engine:rope=libm"), emulator = table("emulator");
  ASSERT_TRUE(own && emulator_own && libm && emulator);
  EXPECT_EQ(own->source, "own");
  EXPECT_EQ(libm->source, "libm");
  EXPECT_EQ(own->cosines, emulator_own->cosines);
  EXPECT_EQ(own->sines, emulator_own->sines);
  EXPECT_EQ(libm->cosines, emulator->cosines);
  EXPECT_EQ(own->cosines[0], 1);
  EXPECT_EQ(own->sines[0], 0);
  EXPECT_EQ(static_cast<std::int64_t>(own->cosines.size()), own->positions * model.config().n_rot / 2);
  const auto expected = rope_rows(model, bitnet::RopeMath::own, own->positions);
  EXPECT_EQ(own->sines, expected.sin);
  EXPECT_FALSE(table("oracle"));  // it turns by doubles
  EXPECT_EQ(rope_values_differing(Trace::open(trace("emulator").substr(6)), model), 0);

  // Without a table in use.
  RunOptions o = options("never");
  for (const auto& [candidate, reference] :
       std::vector<std::pair<std::string, std::string>>{{"engine:rope=trace", "oracle"},
                                                        {"engine", "emulator:rope=trace"},
                                                        {"engine:rope=trace", trace("oracle")}}) {
    o.candidate = candidate;
    o.reference = reference;
    EXPECT_THROW(run(o), bitnet::InputError) << candidate << " " << reference;
    EXPECT_FALSE(fs::exists(o.out));
  }
}

// The own table is the same everywhere; that of the host's libm may be another than the recorded one.
TEST(RopeTable, ALargeOneIsToldByItsHash) {
  EXPECT_EQ(rope_table_sha256(bitnet::RopeMath::own),
            "cfbf978a354099bca5991ee6b5d5093cf2d9dd838c379c1ab6cad869a12ea4e6");
  EXPECT_EQ(kRecordedRopeSha256.size(), 64U);
  EXPECT_NE(kRecordedRopeSha256, rope_table_sha256(bitnet::RopeMath::own));
}

// A table that no libm gives: engine and emulator must turn by it, not by what they would compute.
TEST_F(TraceRun, RopeTraceIsTheTablesOwnValues) {
  const std::string name = trace("emulator:rope=own");
  const fs::path path = name.substr(6);
  std::string bytes = slurp(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  json header = json::parse(bytes.substr(8, length));
  std::string sines = *bitnet::base64_decode(header["__metadata__"]["rope_sin"].get<std::string>());
  const float changed = 0.125f;
  std::memcpy(sines.data() + sines.size() / 2 / 4 * 4, &changed, sizeof changed);
  header["__metadata__"]["rope_sin"] = bitnet::base64_encode(sines);
  const std::string text = header.dump();
  const std::string data = bytes.substr(8 + length);
  length = text.size();
  std::string prefix(sizeof length, '\0');
  std::memcpy(prefix.data(), &length, sizeof length);
  std::ofstream(path, std::ios::binary) << prefix << text << data;
  RunOptions o = options("report");
  o.reference = name;
  o.candidate = "engine";
  EXPECT_EQ(run(o).verdict, Verdict::pass);  // the taps are still those of the true table
  for (const char* candidate : {"engine:rope=trace", "emulator:rope=trace"}) {
    o.candidate = candidate;
    EXPECT_EQ(run(o).verdict, Verdict::fail) << candidate;
    for (const json& c : of_type(records(o.out), "comparison"))
      if (c["verdict"] != "PASS") {
        EXPECT_TRUE(c["tap"] == "Qcur-0#2" || c["tap"] == "Kcur-0#2") << c["tap"];
        break;
      }
  }
}

TEST_F(TraceRun, EqualRunsAreEqualFiles) {
  for (const TraceValues values : {TraceValues::full, TraceValues::sha256}) {
    std::vector<std::string> files;
    for (const char* participant : {"emulator", "engine:isa=scalar,threads=1", "engine:threads=2"})
      files.push_back(slurp(trace(participant, values, [](RunOptions& r) { r.max_tokens = 2; }).substr(6)));
    EXPECT_TRUE(files[1] == files[2]);
    EXPECT_NE(files[0], files[1]);
  }
}

TEST_F(TraceRun, BadTracesAreBadInput) {
  RunOptions o = options("never");
  for (const std::string& name : {std::string("trace:"), "trace:" + (folder_ / "none").string(),
                                  "trace:" + kModel.string(), "trace:" + folder_.string()}) {
    o.reference = name;
    EXPECT_THROW(run(o), bitnet::InputError) << name;
    o.reference = "oracle";
    o.candidate = name;
    EXPECT_THROW(run(o), bitnet::InputError) << name;
    o.candidate = "engine";
  }
  o.reference = trace("engine");
  EXPECT_THROW(trace(o.reference), bitnet::InputError);  // a trace is not recorded again
  o.reference_batch = 4;                                 // it was recorded otherwise
  EXPECT_THROW(run(o), bitnet::InputError);
  EXPECT_FALSE(fs::exists(o.out));
}

// The candidate's trace decides how the reference is fed, and so what its other way of computing is.
TEST_F(TraceRun, ATraceOfWholePromptsIsHeldAgainstTheReferencesNoiseOneByOne) {
  RunOptions o = options("r");
  o.candidate = trace("emulator:rope=own", TraceValues::full, [](RunOptions& r) { r.reference_batch = 512; });
  o.reference = "emulator:rope=own";
  EXPECT_EQ(run(o).verdict, Verdict::pass);
  const auto all = records(o.out);
  EXPECT_EQ(differing_bits(all, "free"), 0);
  EXPECT_GT(all.back()["self_noise"]["l_out"][0], 0);
}

}  // namespace
}  // namespace crossval
