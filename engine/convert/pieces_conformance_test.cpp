// A real SentencePiece vocabulary through the files that Hugging Face has of one. The project ships none;
// CROSSVAL_VOCAB_DIR names the folder that holds it.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "engine/convert/hf_vocabulary.h"
#include "engine/convert/test_sentencepiece_model.h"
#include "engine/gguf/gguf.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/unicode.h"

namespace bitnet::hf {
namespace {

const std::filesystem::path kFolder = CROSSVAL_VOCAB_DIR;

class HfPiecesConformance : public ::testing::Test {
 protected:
  // All the strings as one, and each by itself.
  void expect_same(const HfVocabulary& v) const {
    const Tokenizer expected(file_), got(v.data(), {});
    std::ifstream in(kFolder / "llama-spm.inp", std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(in), {}};
    ASSERT_GT(all.size(), 1000U);
    constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
    std::vector<std::string> strings = {all};
    for (std::size_t pos = 0, end = 0; (end = all.find(kSeparator, pos)) != std::string::npos;
         pos = end + kSeparator.size())
      strings.push_back(all.substr(pos, end - pos));
    for (const std::string& text : strings)
      EXPECT_EQ(got.encode(text, true, true), expected.encode(text, true, true)) << text;
  }

  std::uint32_t size() const { return static_cast<std::uint32_t>(data_.tokens.size()); }

  gguf::File file_ = gguf::File::open(kFolder / "llama-spm.vocab.gguf");
  VocabData data_ = read_vocabulary(file_);
};

TEST_F(HfPiecesConformance, ModelFile) {
  TokenizerFiles files;
  files.pieces = SentencePieceModel::parse(
      testing::sentencepiece_model<std::string_view>(data_.tokens, *data_.scores, *data_.types),
      "tokenizer.model");
  const HfVocabulary v = read_hf_vocabulary(files, size(), "");
  EXPECT_TRUE(std::ranges::equal(v.tokens, data_.tokens));
  EXPECT_EQ(v.scores, data_.scores);
  EXPECT_EQ(v.types, data_.types);
  expect_same(v);
}

// As transformers makes it of a model file: the ways to make each token of two others, by its score.
TEST_F(HfPiecesConformance, JsonFile) {
  std::unordered_map<std::string_view, std::size_t> ids;
  nlohmann::json vocab = nlohmann::json::object(), added = nlohmann::json::array();
  for (std::size_t id = 0; id < data_.tokens.size(); ++id) {
    ids[data_.tokens[id]] = id;
    vocab[std::string(data_.tokens[id])] = id;
    if ((*data_.types)[id] == 2 || (*data_.types)[id] == 3)
      added.push_back({{"id", id}, {"content", data_.tokens[id]}, {"special", true}});
  }
  std::vector<std::pair<float, std::string>> ways;
  for (std::size_t id = 0; id < data_.tokens.size(); ++id) {
    const std::string_view text = data_.tokens[id];
    for (std::size_t cut = unicode::decode_at(text, 0).bytes; cut < text.size();
         cut += unicode::decode_at(text, cut).bytes)
      if (ids.contains(text.substr(0, cut)) && ids.contains(text.substr(cut)))
        ways.emplace_back(-(*data_.scores)[id],
                          std::string(text.substr(0, cut)) + " " + std::string(text.substr(cut)));
  }
  std::ranges::stable_sort(ways, {}, &std::pair<float, std::string>::first);
  nlohmann::json merges = nlohmann::json::array();
  for (const auto& way : ways) merges.push_back(way.second);
  const nlohmann::json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  const nlohmann::json tokenizer = {
      {"added_tokens", added},
      {"normalizer",
       {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}, {"prepend", "\u2581"}}, replace}}}},
      {"model",
       {{"type", "BPE"},
        {"byte_fallback", true},
        {"unk_token", "<unk>"},
        {"vocab", vocab},
        {"merges", merges}}}};
  TokenizerFiles files;
  files.tokenizer = JsonObject::parse(tokenizer.dump(), "tokenizer.json");
  files.tokenizer_config = JsonObject::parse(R"({"add_bos_token":true,"bos_token":"<s>"})", "c.json");
  const HfVocabulary v = read_hf_vocabulary(files, size(), "");
  EXPECT_EQ(v.types, data_.types);
  expect_same(v);
}

}  // namespace
}  // namespace bitnet::hf
