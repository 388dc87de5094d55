#include "engine/convert/json_object.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/formats/test_ternary.h"

namespace bitnet::hf {
namespace {

using testing_support::error_of;

std::string failure(const std::string& text) {
  return error_of([&] { (void)JsonObject::parse(text, "f.json"); });
}

TEST(JsonObject, FindsWhatIsThere) {
  const JsonObject o =
      JsonObject::parse(R"({"t":"x","b":true,"n":1.5,"c":7,"none":null,"o":{"in":{"deep":3}}})", "f.json");
  EXPECT_EQ(o.text("t"), "x");
  EXPECT_EQ(o.flag("b"), true);
  EXPECT_EQ(o.number("n"), 1.5);
  EXPECT_EQ(o.number("c"), 7.0);
  EXPECT_EQ(o.count("c"), 7U);
  EXPECT_EQ(o.text("none"), std::nullopt);
  EXPECT_EQ(o.count("absent"), std::nullopt);
  EXPECT_EQ(o.object("o")->object("in")->count("deep"), 3U);
}

TEST(JsonObject, NamesFileAndFieldOfAWrongType) {
  const JsonObject o =
      JsonObject::parse(R"({"t":1,"b":"x","n":"1","c":-7,"o":{"in":[{"f":2.5}]}})", "f.json");
  EXPECT_EQ(error_of([&] { o.text("t"); }), "f.json: t: must be a text");
  EXPECT_EQ(error_of([&] { o.flag("b"); }), "f.json: b: must be true or false");
  EXPECT_EQ(error_of([&] { o.number("n"); }), "f.json: n: must be a finite number");
  EXPECT_EQ(error_of([&] { o.count("c"); }), "f.json: c: must be a whole number that is not negative");
  const JsonObject in = *o.object("o");
  EXPECT_EQ(error_of([&] { in.object("in"); }), "f.json: o.in: must be an object");
  const JsonObject f = in.element(in.find("in")->front(), "in[0]");
  EXPECT_EQ(error_of([&] { f.count("f"); }),
            "f.json: o.in[0].f: must be a whole number that is not negative");
}

TEST(JsonObject, RefusesWhatIsNoObject) {
  EXPECT_NE(failure("").find("is no JSON at its byte"), std::string::npos);
  EXPECT_NE(failure("{\"a\":}").find("f.json: file: is no JSON at its byte 6"), std::string::npos)
      << failure("{\"a\":}");
  EXPECT_NE(failure("{\"\xff\":1}").find("is no JSON"), std::string::npos);
  EXPECT_NE(failure("[]").find("is no JSON object"), std::string::npos);
  EXPECT_NE(failure("{} x").find("is no JSON"), std::string::npos);
  EXPECT_NE(failure(R"({"n":1e999})").find("too great"), std::string::npos) << failure(R"({"n":1e999})");
  EXPECT_NE(error_of([] { (void)JsonObject::open("/nowhere/f.json"); }), "");
  EXPECT_EQ(JsonObject::find_file("/nowhere/f.json").has_value(), false);
}

// A parsed value would hold the last of them alone.
TEST(JsonObject, RefusesAKeyThatStandsTwice) {
  EXPECT_EQ(failure(R"({"a":{"k":1},"b":{"k":1}})"), "");
  EXPECT_NE(failure(R"({"a":{"k\n":1,"k\n":2}})").find("f.json: k\\n: stands twice"), std::string::npos);
}

TEST(JsonObject, RefusesDepthWithoutFallingIntoIt) {
  const auto nested = [](std::size_t n) {
    return "{\"a\":" + std::string(n, '[') + std::string(n, ']') + "}";
  };
  EXPECT_EQ(failure(nested(63)), "");
  EXPECT_NE(failure(nested(64)).find("nested more than 64 levels"), std::string::npos);
  EXPECT_NE(failure("{\"a\":" + std::string(1'000'000, '[')).find("nested more than 64 levels"),
            std::string::npos);
}

}  // namespace
}  // namespace bitnet::hf
