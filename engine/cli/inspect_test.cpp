#include "engine/cli/inspect.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "engine/cli/repeated_input.h"
#include "engine/cli/synth.h"
#include "engine/formats/i2s.h"
#include "engine/gguf/temporary_directory.h"
#include "engine/gguf/test_bytes.h"
#include "engine/gguf/writer.h"
#include "engine/tokenizer/test_vocabulary.h"

namespace bitnet {
namespace {

using gguf::ValueType;
using gguf::testing::Bytes;
using testing::TemporaryDirectory;
using Json = nlohmann::ordered_json;

const Json& check(const Json& report, const std::string& name) {
  for (const Json& c : report.at("checks"))
    if (c.at("name") == name) return c;
  ADD_FAILURE() << "no check " << name;
  static const Json kNone = {{"ok", false}, {"message", ""}};
  return kNone;
}

const Json& key(const Json& report, const std::string& name) {
  for (const Json& kv : report.at("keys"))
    if (kv.at("key") == name) return kv;
  ADD_FAILURE() << "no key " << name;
  static const Json kNone = {{"value", nullptr}};
  return kNone;
}

// A tiny model in memory, to be damaged.
class TinyModel {
 public:
  TinyModel() {
    const TemporaryDirectory dir;
    synth("tiny", "i2_s", 1, dir / "m");
    std::ifstream in(dir / "m", std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    bytes_.resize(text.size());
    std::memcpy(bytes_.data(), text.data(), text.size());
  }
  gguf::File file() const { return gguf::File::parse(bytes_, "tiny.gguf"); }
  // The bytes of a tensor, to write to.
  std::byte* data(const char* name) {
    const auto f = file();
    return bytes_.data() + (f.find_tensor(name)->data.data() - bytes_.data());
  }

 private:
  std::vector<std::byte> bytes_;
};

TEST(Inspect, DescribesAModel) {
  const TinyModel model;
  const auto file = model.file();
  const Json report = inspect(file);
  EXPECT_EQ(report.at("schema"), "bitnet.inspect/1");
  EXPECT_EQ(report.at("file"), "tiny.gguf");
  EXPECT_EQ(report.at("version"), 3);
  EXPECT_EQ(report.at("file_bytes"), file.file_bytes());
  EXPECT_EQ(key(report, "general.architecture").at("value"), "bitnet-b1.58");
  EXPECT_EQ(key(report, "bitnet-b1.58.block_count").at("value"), 2);
  EXPECT_EQ(key(report, "bitnet-b1.58.attention.layer_norm_rms_epsilon").at("value").dump(), "1e-05");
  const Json& tokens = key(report, "tokenizer.ggml.tokens");
  EXPECT_EQ(tokens.at("type"), "array");
  EXPECT_EQ(tokens.at("element_type"), "string");
  EXPECT_EQ(tokens.at("count"), 512);
  EXPECT_EQ(tokens.at("head").size(), 4u);
  EXPECT_EQ(key(report, "tokenizer.ggml.token_type").at("head"), Json({1, 1, 1, 1}));

  ASSERT_EQ(report.at("tensors").size(), 24u);
  const Json& first = report.at("tensors")[0];
  EXPECT_EQ(first.at("name"), "token_embd.weight");
  EXPECT_EQ(first.at("type"), "F16");
  EXPECT_EQ(first.at("shape"), Json({256, 512}));
  EXPECT_EQ(first.at("bytes"), 256 * 512 * 2);
  EXPECT_FALSE(first.contains("scale"));
  EXPECT_TRUE(report.at("tensors")[2].contains("scale"));
  EXPECT_TRUE(sound(report));
  EXPECT_FALSE(report.contains("repeated_input"));
}

TEST(Inspect, NamesThePreTokenizer) {
  const TinyModel model;
  EXPECT_EQ(check(inspect(model.file()), "vocabulary").at("message"), "512 tokens, pre-tokenizer llama3");
  // SentencePiece has none, whatever the key says, which llama.cpp writes all the same.
  const TemporaryDirectory dir;
  const SpmTestVocabulary v = sample_spm_vocabulary();
  gguf::Writer writer(dir / "m");
  writer.add("tokenizer.ggml.model", v.data.model);
  writer.add("tokenizer.ggml.pre", std::string("default"));
  writer.add("tokenizer.ggml.tokens", v.tokens);
  writer.add("tokenizer.ggml.scores", v.scores);
  writer.add("tokenizer.ggml.token_type", v.types);
  writer.add_tensor("token_embd.weight", {1, v.tokens.size()}, TensorType::f32);
  writer.begin();
  writer.append(std::vector<std::byte>(v.tokens.size() * sizeof(float)));
  writer.finish();
  EXPECT_EQ(check(inspect(gguf::File::open(dir / "m")), "vocabulary").at("message"),
            std::to_string(v.tokens.size()) + " tokens, SentencePiece, which has no pre-tokenizer");
}

TEST(Inspect, CountsTernaryWeights) {
  const TinyModel model;
  const auto file = model.file();
  std::uint64_t counts[3] = {0, 0, 0};
  for (const auto& t : file.tensors())
    if (t.type == TensorType::i2_s)
      for (std::uint64_t e = 0; e < t.elements(); ++e) ++counts[i2s::code_at(t.data, t.elements(), 0, e)];
  const Json report = inspect(file);
  const Json& t = report.at("ternary");
  EXPECT_EQ(t.at("tensors"), 14);
  EXPECT_EQ(t.at("minus"), counts[0]);
  EXPECT_EQ(t.at("zero"), counts[1]);
  EXPECT_EQ(t.at("plus"), counts[2]);
  EXPECT_EQ(t.at("invalid"), 0);
  EXPECT_EQ(t.at("weights"), counts[0] + counts[1] + counts[2]);
  EXPECT_GE(t.at("scale_min").get<double>(), 0.744);
  EXPECT_LE(t.at("scale_max").get<double>(), 4.6);
  const Json header = inspect(file, {.read_weights = false, .repeated_input = {}});
  EXPECT_FALSE(header.at("ternary").contains("minus"));
}

TEST(Inspect, DamagedWeightsFailTheirChecks) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  {
    TinyModel model;
    std::memcpy(model.data("blk.0.attn_q.weight") + 256 * 256 / 4, &nan, 4);
    const Json report = inspect(model.file());
    EXPECT_FALSE(sound(report));
    EXPECT_EQ(check(report, "ternary shapes and scales").at("ok"), false);
    EXPECT_NE(check(report, "ternary shapes and scales")
                  .at("message")
                  .get<std::string>()
                  .find("blk.0.attn_q.weight"),
              std::string::npos);
    EXPECT_EQ(report.at("tensors")[2].at("scale"), "nan");
    EXPECT_NO_THROW((void)inspect_text(report));
  }
  {
    TinyModel model;
    const float zero = 0;
    std::memcpy(model.data("blk.0.attn_q.weight") + 256 * 256 / 4, &zero, 4);
    EXPECT_EQ(check(inspect(model.file()), "ternary shapes and scales").at("ok"), false);
  }
  {
    TinyModel model;
    *model.data("blk.1.ffn_up.weight") = std::byte{0xff};
    const Json report = inspect(model.file());
    EXPECT_EQ(check(report, "values").at("ok"), false);
    EXPECT_NE(check(report, "values").at("message").get<std::string>().find("row 0, column 0 has code 3"),
              std::string::npos);
    EXPECT_EQ(report.at("ternary").at("invalid"), 4);
    EXPECT_TRUE(sound(inspect(model.file(), {.read_weights = false, .repeated_input = {}})));
  }
  {
    TinyModel model;
    std::memcpy(model.data("output_norm.weight") + 4, &nan, 4);
    EXPECT_EQ(check(inspect(model.file()), "values").at("ok"), false);
  }
}

TEST(Inspect, AFileThatIsNoModelIsDescribedAllTheSame) {
  Bytes b;
  b.header(0, 1).key("general.architecture", "gpt2");
  const auto file = gguf::File::parse(b.bytes, "v.gguf");
  const Json report = inspect(file);
  EXPECT_FALSE(sound(report));
  EXPECT_EQ(check(report, "container").at("ok"), true);
  EXPECT_EQ(check(report, "hyper-parameters").at("ok"), false);
  EXPECT_FALSE(report.contains("ternary"));
  EXPECT_EQ(report.at("compatibility")[0].at("loads"), false);
  EXPECT_NE(inspect_text(report).find("does not load this"), std::string::npos);
}

TEST(Inspect, HostileTextsAreHarmless) {
  Bytes b;
  b.header(1, 3);
  b.key("general.architecture", "\x1b[2J\x1b]0;title\x07");
  b.key("evil\nkey\xe2\x80\xae", "\xff\xfe");
  b.array("words", ValueType::string, 2).string("\x1b[31m").string("\xc3");
  b.tensor("te\rnsor\x1b[1A", {4}, TensorType::f32, 0).pad(32).zeros(16);
  const auto file = gguf::File::parse(b.bytes, "ev\x1b[2Jil.gguf");
  const Json report = inspect(file);
  const std::string text = inspect_text(report);
  for (const char c : text)
    EXPECT_TRUE(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f)) << static_cast<int>(c);
  EXPECT_EQ(text.find("\xe2\x80\xae"), std::string::npos);
  EXPECT_NE(text.find("evil\\nkey\\u{202e}"), std::string::npos);
  // JSON must be UTF-8; bytes that are not have a twin.
  const Json& evil = report.at("keys")[1];
  EXPECT_EQ(evil.at("value"), "\\xff\\xfe");
  EXPECT_EQ(evil.at("value_b64"), "//4=");
  EXPECT_NO_THROW((void)report.dump());
}

TEST(Inspect, LongTextsAreCut) {
  Bytes b;
  std::string text(5000, 'a');
  text.replace(4095, 3, "\xe4\xb8\xad");  // a character across the limit
  b.header(0, 1).key("k", text);
  const auto file = gguf::File::parse(b.bytes, "v.gguf");
  const Json report = inspect(file);
  EXPECT_EQ(report.at("keys")[0].at("value").get<std::string>(), std::string(4095, 'a'));
  EXPECT_EQ(report.at("keys")[0].at("bytes"), 5000);
  EXPECT_LT(inspect_text(report).size(), 1500u);
}

TEST(Inspect, NumbersReadAsTheyWereWritten) {
  Bytes b;
  b.header(0, 4);
  b.key("tenth", ValueType::f32, 0.1f).key("inf", ValueType::f32, -std::numeric_limits<float>::infinity());
  b.key("big", ValueType::u64, std::numeric_limits<std::uint64_t>::max());
  b.array("floats", ValueType::f32, 2).put(0.2f).put(std::numeric_limits<float>::quiet_NaN());
  const auto file = gguf::File::parse(b.bytes, "v.gguf");
  const Json report = inspect(file);
  EXPECT_EQ(key(report, "tenth").at("value").dump(), "0.1");
  EXPECT_EQ(key(report, "inf").at("value"), "-inf");
  EXPECT_EQ(key(report, "big").at("value").dump(), "18446744073709551615");
  EXPECT_EQ(key(report, "floats").at("head").dump(), "[0.2,\"nan\"]");
}

TEST(Inspect, RepeatedInputComesFromTheCallback) {
  const TinyModel model;
  const auto file = model.file();
  const Json report = inspect(file, {.read_weights = true, .repeated_input = [] {
                                       return RepeatedInput{.steps = 200, .repeats = 3};
                                     }});
  EXPECT_EQ(report.at("repeated_input").at("share"), 0.015);
  EXPECT_NE(inspect_text(report).find("in 3 of 200 greedy steps (1.50 %)"), std::string::npos);
  EXPECT_FALSE(inspect(file, {.read_weights = true, .repeated_input = [] { return std::nullopt; }})
                   .contains("repeated_input"));
}

TEST(RepeatedInput, ASyntheticModelSaysOtherTokens) {
  const TemporaryDirectory dir;
  SynthShape shape = synth_shape("tiny");
  shape.n_vocab = 8192;
  synth(shape, 1, dir / "m");
  const Model model = Model::load(dir / "m");
  const RepeatedInput r = measure_repeated_input(model, 100);
  EXPECT_EQ(r.steps, 100);
  EXPECT_LE(r.repeats, 5);
  // No more than the context holds.
  EXPECT_EQ(measure_repeated_input(model, 10000).steps, model.config().n_ctx);
}

}  // namespace
}  // namespace bitnet
