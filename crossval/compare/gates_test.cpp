#include "crossval/compare/gates.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "engine/error.h"
#include "reports/testing/json_schema.h"

namespace crossval {
namespace {

using bitnet::Tap;
using bitnet::TapId;

Measured measured(double cosine, double norm_ratio = 1, double nmse = 0) {
  Measured m;
  m.row.cosine = cosine;
  m.row.norm_ratio = norm_ratio;
  m.row.nmse = nmse;
  return m;
}

const GateSet kDefault = default_gates(0.999);
const TapId kLOut{Tap::l_out, 0};
const TapId kNorm{Tap::attn_norm, 0};
const TapId kProduct{Tap::ffn_down, 0};

TEST(Gates, FreeRunningLimitsAreThoseOfTheContract) {
  EXPECT_TRUE(judge(kDefault, Mode::free, kLOut, 0, measured(0.999)).pass);
  EXPECT_FALSE(judge(kDefault, Mode::free, kLOut, 0, measured(0.99899)).pass);
  EXPECT_TRUE(judge(kDefault, Mode::free, kLOut, 0, measured(1, 1.0199)).pass);
  EXPECT_FALSE(judge(kDefault, Mode::free, kLOut, 0, measured(1, 1.0201)).pass);
  EXPECT_FALSE(judge(kDefault, Mode::free, kLOut, 0, measured(1, 0.9799)).pass);
}

TEST(Gates, LocalLimitsAreThoseOfTheContract) {
  EXPECT_TRUE(judge(kDefault, Mode::local, kNorm, 0, measured(0.99999, 1.0009, 1e-6)).pass);
  EXPECT_FALSE(judge(kDefault, Mode::local, kNorm, 0, measured(0.999989)).pass);
  EXPECT_FALSE(judge(kDefault, Mode::local, kNorm, 0, measured(1, 1.0011)).pass);
  EXPECT_FALSE(judge(kDefault, Mode::local, kNorm, 0, measured(1, 1, 1.1e-6)).pass);
}

TEST(Gates, IntegerProductsAreHeldToEquality) {
  Measured m = measured(1, 1, 1e-13);
  m.integers_differing = 0;
  EXPECT_TRUE(judge(kDefault, Mode::local, kProduct, 0, m).pass);
  m.integers_differing = 1;
  const Judgement j = judge(kDefault, Mode::local, kProduct, 0, m);
  EXPECT_FALSE(j.pass);
  EXPECT_EQ(j.gate->name, "local.integers");
  EXPECT_EQ(j.why, "integers_differing 1 > 0");
  m = measured(1, 1, 2e-12);
  m.integers_differing = 0;
  EXPECT_FALSE(judge(kDefault, Mode::local, kProduct, 0, m).pass);
}

TEST(Gates, NanFailsEveryMetric) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Mode mode : {Mode::local, Mode::free})
    for (const TapId tap : {kLOut, kNorm, kProduct}) {
      EXPECT_FALSE(judge(kDefault, mode, tap, 0, measured(nan, nan, nan)).pass) << to_string(tap);
      EXPECT_EQ(judge(kDefault, mode, tap, 0, measured(nan, nan, nan)).severity,
                std::numeric_limits<double>::infinity());
    }
}

TEST(Gates, OnlyTapsOffTheTrunkAreExcusable) {
  EXPECT_TRUE(judge(kDefault, Mode::free, kNorm, 0, measured(0.9)).excusable);
  EXPECT_FALSE(judge(kDefault, Mode::free, kLOut, 0, measured(0.9)).excusable);
  EXPECT_FALSE(judge(kDefault, Mode::local, kNorm, 0, measured(0.9)).excusable);
}

TEST(Gates, NoiseExcusesOnlyWithinTwiceBothMeasures) {
  RowMetrics row;
  row.cosine = 0.99;
  row.norm_ratio = 1.02;
  EXPECT_TRUE(within_noise(row, {.cosine = 0.00501, .norm = 0.0101}));
  EXPECT_FALSE(within_noise(row, {.cosine = 0.0049, .norm = 0.0101}));
  EXPECT_FALSE(within_noise(row, {.cosine = 0.00501, .norm = 0.0099}));
  row.cosine = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(within_noise(row, {.cosine = 1, .norm = 1}));
}

TEST(Gates, EveryTapIsCoveredInBothModes) {
  for (int i = 0; i < bitnet::kTapCount; ++i) {
    const auto tap = static_cast<Tap>(i);
    const TapId id{tap, bitnet::has_layer(tap) ? 3 : -1};
    for (const Mode mode : {Mode::local, Mode::free})
      EXPECT_NE(judge(kDefault, mode, id, 5, measured(1)).gate, nullptr)
          << to_string(id) << " " << to_string(mode);
  }
}

TEST(Gates, Globs) {
  EXPECT_TRUE(matches_glob("*", ""));
  EXPECT_TRUE(matches_glob("l_out-?", "l_out-3"));
  EXPECT_TRUE(matches_glob("*norm*", "attn_sub_norm"));
  EXPECT_TRUE(matches_glob("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(matches_glob("a*b*c", "aXbYbZ"));
  EXPECT_FALSE(matches_glob("l_out", "l_out-3"));
  EXPECT_FALSE(matches_glob("", "x"));
}

std::string write_gates(const std::string& text) {
  const std::string path = testing::TempDir() + "gates.json";
  std::ofstream(path) << text;
  return path;
}

TEST(GatesFile, IsReadAndEnforced) {
  const auto path = write_gates(R"({"schema":"crossval.gates/1","gates":[
    {"name":"mine","mode":"free","metric":"bits","taps":["l_out-0"],"threshold":0,"source":"measured"}]})");
  const GateSet set = load_gates(path);
  Measured m = measured(1);
  m.row.bits = 1;
  EXPECT_FALSE(judge(set, Mode::free, kLOut, 0, m).pass);
  EXPECT_TRUE(judge(set, Mode::free, {Tap::l_out, 1}, 0, m).pass);
  EXPECT_NE(set.sha256, kDefault.sha256);
}

TEST(GatesFile, TheShippedOneIsTheDefault) {
  const GateSet shipped = load_gates(std::string(CROSSVAL_SOURCE_DIR) + "/ci/gates.json");
  ASSERT_EQ(shipped.gates.size(), kDefault.gates.size());
  for (std::size_t i = 0; i < shipped.gates.size(); ++i)
    EXPECT_EQ(to_json(shipped.gates[i]), to_json(kDefault.gates[i])) << i;
  EXPECT_EQ(shipped.sha256, kDefault.sha256);
  const auto read = [](const char* file) {
    return nlohmann::json::parse(std::ifstream(std::string(CROSSVAL_SOURCE_DIR) + file));
  };
  nlohmann::json document = read("/ci/gates.json");
  const nlohmann::json schema = read("/docs/reference/schema/gates.schema.json");
  EXPECT_EQ(reports::testing::schema_errors(schema, document), std::vector<std::string>{});
  document["gates"][0]["treshold"] = 1;
  EXPECT_FALSE(reports::testing::schema_errors(schema, document).empty());
}

TEST(GatesFile, MistakesAreNamed) {
  const auto message = [](const std::string& text) -> std::string {
    try {
      load_gates(write_gates(text));
    } catch (const bitnet::InputError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_NE(message("[1").find("not valid JSON"), std::string::npos);
  EXPECT_NE(message("{}").find("schema"), std::string::npos);
  EXPECT_NE(message(R"({"schema":"crossval.gates/1","gates":[]})").find("gates"), std::string::npos);
  EXPECT_NE(message(R"({"schema":"crossval.gates/1","gates":[{"name":"a","mode":"free","metric":"angle",
                        "taps":["*"],"threshold":1}]})")
                .find("gates[0].metric"),
            std::string::npos);
  EXPECT_NE(message(R"({"schema":"crossval.gates/1","gates":[{"name":"a","mode":"free","metric":"cosine",
                        "taps":["*"],"threshold":1,"treshold":2}]})")
                .find("treshold"),
            std::string::npos);
  EXPECT_NE(message(R"({"schema":"crossval.gates/1","gates":[{"name":"a","mode":"free","metric":"cosine",
                        "taps":[],"threshold":1}]})")
                .find("taps"),
            std::string::npos);
}

}  // namespace
}  // namespace crossval
