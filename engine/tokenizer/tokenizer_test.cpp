#include "engine/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
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

TEST(Tokenizer, DoubledBosAndEosAreNoticed) {
  TestVocabulary v = sample_vocabulary();
  v.data.pre = "llama3";
  v.data.add_eos = true;
  Tokenizer t = v.make();
  const auto said = [&](std::string_view text) { return t.doubled_specials(t.encode(text, true, true)); };
  EXPECT_EQ(said("a"), "");
  EXPECT_EQ(said(""), "");  // BOS, EOS
  EXPECT_NE(said("<|begin_of_text|>a").find("two BOS tokens"), std::string::npos);
  EXPECT_EQ(said("a<|begin_of_text|>"), "");
  EXPECT_NE(said("a<|end_of_text|>").find("two EOS tokens"), std::string::npos);
  EXPECT_EQ(t.doubled_specials({}), "");
  EXPECT_EQ(t.doubled_specials({*t.bos()}), "");
  v.data.add_bos = false;
  v.data.add_eos = false;
  t = v.make();
  EXPECT_EQ(said("<|begin_of_text|><|begin_of_text|><|end_of_text|><|end_of_text|>"), "");  // none is ours
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
  for (const char* pre : {"default", "llama3", "falcon3", "falcon", "gpt-2", "deepseek-llm", "qwen2"}) {
    const Tokenizer t = sample_vocabulary().make(pre);
    std::string every;
    for (int b = 0; b < 256; ++b) every += {static_cast<char>(b), ' '};  // apart, so that none is overlong
    for (const std::string& text :
         {every, std::string("\xC0 \x80 \xED\xA0\x80\xED\xB0\x80 a\xE2\x82"),
          std::string("\xF4\x90\x80\x80\0b", 6), std::string("caf\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD")}) {
      EXPECT_EQ(t.decode(t.encode(text, false, false)), text) << pre;
    }
  }
}

TEST(Tokenizer, InvalidBytesKeepTheirMerges) {
  // C3 A9 is one code point and 80 80 are two: both merge, since merging goes by bytes.
  TestVocabulary v = sample_vocabulary();
  v.add_merge("\u0122", "\u0122");
  const Tokenizer t = v.make();
  EXPECT_EQ(texts(t, t.encode("\xC3\xA9", false, false)), (Texts{"\u00C3\u00A9"}));
  EXPECT_EQ(texts(t, t.encode("\x80\x80", false, false)), (Texts{"\u0122\u0122"}));
}

TEST(Tokenizer, OverlongFormsAreWhatTheySpell) {
  for (const char* pre : {"default", "llama3", "deepseek-llm"}) {
    const Tokenizer t = sample_vocabulary().make(pre);
    EXPECT_EQ(t.encode("h\xC1\xA5\xE0\x81\xACl\xF0\x80\x81\xAF", false, false),
              t.encode("hello", false, false));
    // A special token is one only as it is written.
    EXPECT_EQ(t.encode("\xC0\xBC|eot_id|>", false, true), t.encode("<|eot_id|>", false, false));
    EXPECT_EQ(t.decode(t.encode("\xED\xA0\x80\xC1", false, false)), "\xED\xA0\x80\xC1");
  }
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
  v.data.scores = {{1, 2, 3}};
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
  v.data.model = "bert";
  expect_refused(v, {"ggml.model", "bert"});
  v.data.model = "a\nb\x1b[2J";  // what a file says is data, and stays harmless
  expect_refused(v, {"ggml.model", "a\\nb\\x1b[2J"});

  v = good;
  v.data.pre = "jina-v2-es";
  expect_refused(v, {"ggml.pre", "jina-v2-es", "llama-bpe", "qwen2"});
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
  data.scores.emplace(data.tokens.size());
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

TEST(SpmTokenizer, EncodesAndDecodes) {
  const Tokenizer t = sample_spm_vocabulary().make();
  EXPECT_EQ(t.pre(), "");
  EXPECT_TRUE(t.pre_from_file());
  const Ids ids = t.encode("hello the world", false, false);
  EXPECT_EQ(texts(t, ids), (Texts{"\u2581hello", "\u2581the", "\u2581world"}));
  EXPECT_EQ(t.decode(ids), "hello the world");
  EXPECT_EQ(t.piece(ids[0]), " hello");
  EXPECT_TRUE(t.encode("", false, false).empty());
  EXPECT_EQ(t.encode("hello", true, false), (Ids{1, ids[0]}));  // BOS unless the file says otherwise
}

TEST(SpmTokenizer, ASpaceBeforeTheTextAndAfterSpecialTokens) {
  SpmTestVocabulary v = sample_spm_vocabulary();
  const Token user = v.add("<user>", 0, TokenType::user_defined);
  Tokenizer t = v.make();
  EXPECT_EQ(texts(t, t.encode("hello<s>hello</s> the", false, true)),
            (Texts{"\u2581hello", "<s>", "\u2581hello", "</s>", "\u2581\u2581", "t", "he"}));
  EXPECT_EQ(texts(t, t.encode("<user>hello", false, false)), (Texts{"<user>", "\u2581hello"}));
  EXPECT_EQ(t.encode("<s>", true, true), (Ids{1, 1}));
  EXPECT_EQ(t.encode("<user>", false, true), Ids{user});
  v.data.add_space_prefix = false;
  t = v.make();
  EXPECT_EQ(texts(t, t.encode("hello<s>hello", false, true)), (Texts{"hello", "<s>", "hello"}));
  EXPECT_EQ(t.decode(t.encode(" hello", false, true)), " hello");
}

TEST(SpmTokenizer, TheSpaceThatWasAddedIsDroppedOnce) {
  const Tokenizer t = sample_spm_vocabulary().make();
  for (const char* text : {"hello", " hello", "  hello ", " ", "    ", "a\nb", "\xE4\x80", "caf\u00E9"})
    EXPECT_EQ(t.decode(t.encode(text, false, false)), text);
  // Of the first token only, as in bitnet.cpp: behind BOS it stays.
  EXPECT_EQ(t.decode(t.encode("hello", true, false)), " hello");
  EXPECT_EQ(t.decode(t.encode("hello", true, false), true), "<s> hello");
  EXPECT_EQ(t.decode({}), "");
}

TEST(SpmTokenizer, Pieces) {
  SpmTestVocabulary v = sample_spm_vocabulary();
  const Token user = v.add("<user\u2581>", 0, TokenType::user_defined);
  const Token unused = v.add("<unused>", 0, TokenType::unused);
  const Token lower = v.add("<0x1a>", 0, TokenType::byte);
  const Token empty = v.add("", 0);
  const Tokenizer t = v.make();
  EXPECT_EQ(t.piece(0), "");
  EXPECT_EQ(t.piece(0, true), "<unk>");
  EXPECT_EQ(t.piece(1), "");
  EXPECT_EQ(t.piece(1, true), "<s>");
  EXPECT_EQ(t.piece(SpmTestVocabulary::kFirstByte + 0xFF), "\xFF");
  EXPECT_EQ(t.piece(SpmTestVocabulary::kFirstByte), std::string(1, '\0'));
  EXPECT_EQ(t.piece(lower), "\x1A");
  EXPECT_EQ(t.piece(user), "<user\u2581>");
  EXPECT_EQ(t.piece(unused, true), "");
  EXPECT_EQ(t.piece(*t.find("\u2581the")), " the");
  EXPECT_EQ(t.piece(empty), "[EMPTY_" + std::to_string(empty) + "]");
}

TEST(SpmTokenizer, RolesAndEnds) {
  SpmTestVocabulary v = sample_spm_vocabulary();
  Tokenizer t = v.make();
  EXPECT_EQ(t.bos(), 1);
  EXPECT_EQ(t.eos(), 2);
  EXPECT_TRUE(t.is_eog(2));
  EXPECT_FALSE(t.is_eog(1));
  EXPECT_TRUE(t.add_bos());
  EXPECT_FALSE(t.add_eos());
  const Token end = v.add("<|im_end|>", 0);
  v.data.ids = {{"eos_token_id", 5}};
  v.data.add_bos = false;
  t = v.make();
  EXPECT_EQ(t.eos(), 5);
  EXPECT_EQ(t.eot(), end);
  EXPECT_TRUE(t.is_eog(end) && t.is_eog(5) && !t.is_eog(2));
  EXPECT_EQ(t.type(end), TokenType::control);
  EXPECT_EQ(texts(t, t.encode("hello", true, false)), (Texts{"\u2581hello"}));
}

TEST(SpmTokenizer, RefusesWhatDoesNotFit) {
  const auto message = [](const VocabData& data, const std::string& pre = "") {
    return message_of([&] { Tokenizer(data, Tokenizer::Options{pre}); });
  };
  const auto expect_words = [](const std::string& said, const std::vector<std::string>& words) {
    EXPECT_EQ(said.rfind("test.gguf: tokenizer.", 0), 0u) << said;
    for (const std::string& word : words) EXPECT_NE(said.find(word), std::string::npos) << said;
  };
  SpmTestVocabulary v = sample_spm_vocabulary();
  VocabData data = v.view();
  EXPECT_EQ(message(data), "no InputError");
  expect_words(message(data, "llama3"), {"ggml.model", "llama3", "option"});
  data.scores = std::nullopt;
  expect_words(message(data), {"ggml.scores", "missing"});
  data.scores.emplace(3);
  expect_words(message(data), {"ggml.scores", "3 scores"});
  data = v.view();
  (*data.scores)[7] = std::numeric_limits<float>::quiet_NaN();
  expect_words(message(data), {"ggml.scores", "token 7"});
  data = v.view();
  data.tokens[9] = "<0x6>";
  expect_words(message(data), {"ggml.tokens", "token 9", "<0x6>"});
  data = v.view();
  data.tokens[9] = data.tokens[8];
  expect_words(message(data), {"ggml.tokens", "same text"});
}

}  // namespace
}  // namespace bitnet
