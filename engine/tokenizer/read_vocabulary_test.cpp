#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/writer.h"
#include "engine/tokenizer/test_vocabulary.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {
namespace {

/// What `fill` writes, as the bytes of a GGUF file.
std::string gguf_bytes(const std::function<void(gguf::Writer&)>& fill) {
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / (std::string(all.current_test_info()->name()) + ".gguf");
  {
    gguf::Writer writer(path);
    fill(writer);
    writer.begin();
    writer.finish();
  }
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::filesystem::remove(path);
  return bytes;
}

gguf::File parse(const std::string& bytes) {
  return gguf::File::parse(std::as_bytes(std::span(bytes.data(), bytes.size())), "vocab.gguf");
}

void add_all(gguf::Writer& w, const TestVocabulary& v) {
  w.add("tokenizer.ggml.model", std::string("gpt2"));
  w.add("tokenizer.ggml.pre", std::string("llama-bpe"));
  w.add("tokenizer.ggml.tokens", v.tokens);
  w.add("tokenizer.ggml.token_type", v.types);
  w.add("tokenizer.ggml.merges", v.merges);
  w.add("tokenizer.ggml.scores", std::vector<float>(v.tokens.size(), 0.5f));
  for (const auto& [key, id] : v.data.ids) w.add("tokenizer.ggml." + key, id);
  w.add("tokenizer.ggml.add_bos_token", true);
  w.add("tokenizer.ggml.add_eos_token", true);
  w.add("tokenizer.ggml.add_space_prefix", false);
  w.add("tokenizer.chat_template", std::string("a template"));
}

TEST(ReadVocabulary, EveryKeyArrives) {
  const TestVocabulary v = sample_vocabulary();
  const std::string bytes = gguf_bytes([&](gguf::Writer& w) { add_all(w, v); });
  const gguf::File file = parse(bytes);
  const VocabData data = read_vocabulary(file);
  EXPECT_EQ(data.source, "vocab.gguf");
  EXPECT_EQ(data.model, "gpt2");
  EXPECT_EQ(data.pre, "llama-bpe");
  EXPECT_TRUE(std::equal(data.tokens.begin(), data.tokens.end(), v.tokens.begin(), v.tokens.end()));
  EXPECT_EQ(data.types, v.types);
  ASSERT_TRUE(data.merges.has_value());
  EXPECT_TRUE(std::equal(data.merges->begin(), data.merges->end(), v.merges.begin(), v.merges.end()));
  EXPECT_EQ(data.scores, std::vector<float>(v.tokens.size(), 0.5f));
  EXPECT_EQ(data.ids, v.data.ids);
  EXPECT_EQ(data.add_bos, true);
  EXPECT_EQ(data.add_eos, true);
  EXPECT_EQ(data.add_space_prefix, false);
  EXPECT_EQ(data.chat_template, "a template");
}

TEST(ReadVocabulary, TheTokenizerOutlivesTheFile) {
  const TestVocabulary v = sample_vocabulary();
  std::string bytes = gguf_bytes([&](gguf::Writer& w) { add_all(w, v); });
  auto file = std::make_unique<gguf::File>(parse(bytes));
  const Tokenizer t(*file);
  const Tokenizer overridden(*file, Tokenizer::Options{"default"});
  file.reset();
  bytes.assign(bytes.size(), '#');
  EXPECT_EQ(t.pre(), "llama3");
  EXPECT_TRUE(t.pre_from_file());
  EXPECT_EQ(overridden.pre(), "default");
  EXPECT_EQ(t.chat_template(), "a template");
  const auto ids = t.encode("hello<|eot_id|>", true, true);
  EXPECT_EQ(t.decode(ids, true), "<|begin_of_text|>hello<|eot_id|><|end_of_text|>");
}

TEST(ReadVocabulary, SentencePiece) {
  const SpmTestVocabulary v = sample_spm_vocabulary();
  const std::string bytes = gguf_bytes([&](gguf::Writer& w) {
    w.add("tokenizer.ggml.model", std::string("llama"));
    w.add("tokenizer.ggml.pre", std::string("default"));
    w.add("tokenizer.ggml.tokens", v.tokens);
    w.add("tokenizer.ggml.token_type", v.types);
    w.add("tokenizer.ggml.scores", v.scores);
  });
  const Tokenizer t(parse(bytes));
  EXPECT_EQ(t.encode("hello world\n", true, true), v.make().encode("hello world\n", true, true));
  EXPECT_EQ(t.decode(t.encode("hello world\n", false, true)), "hello world\n");
}

TEST(ReadVocabulary, WhatMayBeMissing) {
  const TestVocabulary v = sample_vocabulary();
  const std::string bytes = gguf_bytes([&](gguf::Writer& w) {
    w.add("tokenizer.ggml.model", std::string("gpt2"));
    w.add("tokenizer.ggml.tokens", v.tokens);
    w.add("tokenizer.ggml.merges", v.merges);
  });
  const Tokenizer t(parse(bytes));
  EXPECT_EQ(t.pre(), "default");
  EXPECT_FALSE(t.pre_from_file());
  EXPECT_EQ(t.chat_template(), "");
  EXPECT_FALSE(t.add_bos());
}

TEST(ReadVocabulary, WhatIsMissingOrOfAnotherTypeIsNamed) {
  const TestVocabulary v = sample_vocabulary();
  const std::string model = "tokenizer.ggml.model";
  const std::string tokens = "tokenizer.ggml.tokens";
  const std::string merges = "tokenizer.ggml.merges";
  struct Case {
    std::function<void(gguf::Writer&)> fill;
    std::string key;
  };
  const auto base = [&](gguf::Writer& w) {
    w.add(model, std::string("gpt2"));
    w.add(tokens, v.tokens);
    w.add(merges, v.merges);
  };
  const Case cases[] = {
      {[&](gguf::Writer& w) { w.add(tokens, v.tokens); }, model},
      {[&](gguf::Writer& w) { w.add(model, 1u); }, model},
      {[&](gguf::Writer& w) { w.add(model, std::string("gpt2")); }, tokens},
      {[&](gguf::Writer& w) {
         w.add(model, std::string("gpt2"));
         w.add(tokens, std::vector<float>{1});
       },
       tokens},
      {[&](gguf::Writer& w) {
         w.add(model, std::string("gpt2"));
         w.add(tokens, std::string("a"));
       },
       tokens},
      {[&](gguf::Writer& w) {
         w.add(model, std::string("gpt2"));
         w.add(tokens, v.tokens);
       },
       merges},
      {[&](gguf::Writer& w) {
         base(w);
         w.add("tokenizer.ggml.token_type", std::vector<float>(v.tokens.size()));
       },
       "tokenizer.ggml.token_type"},
      {[&](gguf::Writer& w) {
         base(w);
         w.add("tokenizer.ggml.token_type", std::vector<std::uint32_t>(v.tokens.size(), 0xFFFFFFFF));
       },
       "tokenizer.ggml.token_type"},
      {[&](gguf::Writer& w) {
         base(w);
         w.add("tokenizer.ggml.scores", v.types);
       },
       "tokenizer.ggml.scores"},
      {[&](gguf::Writer& w) {
         base(w);
         w.add("tokenizer.ggml.bos_token_id", std::string("1"));
       },
       "tokenizer.ggml.bos_token_id"},
      {[&](gguf::Writer& w) {
         base(w);
         w.add("tokenizer.ggml.eos_token_id", 100000u);
       },
       "tokenizer.ggml.eos_token_id"},
      {[&](gguf::Writer& w) {
         base(w);
         w.add("tokenizer.ggml.add_bos_token", 1u);
       },
       "tokenizer.ggml.add_bos_token"},
      {[&](gguf::Writer& w) {
         base(w);
         w.add("tokenizer.ggml.add_space_prefix", 1u);
       },
       "tokenizer.ggml.add_space_prefix"},
  };
  for (const Case& c : cases) {
    const std::string bytes = gguf_bytes(c.fill);
    try {
      Tokenizer t(parse(bytes));
      ADD_FAILURE() << "accepted: " << c.key;
    } catch (const InputError& e) {
      const std::string message = e.what();
      EXPECT_EQ(message.rfind("vocab.gguf: ", 0), 0u) << message;
      EXPECT_NE(message.find(c.key), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      RecordProperty("message_" + std::to_string(&c - cases), message);
    }
  }
}

}  // namespace
}  // namespace bitnet
