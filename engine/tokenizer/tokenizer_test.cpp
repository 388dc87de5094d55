#include "engine/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "engine/error.h"
#include "engine/tokenizer/test_vocabulary.h"

namespace bitnet {
namespace {

using Ids = std::vector<Token>;

std::vector<std::string> texts(const Tokenizer& t, const Ids& ids) {
  std::vector<std::string> out;
  for (const Token id : ids) out.emplace_back(t.text(id));
  return out;
}

using Texts = std::vector<std::string>;

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const InputError& e) {
    return e.what();
  }
  return "no InputError";
}

void expect_refused(const TestVocabulary& v, const std::vector<std::string>& words,
                    const std::string& pre = "") {
  const std::string message = message_of([&] { v.make(pre); });
  EXPECT_EQ(message.rfind("test.gguf: tokenizer.", 0), 0u) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  for (const std::string& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << message << " / " << word;
}

TEST(Tokenizer, EncodesAndDecodes) {
  const Tokenizer t = sample_vocabulary().make();
  const Ids ids = t.encode("hello the world", false, false);
  EXPECT_EQ(texts(t, ids), (Texts{"hello", "\u0120the", "\u0120world"}));
  EXPECT_EQ(t.decode(ids), "hello the world");
  EXPECT_TRUE(t.encode("", false, false).empty());
}

TEST(Tokenizer, FollowsTheFileOrTheOption) {
  TestVocabulary v = sample_vocabulary();
  Tokenizer t = v.make();
  EXPECT_EQ(t.pre(), "default");
  EXPECT_FALSE(t.pre_from_file());
  EXPECT_FALSE(t.add_bos());
  v.data.pre = "llama-bpe";
  t = v.make();
  EXPECT_EQ(t.pre(), "llama3");
  EXPECT_TRUE(t.pre_from_file());
  EXPECT_TRUE(t.add_bos());
  t = v.make("falcon3");
  EXPECT_EQ(t.pre(), "falcon3");
  EXPECT_FALSE(t.pre_from_file());
  EXPECT_FALSE(t.add_bos());
  v.data.pre = "";
  EXPECT_EQ(v.make().pre(), "default");
}

TEST(Tokenizer, SchemesDiffer) {
  TestVocabulary v = sample_vocabulary();
  EXPECT_EQ(texts(v.make("falcon3"), v.make("falcon3").encode("123", false, false)), (Texts{"1", "2", "3"}));
  EXPECT_EQ(texts(v.make("llama3"), v.make("llama3").encode("123", false, false)), (Texts{"123"}));
  // A token that no merge reaches: only llama3 takes it whole.
  v.add("zq");
  EXPECT_EQ(v.make("llama3").encode("zq", false, false).size(), 1u);
  EXPECT_EQ(v.make("default").encode("zq", false, false).size(), 2u);
}

TEST(Tokenizer, BosAndEos) {
  TestVocabulary v = sample_vocabulary();
  v.data.pre = "llama3";
  Tokenizer t = v.make();
  const Token bos = *t.find("<|begin_of_text|>");
  const Token eos = *t.find("<|end_of_text|>");
  EXPECT_EQ(t.bos(), bos);
  EXPECT_EQ(t.eos(), eos);
  EXPECT_EQ(t.encode("", true, false), Ids{bos});
  EXPECT_EQ(t.encode("a", false, false), Ids{'a'});
  EXPECT_EQ(t.encode("a", true, false), (Ids{bos, 'a'}));
  EXPECT_EQ(t.encode("<|begin_of_text|>a", true, true), (Ids{bos, bos, 'a'}));  // not merged into one
  v.data.add_bos = false;
  v.data.add_eos = true;
  t = v.make();
  EXPECT_EQ(t.encode("a", true, false), (Ids{'a', eos}));
  EXPECT_EQ(t.encode("a", false, false), Ids{'a'});
}

TEST(Tokenizer, DefaultIdsAreThoseOfBitnetCpp) {
  TestVocabulary v;
  v.merges = {"a b"};
  const Tokenizer t = v.make();
  EXPECT_EQ(t.bos(), 11);
  EXPECT_EQ(t.eos(), 11);
  EXPECT_TRUE(t.is_eog(11));
  EXPECT_EQ(t.eot(), std::nullopt);
  v.tokens.resize(11);
  v.types.resize(11);
  EXPECT_EQ(v.make().bos(), std::nullopt);
  v.data.add_bos = true;
  expect_refused(v, {"ggml.bos_token_id", "missing"});
  v.data.add_bos = false;
  v.data.add_eos = true;
  expect_refused(v, {"ggml.eos_token_id", "missing"});
}

TEST(Tokenizer, SpecialTokensInText) {
  TestVocabulary v = sample_vocabulary();
  const Token user = v.add("<user>", TokenType::user_defined);
  const Token unknown = v.add("<unk>", TokenType::unknown);
  v.add("<unused>", TokenType::unused);
  const Tokenizer t = v.make();
  const Token eot = *t.find("<|eot_id|>");
  EXPECT_EQ(t.encode("a<|eot_id|>b", false, true), (Ids{'a', eot, 'b'}));
  EXPECT_EQ(t.encode("a<|eot_id|>b", false, false).size(), 12u);         // plain text, and nothing joins it
  EXPECT_EQ(t.encode("a<user>b", false, false), (Ids{'a', user, 'b'}));  // always matched
  EXPECT_EQ(t.encode("<unk>", false, true), Ids{unknown});
  EXPECT_EQ(t.encode("<unk>", false, false).size(), 5u);
  EXPECT_EQ(t.encode("<unused>", false, true).size(), 8u);
  // Each stretch between specials is cut by itself: the space before the marker does not see what follows it.
  EXPECT_EQ(texts(t, t.encode("a  <|eot_id|> the", false, true)),
            (Texts{"a", "\u0120\u0120", "<|eot_id|>", "\u0120the"}));
}

TEST(Tokenizer, Pieces) {
  TestVocabulary v = sample_vocabulary();
  const Token user = v.add("<user \u2581>", TokenType::user_defined);
  const Token unknown = v.add("<unk>", TokenType::unknown);
  const Token unused = v.add("<unused>", TokenType::unused);
  const Token undefined = v.add("<undefined>", TokenType::undefined);
  const Token byte = v.add("<0x41>", TokenType::byte);
  const Token odd = v.add("x\u2581\u0120\u4F60");
  const Token broken = v.add("y\xFF");
  const Token empty = v.add("");
  const Tokenizer t = v.make();
  const Token eot = *t.find("<|eot_id|>");
  EXPECT_EQ(t.piece(eot), "");
  EXPECT_EQ(t.piece(eot, true), "<|eot_id|>");
  EXPECT_EQ(t.piece(unknown), "");
  EXPECT_EQ(t.piece(unknown, true), "<unk>");
  EXPECT_EQ(t.piece(user), "<user \u2581>");
  for (const Token id : {unused, undefined, byte}) {
    EXPECT_EQ(t.piece(id), "");
    EXPECT_EQ(t.piece(id, true), "");
  }
  EXPECT_EQ(t.piece(odd), "x[UNK_BYTE_0xe29681x\u2581\u0120\u4F60] [UNK_BYTE_0xe4bda0x\u2581\u0120\u4F60]");
  EXPECT_EQ(t.piece(broken), "y[UNK_BYTE_0xffy\xFF]");
  EXPECT_EQ(t.text(empty), "[EMPTY_" + std::to_string(empty) + "]");
  EXPECT_EQ(t.find(t.text(empty)), empty);
  EXPECT_EQ(t.piece(static_cast<Token>(' ')), " ");
  EXPECT_EQ(t.piece(0x0A), "\n");
  EXPECT_EQ(t.piece(0xFF), "\xFF");
  EXPECT_EQ(t.decode({'a', eot, 'b'}, true), "a<|eot_id|>b");
  EXPECT_EQ(t.decode({'a', eot, 'b'}), "ab");
  std::string out = "=";
  t.append_piece(user, out);
  EXPECT_EQ(out, "=<user \u2581>");
  EXPECT_THROW(t.piece(-1), std::out_of_range);
  EXPECT_THROW(t.piece(t.size()), std::out_of_range);
  EXPECT_THROW(t.is_eog(t.size()), std::out_of_range);
  EXPECT_THROW(t.text(t.size()), std::out_of_range);
  EXPECT_THROW(t.type(-1), std::out_of_range);
}

TEST(Tokenizer, EveryByteStringComesBack) {
  for (const char* pre : {"default", "llama3", "falcon3", "falcon", "gpt-2"}) {
    const Tokenizer t = sample_vocabulary().make(pre);
    std::string every;
    for (int b = 0; b < 256; ++b) every.push_back(static_cast<char>(b));
    for (const std::string& text :
         {every, std::string("\xC0\x80 \xED\xA0\x80\xED\xB0\x80 a\xE2\x82"),
          std::string("\xF4\x90\x80\x80\0b", 6), std::string("caf\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD")}) {
      EXPECT_EQ(t.decode(t.encode(text, false, false)), text) << pre;
    }
  }
}

TEST(Tokenizer, InvalidBytesKeepTheirMerges) {
  // C3 A9 is one code point and the bytes of an overlong form are two: both merge, since merging goes by
  // bytes.
  TestVocabulary v = sample_vocabulary();
  v.add_merge("\u00C0", "\u0122");
  const Tokenizer t = v.make();
  EXPECT_EQ(texts(t, t.encode("\xC3\xA9", false, false)), (Texts{"\u00C3\u00A9"}));
  EXPECT_EQ(texts(t, t.encode("\xC0\x80", false, false)), (Texts{"\u00C0\u0122"}));
}

TEST(Tokenizer, EndOfGeneration) {
  TestVocabulary v = sample_vocabulary();
  const Token end = v.add("<|end|>");  // a normal token, by mistake of the file
  const Token eom = v.add("<|eom_id|>");
  const Token pad = v.add("<|fim_pad|>");
  const Token repository = v.add("<REPO>");
  const Token file_separator = v.add("<|file_sep|>");
  const Token prefix = v.add("<PRE>");
  const Token other = v.add("<other>", TokenType::control);
  const Tokenizer t = v.make();
  const Token eot = *t.find("<|eot_id|>");
  for (const Token id : {eot, end, eom, pad, repository, file_separator, *t.eos()})
    EXPECT_TRUE(t.is_eog(id)) << id;
  for (const Token id : {prefix, other, *t.bos(), Token{'a'}}) EXPECT_FALSE(t.is_eog(id)) << id;
  EXPECT_EQ(t.eot(), eot);  // the first of the known texts, whatever the order in the file
  for (const Token id : {end, eom, pad, repository, file_separator, prefix}) {
    EXPECT_EQ(t.type(id), TokenType::control);
  }
  EXPECT_EQ(t.encode("<|end|>", false, true), Ids{end});
}

TEST(Tokenizer, RolesGivenByKeysWin) {
  TestVocabulary v = sample_vocabulary();
  v.data.ids.emplace_back("eot_token_id", 'q');
  v.data.ids.emplace_back("eom_token_id", 'r');
  v.data.ids.emplace_back("fim_pad_token_id", 's');
  const Tokenizer t = v.make();
  EXPECT_EQ(t.eot(), Token{'q'});
  for (const char c : {'q', 'r', 's'}) {
    EXPECT_TRUE(t.is_eog(c));
    EXPECT_EQ(t.type(c), TokenType::normal);
  }
  EXPECT_TRUE(t.is_eog(*t.find("<|eot_id|>")));  // by its text
}

TEST(Tokenizer, EotByTheLastKnownText) {
  TestVocabulary v;
  v.merges = {"a b"};
  const Token eos = v.add("<\uFF5Cend\u2581of\u2581sentence\uFF5C>");
  const Tokenizer t = v.make();
  EXPECT_EQ(t.eot(), eos);
  EXPECT_TRUE(t.is_eog(eos));
  EXPECT_EQ(t.type(eos), TokenType::control);
}

TEST(Tokenizer, RefusesWhatDoesNotFit) {
  const TestVocabulary good = sample_vocabulary();
  TestVocabulary v = good;
  v.tokens[300 % v.tokens.size()] = "a";
  expect_refused(v, {"ggml.tokens", "97", "same text"});

  v = good;
  v.types.pop_back();
  expect_refused(v, {"ggml.token_type", std::to_string(v.types.size()), std::to_string(v.tokens.size())});

  v = good;
  v.types[5] = 7;
  expect_refused(v, {"ggml.token_type", "token 5", "7"});
  v.types[5] = -1;
  expect_refused(v, {"ggml.token_type", "token 5", "-1"});

  v = good;
  v.data.scores = 3;
  expect_refused(v, {"ggml.scores", "3 scores"});

  for (const char* key : {"bos_token_id", "eot_token_id", "padding_token_id", "prefix_token_id"}) {
    v = good;
    v.data.ids.emplace_back(key, static_cast<std::uint32_t>(v.tokens.size()));
    expect_refused(v, {std::string("ggml.") + key, "token " + std::to_string(v.tokens.size()),
                       "end at " + std::to_string(v.tokens.size() - 1)});
    v.data.ids.back().second = 0xFFFFFFFF;
    expect_refused(v, {std::string("ggml.") + key, "4294967295"});
  }

  v = good;
  v.data.model = "llama";
  expect_refused(v, {"ggml.model", "SentencePiece", "llama"});
  v.data.model = "bert";
  expect_refused(v, {"ggml.model", "bert"});
  v.data.model = "a\nb\x1b[2J";  // what a file says is data, and stays harmless
  expect_refused(v, {"ggml.model", "a\\nb\\x1b[2J"});

  v = good;
  v.data.pre = "qwen2";
  expect_refused(v, {"ggml.pre", "qwen2", "llama-bpe"});
  v.data.pre = std::nullopt;
  expect_refused(v, {"ggml.pre", "nonsense", "option"}, "nonsense");

  v = good;
  v.tokens.clear();
  v.types.clear();
  expect_refused(v, {"ggml.tokens", "empty"});
}

TEST(Tokenizer, MergesAreNeededAndMayBeNone) {
  TestVocabulary v = sample_vocabulary();
  VocabData data = v.view();
  data.merges = std::nullopt;
  const std::string message = message_of([&] { Tokenizer(data, Tokenizer::Options{}); });
  EXPECT_NE(message.find("ggml.merges"), std::string::npos) << message;
  data.merges.emplace();
  EXPECT_EQ(Tokenizer(data, Tokenizer::Options{}).encode("aa", false, false).size(), 2u);
}

TEST(Tokenizer, TypesMayBeMissing) {
  TestVocabulary v = sample_vocabulary();
  VocabData data = v.view();
  data.types = std::nullopt;
  data.scores = data.tokens.size();
  const Tokenizer t(data, Tokenizer::Options{});
  EXPECT_EQ(t.type(*t.find("<|start_header_id|>")), TokenType::normal);
  EXPECT_EQ(t.type(*t.find("<|eot_id|>")), TokenType::control);  // known by its text
}

TEST(Tokenizer, OutlivesItsSource) {
  auto v = std::make_unique<TestVocabulary>(sample_vocabulary());
  v->data.chat_template = "template";
  const Tokenizer made = v->make("llama3");
  v.reset();
  EXPECT_EQ(texts(made, made.encode("hello<|eot_id|>", false, true)), (Texts{"hello", "<|eot_id|>"}));
  EXPECT_EQ(made.chat_template(), "template");
}

}  // namespace
}  // namespace bitnet
