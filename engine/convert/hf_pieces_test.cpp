// Vocabularies of SentencePiece, from tokenizer.model and from tokenizer.json.

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/convert/hf_vocabulary.h"
#include "engine/convert/test_sentencepiece_model.h"
#include "engine/convert/test_tokenizer_json.h"
#include "engine/formats/test_ternary.h"
#include "engine/tokenizer/test_vocabulary.h"
#include "engine/tokenizer/tokenizer.h"

namespace bitnet::hf {
namespace {

using testing::sentencepiece_model;
using testing::small_spm_tokenizer_json;
using testing::with;
using testing_support::error_of;
using Ids = std::vector<std::pair<std::string, std::uint32_t>>;
using Texts = std::vector<std::string>;

JsonObject parsed(const std::string& text, const char* name = "tokenizer.json") {
  return JsonObject::parse(text, name);
}

SentencePieceModel model_of(const SpmTestVocabulary& v, bool adds_space = true) {
  return SentencePieceModel::parse(sentencepiece_model<std::string>(v.tokens, v.scores, v.types, adds_space),
                                   "tokenizer.model");
}

TokenizerFiles files_of(const SpmTestVocabulary& v) {
  TokenizerFiles files;
  files.pieces = model_of(v);
  return files;
}

TokenizerFiles files_of(const std::string& tokenizer) {
  TokenizerFiles files;
  files.tokenizer = parsed(tokenizer);
  return files;
}

constexpr std::uint32_t kJsonTokens = 13;  // one more than small_spm_tokenizer_json has

HfVocabulary read(const TokenizerFiles& files, std::uint32_t n_vocab, const std::string& pre = "") {
  return read_hf_vocabulary(files, n_vocab, pre);
}

std::uint32_t size_of(const SpmTestVocabulary& v) {
  return static_cast<std::uint32_t>(v.tokens.size());
}

bool has_note(const HfVocabulary& v, const std::string& part) {
  return std::ranges::any_of(v.notes,
                             [&](const std::string& n) { return n.find(part) != std::string::npos; });
}

Texts texts(const Tokenizer& t, const std::string& text, bool special = true) {
  Texts out;
  for (const Token token : t.encode(text, special, special)) out.emplace_back(t.text(token));
  return out;
}

TEST(HfPieces, AModelComesBackAsItWas) {
  SpmTestVocabulary source = sample_spm_vocabulary();
  source.add("<user>", -1, TokenType::user_defined);
  source.add("<unused>", 0, TokenType::unused);
  const HfVocabulary v = read(files_of(source), size_of(source));
  EXPECT_EQ(v.model, "llama");
  EXPECT_EQ(v.pre, "default");
  EXPECT_EQ(v.tokens, source.tokens);
  EXPECT_EQ(v.scores, source.scores);
  EXPECT_EQ(v.types, source.types);
  EXPECT_EQ(v.ids, (Ids{{"bos_token_id", 1}, {"eos_token_id", 2}, {"unknown_token_id", 0}}));
  EXPECT_TRUE(v.add_bos);
  EXPECT_FALSE(v.add_eos);
  EXPECT_TRUE(v.add_space_prefix);
  EXPECT_TRUE(has_note(v, "SentencePiece, scores of tokenizer.model"));
  EXPECT_FALSE(has_note(v, "GGUF cannot express"));
  const Tokenizer expected = source.make(), got(v.data(), {});
  for (const char* text : {"hello the world", "  a\n", "<user>aaaaaaa", "caf\u00E9 \u4F60\u597D!", ""})
    EXPECT_EQ(got.encode(text, true, true), expected.encode(text, true, true)) << text;
}

TEST(HfPieces, ThePrefixIsWhatTheNearestFileSays) {
  const SpmTestVocabulary source = sample_spm_vocabulary();
  TokenizerFiles files = files_of(source);
  files.pieces->adds_space = false;
  EXPECT_FALSE(read(files, size_of(source)).add_space_prefix);
  EXPECT_EQ(texts(Tokenizer(read(files, size_of(source)).data(), {}), "hello"), (Texts{"<s>", "hello"}));
  files.tokenizer_config = parsed(R"({"add_prefix_space":true})");
  EXPECT_TRUE(read(files, size_of(source)).add_space_prefix);
}

TEST(HfPieces, WhatIsAddedBesideTheModel) {
  const SpmTestVocabulary source = sample_spm_vocabulary();
  const std::uint32_t n = size_of(source);
  const auto id = [n](std::uint32_t i) { return std::to_string(n + i); };
  TokenizerFiles files = files_of(source);
  files.tokenizer_config = parsed(
      R"({"added_tokens_decoder":{"0":{"content":"<unk>","special":true},"1":{"content":"<s>","special":true},")" +
          id(0) + R"(":{"content":"<pad>","special":true},")" + id(1) +
          R"(":{"content":"\u2581\u2581\u2581","special":false}},"pad_token":"<pad>","add_bos_token":false,
             "add_eos_token":true})",
      "tokenizer_config.json");
  files.added_tokens = parsed(R"({"<pad>":)" + id(0) + R"(,"<line>":)" + id(2) + "}", "added_tokens.json");
  const HfVocabulary v = read(files, n + 4);
  EXPECT_EQ(v.tokens[n], "<pad>");
  EXPECT_EQ(v.tokens[n + 1], "   ");  // as it stands in a text
  EXPECT_EQ(v.tokens[n + 2], "<line>");
  EXPECT_EQ(v.tokens[n + 3], "[PAD" + id(3) + "]");
  EXPECT_EQ(std::vector(v.types.begin() + n, v.types.end()), (std::vector<std::int32_t>{3, 4, 4, 5}));
  EXPECT_EQ(std::vector(v.scores.begin() + n, v.scores.end()),
            (std::vector<float>{-1000, -1000, -1000, -10000}));
  EXPECT_EQ(v.types[0], 2);  // the model knows better what <unk> is
  EXPECT_EQ(v.ids.back(), (Ids::value_type{"padding_token_id", n}));
  EXPECT_FALSE(v.add_bos);
  EXPECT_TRUE(v.add_eos);
  EXPECT_TRUE(has_note(v, "1 of "));
  EXPECT_EQ(texts(Tokenizer(v.data(), {}), "<line>a   a<pad>"),
            (Texts{"<line>", "\u2581", "a", "   ", "\u2581", "a", "<pad>", "</s>"}));

  files.added_tokens = parsed(R"({"x":1})", "added_tokens.json");
  EXPECT_EQ(error_of([&] { (void)read(files, n + 4); }),
            "added_tokens.json: x: has id 1, which is that of `<s>`; download the file again");
  files.added_tokens = parsed(R"({"x":"1"})", "added_tokens.json");
  EXPECT_EQ(error_of([&] { (void)read(files, n + 4); }),
            "added_tokens.json: x: must be the id of a text; download the file again");
  files.tokenizer_config = parsed(R"({"added_tokens_decoder":{"1x":{"content":"a"}}})", "c.json");
  EXPECT_EQ(error_of([&] { (void)read(files, n + 4); }),
            "c.json: added_tokens_decoder.1x: is no id; download the file again");
}

TEST(HfPieces, SaysWhatIsLeftOut) {
  const SpmTestVocabulary source = sample_spm_vocabulary();
  TokenizerFiles files = files_of(source);
  files.pieces->drops_spaces = files.pieces->maps_characters = true;
  const HfVocabulary v = read(files, size_of(source));
  EXPECT_TRUE(has_note(v, "maps characters to others, which GGUF cannot express"));
  EXPECT_TRUE(has_note(v, "drops spaces that it calls extra, which GGUF cannot express"));
}

TEST(HfPieces, MergesBecomeScores) {
  const HfVocabulary v = read(files_of(small_spm_tokenizer_json()), kJsonTokens);
  EXPECT_EQ(v.model, "llama");
  EXPECT_EQ(v.tokens, (Texts{"<unk>", "<s>", "</s>", "<0x21>", "\u2581ab", "ab", "\u2581a", "\u2581", "b",
                             "a", "[PAD10]", "  ", "[PAD12]"}));
  EXPECT_EQ(v.types, (std::vector<std::int32_t>{2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 5, 4, 5}));
  // What is merged first scores highest; characters come last.
  EXPECT_EQ(std::vector(v.scores.begin() + 4, v.scores.begin() + 10),
            (std::vector<float>{-1, -2, -3, -4, -5, -6}));
  EXPECT_EQ(v.ids, (Ids{{"bos_token_id", 1}, {"unknown_token_id", 0}}));
  EXPECT_TRUE(v.add_bos);
  EXPECT_TRUE(v.add_space_prefix);
  EXPECT_TRUE(has_note(v, "by the order of the merges in tokenizer.json"));
  const Tokenizer t(v.data(), {});
  EXPECT_EQ(texts(t, "ab!  a"), (Texts{"<s>", "\u2581ab", "<0x21>", "  ", "\u2581a"}));
}

TEST(HfPieces, TheModelHasTheScoresWhereThereAreBoth) {
  TokenizerFiles files = files_of(small_spm_tokenizer_json());
  SpmTestVocabulary source;
  source.tokens = {"<unk>", "<s>", "</s>", "<0x21>", "\u2581ab", "ab", "\u2581a", "\u2581", "b", "a"};
  source.types = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1};
  source.scores = {0, 0, 0, 0, -7, -8, -9, -10, -11, -12};
  files.pieces = model_of(source, false);
  const HfVocabulary v = read(files, kJsonTokens);
  EXPECT_EQ(std::vector(v.scores.begin(), v.scores.begin() + 10), source.scores);
  EXPECT_EQ(v.types, (std::vector<std::int32_t>{2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 5, 4, 5}));
  EXPECT_TRUE(v.add_space_prefix);  // tokenizer.json is what transformers runs
  source.tokens[9] = "c";
  files.pieces = model_of(source);
  EXPECT_EQ(error_of([&] { (void)read(files, kJsonTokens); }),
            "tokenizer.json: model.vocab.a: has id 9, which is that of `c`; download the file again");
}

TEST(HfPieces, SpacesAreWrittenInOneOfThreeWays) {
  const auto changed = [](const std::string& normalizer, const std::string& pre_tokenizer) {
    std::string text = small_spm_tokenizer_json();
    const std::size_t a = text.find(R"("normalizer")"), b = text.find(R"("post_processor")");
    return text.replace(a, b - a,
                        R"("normalizer": )" + normalizer + R"(, "pre_tokenizer": )" + pre_tokenizer + ",");
  };
  const auto metaspace = [](const std::string& more) {
    return "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\"" + more + "}";
  };
  const std::string replace = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}";
  const auto prefix = [&](const std::string& normalizer, const std::string& pre_tokenizer) {
    return read(files_of(changed(normalizer, pre_tokenizer)), kJsonTokens).add_space_prefix;
  };
  EXPECT_FALSE(prefix(replace, "null"));
  EXPECT_TRUE(prefix("null", metaspace(R"(,"prepend_scheme":"first","split":false)")));
  EXPECT_TRUE(prefix("null", metaspace(R"(,"split":false)")));
  EXPECT_FALSE(prefix("null", metaspace(R"(,"prepend_scheme":"never","split":false)")));
  for (const auto& [normalizer, pre_tokenizer] :
       {std::pair<std::string, std::string>{"null", "null"},
        {"null", metaspace(R"(,"split":true)")},  // no merge over words
        {"null", metaspace("")},
        {replace, metaspace(R"(,"split":false)")},
        {R"({"type":"NFKC"})", metaspace(R"(,"split":false)")},
        {R"({"type":"Sequence","normalizers":[{"type":"Lowercase"},)" + replace + "]}", "null"},
        {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" \"},\"content\":\"\u2581\"}", "null"}}) {
    const std::string json = changed(normalizer, pre_tokenizer);
    const std::string message = error_of([&] { (void)read(files_of(json), kJsonTokens); });
    EXPECT_TRUE(message.starts_with("tokenizer.json: normalizer: does with pre_tokenizer more than"))
        << normalizer << pre_tokenizer << message;
  }
}

TEST(HfPieces, RefusesMergesThatScoresCannotExpress) {
  const auto failure = [](const std::string& merges) {
    const std::string text =
        with(small_spm_tokenizer_json(), R"(["\u2581 ab", "\u2581a b", "a b", "\u2581 a"])", merges);
    return error_of([&] { (void)read(files_of(text), kJsonTokens); });
  };
  const auto expect = [&](const std::string& merges, const std::string& part) {
    EXPECT_NE(failure(merges).find(part), std::string::npos) << failure(merges);
  };
  expect("[\"\u2581 ab\", \"a b\", \"\u2581a b\", \"\u2581 a\"]",
         "tokenizer.json: model.merges[2]: makes `\u2581ab` again after other tokens");
  expect("[\"\u2581 ab\", \"a b\", \"\u2581 a\"]",
         "tokenizer.json: model.merges: make `\u2581ab` in 1 of 2 ways");
  expect("[\"\u2581 ab\", \"\u2581a b\", \"a b\"]", "model.merges: make `\u2581a` in 0 of 1 ways");
  expect("[\"b a\"]", "model.merges[0]: makes no token");
  expect("[\"b\"]", "model.merges[0]: must be two texts");
}

TEST(HfPieces, ThereIsNoPreTokenizer) {
  EXPECT_EQ(error_of([&] { (void)read(files_of(small_spm_tokenizer_json()), kJsonTokens, "llama-bpe"); }),
            "--pre: `llama-bpe` cannot be: tokenizer.json is of SentencePiece, which has no pre-tokenizer; "
            "leave it out");
}

TEST(HfPieces, AModelOfMorePiecesThanRowsIsRefused) {
  const SpmTestVocabulary source = sample_spm_vocabulary();
  EXPECT_NE(error_of([&] {
              (void)read(files_of(source), size_of(source) - 1);
            }).find("tokenizer.model: piece " + std::to_string(size_of(source) - 1) + ": has id "),
            std::string::npos);
}

}  // namespace
}  // namespace bitnet::hf
