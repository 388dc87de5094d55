#include "reference/process/messages.h"

#include <gtest/gtest.h>

#include "reference/errors.h"

namespace crossval {
namespace {

using nlohmann::json;

bitnet::Config config() {
  bitnet::Config c;
  c.n_vocab = 300;
  c.n_embd = 8;
  c.n_ff = 12;
  c.n_layer = 2;
  c.n_head = 2;
  c.n_head_kv = 1;
  c.head_dim = 4;
  return c;
}

TEST(Messages, ALineIsOneObject) {
  EXPECT_EQ(parse_line(R"({"id":1})").at("id"), 1);
  for (const char* line : {"", "hello", "[1]", "3", "{\"id\":1", "{} {}", "{\"a\":\"\xff\"}"})
    EXPECT_THROW(parse_line(line), Breach) << line;
}

TEST(Messages, TheBase64TwinWins) {
  nlohmann::ordered_json message;
  put_message_text(message, "text", "plain");
  put_message_text(message, "piece", "\xff");
  EXPECT_EQ(message.dump(), R"({"text":"plain","piece_b64":"/w=="})");
  EXPECT_EQ(message_text({{"text", "a"}, {"text_b64", "Yg=="}}, "text"), "b");
  EXPECT_THROW(message_text({{"text_b64", "?"}}, "text"), Breach);
  EXPECT_THROW(message_text({{"text", 3}}, "text"), Breach);
  EXPECT_THROW(message_text(json::object(), "text"), Breach);
}

TEST(Messages, HelloIsCheckedAndAnotherVersionIsIncomparable) {
  const json hello = {{"protocol", 1}, {"name", "n"},       {"version", "v"},
                      {"build", "b"},  {"taps", {"l_out"}}, {"details", {{"width", 8}, {"isa", "x"}}}};
  const Hello parsed = parse_hello(hello);
  EXPECT_EQ(parsed.identity.details.at("width"), "8");
  EXPECT_EQ(parsed.identity.details.at("isa"), "x");
  EXPECT_EQ(parsed.taps, std::vector<std::string>{"l_out"});
  EXPECT_TRUE(parsed.options.empty());
  const auto with = [&](const char* key, const json& value) {
    json changed = hello;
    changed[key] = value;
    return changed;
  };
  EXPECT_THROW(parse_hello(with("protocol", 2)), Incomparable);
  EXPECT_THROW(parse_hello(with("protocol", "1")), Breach);
  EXPECT_THROW(parse_hello(with("name", 1)), Breach);
  EXPECT_THROW(parse_hello(with("taps", "l_out")), Breach);
  EXPECT_THROW(parse_hello(with("taps", {1})), Breach);
  EXPECT_THROW(parse_hello(with("details", {1})), Breach);
}

TEST(Messages, TapsAreNamedByBaseOrInFull) {
  const auto names = [](const std::vector<std::string>& given) {
    std::vector<std::string> out;
    for (const TapId id : taps_named(given, config())) out.push_back(bitnet::to_string(id));
    return out;
  };
  EXPECT_EQ(names({"result_output", "Qcur#2"}),
            (std::vector<std::string>{"Qcur-0#2", "Qcur-1#2", "result_output"}));
  EXPECT_EQ(names({"l_out-1", "l_out-2", "attn_norm", "nobody_knows_this"}),
            (std::vector<std::string>{"attn_norm-0", "attn_norm-1", "l_out-1"}));
}

TEST(Messages, ATensorsShapeIsThatOfItsTap) {
  const auto announced = [](const char* text) {
    return announced_tensor(json::parse(text), config(), /*position=*/3, /*rows=*/2);
  };
  const Tensor norm = announced(R"({"tensor":"attn_norm-1","rows":2,"width":8})");
  EXPECT_EQ(norm.offsets, (std::vector<std::int64_t>{0, 8, 16}));
  EXPECT_EQ(norm.values.size(), 16u);
  // Two heads over 4 and 5 visible cells.
  EXPECT_EQ(announced(R"({"tensor":"kq-0","rows":2,"widths":[8,10]})").offsets,
            (std::vector<std::int64_t>{0, 8, 18}));
  for (const char* text :
       {R"({"tensor":"attn_norm-1","rows":1,"width":8})", R"({"tensor":"attn_norm-1","rows":-2,"width":8})",
        R"({"tensor":"attn_norm-1","rows":2,"width":9})",
        R"({"tensor":"attn_norm-1","rows":2,"width":9000000000000000000})",
        R"({"tensor":"attn_norm-1","rows":2,"width":1e300})",
        R"({"tensor":"attn_norm-1","rows":2,"width":"8"})", R"({"tensor":"attn_norm-1","rows":2})",
        R"({"tensor":"attn_norm-1","rows":2,"widths":[8]})",
        R"({"tensor":"attn_norm-1","rows":2,"widths":[8,8.5]})",
        R"({"tensor":"attn_norm-1","rows":2,"widths":8})", R"({"tensor":"kq-0","rows":2,"widths":[8,8]})",
        R"({"tensor":"kq-0","rows":2,"width":8})", R"({"tensor":"attn_norm-2","rows":2,"width":8})",
        R"({"tensor":"attn_norm","rows":2,"width":8})", R"({"tensor":"x","rows":2,"width":8})",
        R"({"tensor":7,"rows":2,"width":8})"})
    EXPECT_THROW(announced(text), Breach) << text;
}

TEST(Messages, TokensAndPieces) {
  EXPECT_EQ(parse_tokens({{"tokens", {1, 2.0, 3}}}), (std::vector<Token>{1, 2, 3}));
  for (const json& bad : {json{{"tokens", {-1}}}, json{{"tokens", {1.5}}}, json{{"tokens", {1LL << 40}}},
                          json{{"tokens", "1"}}, json::object()})
    EXPECT_THROW(parse_tokens(bad), Breach) << bad;
  EXPECT_EQ(parse_pieces(json::parse(R"({"pieces":[{"piece":"a"},{"piece_b64":"/w=="}]})"), 2),
            (std::vector<std::string>{"a", "\xff"}));
  EXPECT_THROW(parse_pieces(json::parse(R"({"pieces":[{"piece":"a"}]})"), 2), Breach);
  EXPECT_THROW(parse_pieces(json::parse(R"({"pieces":["a"]})"), 1), Breach);
}

}  // namespace
}  // namespace crossval
