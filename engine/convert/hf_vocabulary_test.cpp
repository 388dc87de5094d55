#include "engine/convert/hf_vocabulary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/convert/test_tokenizer_json.h"
#include "engine/formats/test_ternary.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet::hf {
namespace {

using testing::small_tokenizer_json;
using testing::with;
using testing_support::error_of;
using Ids = std::vector<std::pair<std::string, std::uint32_t>>;

JsonObject parsed(const std::string& text, const char* name = "tokenizer.json") {
  return JsonObject::parse(text, name);
}

HfVocabulary read(const std::string& tokenizer, const std::string& config = "{}",
                  const std::string& generation = "{}", const std::string& pre = "",
                  const std::optional<std::string>& chat_template = {}) {
  TokenizerFiles files;
  files.tokenizer = parsed(tokenizer);
  files.tokenizer_config = parsed(config, "tokenizer_config.json");
  files.generation_config = parsed(generation, "generation_config.json");
  files.chat_template = chat_template;
  return read_hf_vocabulary(files, 8, pre);
}

std::string failure(const std::string& tokenizer, const std::string& config = "{}",
                    const std::string& generation = "{}", const std::string& pre = "") {
  return error_of([&] { (void)read(tokenizer, config, generation, pre); });
}

bool has_note(const HfVocabulary& v, const std::string& part) {
  return std::ranges::any_of(v.notes,
                             [&](const std::string& n) { return n.find(part) != std::string::npos; });
}

TEST(HfVocabulary, ReadsTokensTypesAndMerges) {
  const HfVocabulary v = read(small_tokenizer_json());
  EXPECT_EQ(v.model, "gpt2");
  EXPECT_EQ(v.pre, "gpt-2");
  EXPECT_EQ(v.tokens, (std::vector<std::string>{"a", "b", "c", "ab", "<s>", "</s>", "<tool>", "[PAD7]"}));
  EXPECT_EQ(v.types, (std::vector<std::int32_t>{1, 1, 1, 1, 3, 3, 4, 5}));
  EXPECT_EQ(v.merges, std::vector<std::string>{"a b"});
  EXPECT_TRUE(v.add_bos);
  EXPECT_FALSE(v.add_eos);
  EXPECT_TRUE(has_note(v, "1 of 8 ids have no token"));
  EXPECT_EQ(read(with(small_tokenizer_json(), R"(["a b"])", R"([["a", "b"]])")).merges, v.merges);
  const Tokenizer tokenizer(v.data(), {});
  EXPECT_EQ(tokenizer.encode("abc<tool>", true, true), (std::vector<Token>{4, 3, 2, 6}));
}

TEST(HfVocabulary, TokensGetTheirRoles) {
  const HfVocabulary v = read(small_tokenizer_json(),
                              R"({"bos_token":"<s>","eos_token":{"content":"</s>"},"pad_token":"<tool>"})");
  EXPECT_EQ(v.ids, (Ids{{"bos_token_id", 4}, {"eos_token_id", 5}, {"padding_token_id", 6}}));
  const HfVocabulary by_id = read(small_tokenizer_json(), "{}", R"({"bos_token_id":4,"eos_token_id":[5,6]})");
  EXPECT_EQ(by_id.ids, (Ids{{"bos_token_id", 4}, {"eos_token_id", 5}, {"eot_token_id", 6}}));
  // A third end has no key, unless its text is known for one.
  const HfVocabulary three = read(small_tokenizer_json(), "{}", R"({"eos_token_id":[5,6,2]})");
  EXPECT_EQ(three.ids, (Ids{{"bos_token_id", 4}, {"eos_token_id", 5}, {"eot_token_id", 6}}));
  EXPECT_TRUE(has_note(three, "token 2, `c`, ends a generation"));
  const std::string eom = with(small_tokenizer_json(), "<tool>", "<|eom_id|>");
  EXPECT_EQ(read(eom, "{}", R"({"eos_token_id":[5,6]})").ids,
            (Ids{{"bos_token_id", 4}, {"eos_token_id", 5}, {"eom_token_id", 6}}));
  // What the post-processor writes comes first, whatever is called BOS.
  const HfVocabulary other = read(small_tokenizer_json(), R"({"bos_token":"<tool>"})");
  EXPECT_EQ(other.ids, (Ids{{"bos_token_id", 4}}));
  EXPECT_TRUE(has_note(other, "BOS is `<s>`, which the post-processor writes, not `<tool>`"));
}

TEST(HfVocabulary, WithoutAPostProcessorTheFlagsDecide) {
  const std::string none = with(small_tokenizer_json(), R"("post_processor": {)", R"("no_processor": {)");
  EXPECT_FALSE(read(none).add_bos);
  const HfVocabulary v = read(none, R"({"add_bos_token":true,"add_eos_token":true})");
  EXPECT_TRUE(v.add_bos);
  EXPECT_TRUE(v.add_eos);
  // With one they say nothing.
  EXPECT_TRUE(read(small_tokenizer_json(), R"({"add_bos_token":false})").add_bos);
}

TEST(HfVocabulary, TakesTheTemplateNamedDefault) {
  EXPECT_EQ(read(small_tokenizer_json(), R"({"chat_template":"T"})").chat_template, "T");
  EXPECT_EQ(read(small_tokenizer_json(),
                 R"({"chat_template":[{"name":"tools","template":"A"},{"name":"default","template":"B"}]})")
                .chat_template,
            "B");
  EXPECT_NE(failure(small_tokenizer_json(), R"({"chat_template":[{"name":"tools","template":"A"}]})")
                .find("tokenizer_config.json: chat_template: has no template named default"),
            std::string::npos);
  EXPECT_EQ(read(small_tokenizer_json(), R"({"chat_template":"T"})", "{}", "", "J").chat_template, "J");
}

std::string with_pre(const std::string& pre) {
  return with(small_tokenizer_json(),
              R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})",
              pre);
}

std::string sequence(const std::string& steps) {
  return with_pre(R"({"type":"Sequence","pretokenizers":[)" + steps + "]}");
}

std::string split(const std::string& regex) {
  return R"({"type":"Split","pattern":{"Regex":)" + nlohmann::json(regex).dump() +
         R"(},"behavior":"Isolated"})";
}

TEST(HfVocabulary, KnowsPreTokenizersByTheirSteps) {
  const std::string start = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  const std::string end = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
  const std::string gpt2 = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";
  const std::string punctuation = R"({"type":"Punctuation","behavior":"Contiguous"})";
  const auto digits = [](bool single) {
    return std::string(R"({"type":"Digits","individual_digits":)") + (single ? "true}" : "false}");
  };
  EXPECT_EQ(read(sequence(split(start + R"(\p{N}{1,3})" + end) + "," + bytes)).pre, "llama-bpe");
  EXPECT_EQ(read(sequence(split(start + R"(\p{N})" + end) + "," + bytes)).pre, "qwen2");
  EXPECT_EQ(read(sequence(punctuation + "," + gpt2 + "," + digits(true))).pre, "falcon3");
  EXPECT_EQ(
      read(sequence(punctuation + "," + gpt2 + "," + digits(false) + "," + split("[0-9][0-9][0-9]"))).pre,
      "falcon");
  for (const std::string& unknown :
       {sequence(split(start + R"(\p{N}{1,2})" + end) + "," + bytes), sequence(bytes),
        sequence(punctuation + "," + gpt2 + "," + digits(false)), sequence(""), with_pre("null"),
        with_pre(R"({"type":"Metaspace"})"), with_pre(R"({"type":"ByteLevel","add_prefix_space":true})")}) {
    const std::string message = failure(unknown);
    EXPECT_NE(message.find("tokenizer.json: pre_tokenizer: is none that bitnet.cpp has a name for"),
              std::string::npos)
        << message;
    EXPECT_NE(message.find("give --pre, one of default, llama-bpe"), std::string::npos);
    EXPECT_EQ(read(unknown, "{}", "{}", "falcon").pre, "falcon");
  }
  EXPECT_TRUE(has_note(read(small_tokenizer_json(), "{}", "{}", "falcon"),
                       "given as --pre; tokenizer.json describes gpt-2"));
  EXPECT_NE(failure(small_tokenizer_json(), "{}", "{}", "x").find("--pre `x` is unknown; choose one of"),
            std::string::npos);
}

TEST(HfVocabulary, NamesTheFieldThatItRefuses) {
  const auto changed = [](const std::string& what, const std::string& by) {
    return with(small_tokenizer_json(), what, by);
  };
  const std::pair<std::string, std::string> cases[] = {
      {"{}", "tokenizer.json: model: missing"},
      {changed(R"("type": "BPE")", R"("type": "Unigram")"), "model.type: `Unigram` is not supported"},
      {changed(R"("byte_fallback": false)", R"("byte_fallback": true)"),
       "normalizer: does with pre_tokenizer more than to write spaces as U+2581"},
      {changed(R"("byte_fallback": false)", R"("end_of_word_suffix": "x")"),
       "model.end_of_word_suffix: is not empty"},
      {changed(R"("vocab":)", R"("words":)"), "model.vocab: missing"},
      {changed(R"("b": 1,)", R"("b": -1,)"), "model.vocab.b: must be an id"},
      {changed(R"("b": 1,)", R"("b": 8,)"), "model.vocab.b: has id 8, but the embedding has only 8 rows"},
      {changed(R"("b": 1,)", R"("b": 0,)"), "model.vocab.b: has id 0, which is that of `a`"},
      {changed(R"("b": 1,)", R"("a": 1,)"), "a: stands twice"},
      {changed(R"(["a b"])", R"("a b")"), "model.merges: must be a list"},
      {changed(R"(["a b"])", R"(["ab"])"), "model.merges[0]: must be two texts"},
      {changed(R"(["a b"])", R"(["a b", "a b c"])"), "model.merges[1]: must be two texts"},
      {changed(R"(["a b"])", R"([" b"])"), "model.merges[0]: must be two texts"},
      {changed(R"(["a b"])", R"(["a "])"), "model.merges[0]: must be two texts"},
      {changed(R"(["a b"])", R"([["a b"]])"), "model.merges[0]: must be two texts"},
      {changed(R"(["a b"])", R"([["a", 2]])"), "model.merges[0]: must be two texts"},
      {changed(R"("added_tokens": [)", R"("added_tokens": [7,)"), "added_tokens[0]: must be an object"},
      {changed(R"({"id": 4, "content": "<s>")", R"({"id": 4, "content": "")"),
       "added_tokens[0].content: missing"},
      {changed(R"({"id": 4, "content": "<s>")", R"({"content": "<s>")"), "added_tokens[0].id: missing"},
      {changed(R"({"id": 4, "content": "<s>")", R"({"id": 3, "content": "<s>")"),
       "added_tokens[0].id: has id 3, which is that of `ab`"},
      {changed(R"("single": [{"SpecialToken")", R"("single": [], "none": [{"SpecialToken")"),
       "post_processor.processors[1].single: must be a list"},
      {changed(R"("processors": [)", R"("processors": {"a":[)"), "file: is no JSON"},
  };
  for (const auto& [text, expected] : cases) {
    const std::string message = failure(text);
    EXPECT_TRUE(message.starts_with("tokenizer.json: ")) << message;
    EXPECT_NE(message.find(expected), std::string::npos) << "no \"" << expected << "\" in " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
  const std::string& good = small_tokenizer_json();
  EXPECT_EQ(failure(good, R"({"bos_token":"<x>"})"),
            "tokenizer_config.json: bos_token: is `<x>`, which is no token");
  EXPECT_NE(failure(good, R"({"bos_token":{"a":1}})").find("bos_token: must be a text or an object"),
            std::string::npos);
  EXPECT_EQ(failure(good, "{}", R"({"eos_token_id":[8]})"),
            "generation_config.json: eos_token_id: must be an id below 8");
}

}  // namespace
}  // namespace bitnet::hf
