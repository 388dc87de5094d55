// What a bundle holds, and what happens to hostile ones: each is refused in one line that names the field.

#include "crossval/replay/bundle.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <ostream>

#include "crossval/replay/test_bundle.h"
#include "engine/error.h"
#include "engine/safetensors/safetensors.h"
#include "engine/safetensors/test_file.h"

namespace crossval {
namespace {

using bitnet::testing::TestSafetensors;
using nlohmann::json;
using testing::test_bundle;

Bundle parsed(const std::string& bytes) {
  return parse_bundle(std::as_bytes(std::span(bytes)), "b");
}

// The same file, to be damaged.
TestSafetensors opened(const std::string& bytes) {
  const auto file = bitnet::Safetensors::parse(std::as_bytes(std::span(bytes)), "b");
  TestSafetensors t;
  for (const auto& [key, value] : file.metadata()) t.metadata[key] = value;
  for (const auto& tensor : file.tensors())
    t.tensors.push_back({tensor.name, std::string(bitnet::Safetensors::type_name(tensor.type)), tensor.shape,
                         std::string(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size())});
  return t;
}

TEST(Bundle, IsReadAsItWasWritten) {
  const Bundle b = test_bundle(), again = parsed(encode_bundle(b));
  EXPECT_EQ(again.operation.tap, b.operation.tap);
  EXPECT_EQ(again.operation.columns, b.operation.columns);
  EXPECT_EQ(again.operation.ternary, b.operation.ternary);
  EXPECT_EQ(again.operation.a, b.operation.a);
  EXPECT_EQ(again.operation.scale, b.operation.scale);
  EXPECT_EQ(again.shown, b.shown);
  EXPECT_EQ(again.evaluated, b.evaluated);
  EXPECT_EQ(again.participant.details, b.participant.details);
  EXPECT_EQ(again.gates.gates.front().threshold, 1e-6);
  EXPECT_EQ(again.gates.gates.front().source, "the test");
  EXPECT_EQ(again.row, 4);
  EXPECT_EQ(encode_bundle(again), encode_bundle(b));
}

TEST(Bundle, ItsNameHoldsNothingThatAPathCouldTakeOtherwise) {
  Bundle b = test_bundle();
  b.case_id = "../../etc/passwd $(rm)\n";
  b.operation.tap = {bitnet::Tap::q_rope, 3};
  EXPECT_EQ(bundle_name(b), "______etc_passwd___rm__-Qcur-3_2.crossval-bundle");
  b.case_id = std::string(5000, 'x');
  EXPECT_LT(bundle_name(b).size(), 200u);
}

struct Damage {
  const char* name;
  std::function<void(TestSafetensors&)> change;
  std::vector<const char*> words;
};
void PrintTo(const Damage& d, std::ostream* out) {
  *out << d.name;
}

Damage text(const char* name, const char* key, std::string value, std::vector<const char*> words) {
  words.push_back(key);
  return {name, [=](TestSafetensors& t) { t.metadata[key] = value; }, std::move(words)};
}
Damage number(const char* name, const char* key, json value, std::vector<const char*> words) {
  words.push_back(key);
  return {name,
          [=](TestSafetensors& t) {
            json all = json::parse(t.metadata["operation"]);
            all[key] = value;
            t.metadata["operation"] = all.dump();
          },
          std::move(words)};
}
Damage tensor(const char* name, const char* which, std::function<void(bitnet::testing::TestTensor&)> change,
              std::vector<const char*> words) {
  words.push_back(which);
  return {name, [=](TestSafetensors& t) { change(t.tensor(which)); }, std::move(words)};
}
std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

class HostileBundle : public ::testing::TestWithParam<Damage> {};

TEST_P(HostileBundle, IsRefusedByName) {
  TestSafetensors file = opened(encode_bundle(test_bundle()));
  GetParam().change(file);
  try {
    parsed(file.bytes());
    FAIL() << "it was accepted";
  } catch (const bitnet::InputError& e) {
    const std::string message = e.what();
    EXPECT_TRUE(message.starts_with("b: ")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (const char* word : GetParam().words) EXPECT_NE(message.find(word), std::string::npos) << message;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Metadata, HostileBundle,
    ::testing::Values(
        text("OtherSchema", "schema", "crossval.bundle/9", {"crossval.bundle/9"}),
        Damage{"NoSchema", [](auto& d) { d.metadata.erase("schema"); }, {"schema", "missing"}},
        Damage{"NoGates", [](auto& d) { d.metadata.erase("gates"); }, {"gates", "missing"}},
        Damage{"NoCommand", [](auto& d) { d.metadata.erase("command"); }, {"command", "missing"}},
        text("TapOfNoModel", "tap", "rm -rf /", {"no tap's name"}),
        text("TapOfAnotherKind", "tap", "attn_norm-0", {"norm"}),
        text("SideOfNobody", "side", "arbiter", {"neither"}),
        text("StepNegative", "step", "-1", {"whole number"}),
        text("StepHuge", "step", "99999999999999999999", {"whole number"}),
        text("StepNotANumber", "step", "nan", {"whole number"}),
        text("RowFraction", "row", "1.5", {"whole number"}),
        text("FlagOfAnotherWord", "reproduced", "yes", {"neither true nor false"}),
        text("EvaluatorFromOutside", "evaluator", "exec:rm -rf /", {"neither emulator nor oracle"}),
        text("DetailsNoObject", "details", "[1]", {"object of texts"}),
        text("DetailsDeep", "details", nested(100000), {"object of texts"}),
        text("DetailsOfNumbers", "details", R"({"isa": 3})", {"object of texts"}),
        text("GatesEmpty", "gates", "[]", {"non-empty array"}),
        text("GatesDeep", "gates", nested(100000), {"object"}), text("GatesNoJson", "gates", "{", {"array"}),
        text("GateThresholdNotANumber", "gates",
             R"([{"name":"g","mode":"local","metric":"nmse","taps":["*"],"threshold":"nan"}])",
             {"threshold"}),
        text("GateThresholdNull", "gates",
             R"([{"name":"g","mode":"local","metric":"nmse","taps":["*"],"threshold":null}])", {"threshold"}),
        text("GateOfAnUnknownKey", "gates",
             "[{\"name\":\"g\",\"mode\":\"local\",\"metric\":\"nmse\",\"taps\":[\"*\"],\"threshold\":1,"
             "\"run\\n\":1}]",
             {"unknown key"}),
        text("GateOfOtherTaps", "gates",
             R"([{"name":"g","mode":"local","metric":"nmse","taps":["l_out"],"threshold":1}])",
             {"nothing would be judged"}),
        text("GateFreeOnly", "gates",
             R"([{"name":"g","mode":"free","metric":"nmse","taps":["*"],"threshold":1}])",
             {"nothing would be judged"})),
    [](const auto& p) { return p.param.name; });

INSTANTIATE_TEST_SUITE_P(Operation, HostileBundle,
                         ::testing::Values(text("NoObject", "operation", "7", {"no JSON object"}),
                                           text("Deep", "operation", nested(100000), {"no JSON object"}),
                                           number("OtherKind", "kind", "norm", {"must be projection"}),
                                           number("WidthZero", "width", 0, {"multiple of 128"}),
                                           number("WidthOdd", "width", 100, {"multiple of 128"}),
                                           number("WidthHuge", "width", std::uint64_t{1} << 62,
                                                  {"whole number"}),
                                           number("WidthNegative", "width", -128, {"whole number"}),
                                           Damage{"WidthBeyondTheFile",
                                                  [](TestSafetensors& d) {
                                                    json all = json::parse(d.metadata["operation"]);
                                                    all["width"] = 1 << 20;
                                                    d.metadata["operation"] = all.dump();
                                                  },
                                                  {"input", "[1048576]"}},
                                           number("WidthOfText", "width", "128", {"whole number"}),
                                           number("PositionHuge", "position", 1LL << 40, {"whole number"}),
                                           number("ScaleNull", "scale", nullptr, {"finite"}),
                                           number("ScaleHuge", "scale", 1e300, {"finite"}),
                                           number("ScaleOfText", "scale", "inf", {"finite"}),
                                           number("EpsilonNegative", "epsilon", -1, {"negative"}),
                                           number("PairingUnknown", "pairing", "both", {"must be"}),
                                           number("ActivationUnknown", "activation", "gelu", {"must be"}),
                                           number("TableOfAnUnknownType", "table_type", "I2_T", {"no type"})),
                         [](const auto& p) { return p.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Tensors, HostileBundle,
    ::testing::Values(
        Damage{"InputMissing", [](auto& d) { d.remove("input"); }, {"input", "missing"}},
        Damage{"ColumnsMissing", [](auto& d) { d.remove("columns"); }, {"columns", "missing"}},
        Damage{"WeightsMissing", [](auto& d) { d.remove("ternary"); }, {"ternary", "missing"}},
        Damage{"OneTooMany",
               [](auto& d) {
                 d.tensors.push_back({"run", "U8", {1}, "x"});
               },
               {"no"}},
        Damage{"HistoryOfNoUse",
               [](auto& d) {
                 d.tensors.push_back({"history", "U8", {1}, "x"});
               },
               {"data"}},
        tensor("InputOfHalves", "input",
               [](auto& d) {
                 d.dtype = "F16";
                 d.bytes.resize(256);
               },
               {"F32"}),
        tensor("InputOfTwoDimensions", "input",
               [](auto& d) {
                 d.shape = {2, 64};
               },
               {"shape"}),
        tensor("InputShort", "input",
               [](auto& d) {
                 d.shape = {127};
                 d.bytes.resize(508);
               },
               {"[128]"}),
        tensor("ShownShort", "shown",
               [](auto& d) {
                 d.shape = {1};
                 d.bytes.resize(4);
               },
               {"[2]"}),
        tensor("ShownEmpty", "shown",
               [](auto& d) {
                 d.shape = {0};
                 d.bytes.clear();
               },
               {"[2]"}),
        tensor("ColumnsNegative", "columns", [](auto& d) { d.bytes.assign(16, '\xff'); }, {"no column"}),
        tensor("ColumnsEmpty", "columns",
               [](auto& d) {
                 d.shape = {0};
                 d.bytes.clear();
               },
               {"empty"}),
        tensor("WeightsNotTernary", "ternary", [](auto& d) { d.bytes[7] = 2; }, {"not -1, 0 or 1"}),
        tensor("WeightsOfOneRow", "ternary",
               [](auto& d) {
                 d.shape = {128};
                 d.bytes.resize(128);
               },
               {"[256]"}),
        tensor("ShapeThatOverflows", "input",
               [](auto& d) {
                 d.shape = {std::uint64_t{1} << 62, std::uint64_t{1} << 62};
               },
               {"shape"}),
        Damage{"BiasNotFinite",
               [](auto& d) {
                 d.tensors.push_back({"bias", "F32", {2}, std::string(8, '\xff')});
               },
               {"bias", "finite"}},
        Damage{"LargerThanABundle",
               [](auto& d) {
                 d.tensors.push_back({"run", "U8", {1000000}, std::string(1000000, 'x')});
               },
               {"1000000"}}),
    [](const auto& p) { return p.param.name; });

TEST(HostileBundle, CutAtAnyByteItIsRefused) {
  const std::string whole = encode_bundle(test_bundle());
  for (std::size_t n = 0; n < whole.size(); n += n < 64 ? 1 : 97)
    EXPECT_THROW(parsed(whole.substr(0, n)), bitnet::InputError) << n;
}

TEST(HostileBundle, AnglesForAllPositionsAreNotMadeAtWill) {
  Bundle b = test_bundle();
  SmallOperation& o = b.operation;
  o = {};
  o.tap = {bitnet::Tap::q_rope, 0};
  o.heads = 1;
  o.head_dim = o.n_rot = 128;
  o.rope_base = 10000;
  o.a.resize(128);
  for (int k = 0; k < 128; ++k) o.columns.push_back(k);
  b.shown = b.evaluated = o.a;
  o.position = 1000;
  EXPECT_NO_THROW(parsed(encode_bundle(b)));
  o.position = 1 << 22;
  EXPECT_THROW(parsed(encode_bundle(b)), bitnet::InputError);
}

}  // namespace
}  // namespace crossval
