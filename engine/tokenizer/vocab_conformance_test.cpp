// The tokenizer against real vocabularies and the ids that llama.cpp gives for its test strings (MIT
// licence). The project ships neither; CROSSVAL_VOCAB_DIR, which CMake reads, names the folder that holds
// them.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <unordered_map>

#include "engine/gguf/gguf.h"
#include "engine/tokenizer/byte_alphabet.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {
namespace {

const std::filesystem::path kFolder = CROSSVAL_VOCAB_DIR;

std::string read(const std::string& name) {
  std::ifstream in(kFolder / name, std::ios::binary);
  if (!in) ADD_FAILURE() << "cannot read " << kFolder / name;
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The strings of NAME.inp.
std::vector<std::string> strings_of(const std::string& name) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  const std::string all = read(name + ".inp");
  std::vector<std::string> out;
  std::size_t pos = 0;
  for (std::size_t end; (end = all.find(kSeparator, pos)) != std::string::npos;
       pos = end + kSeparator.size()) {
    out.push_back(all.substr(pos, end - pos));
  }
  return out;
}

/// The ids of NAME.out, a line for each string.
std::vector<std::vector<Token>> ids_of(const std::string& name) {
  std::istringstream in(read(name + ".out"));
  std::vector<std::vector<Token>> out;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    out.emplace_back(std::istream_iterator<Token>(words), std::istream_iterator<Token>());
  }
  return out;
}

void expect_conforms(const Tokenizer& t, const std::string& name) {
  const auto strings = strings_of(name);
  const auto ids = ids_of(name);
  ASSERT_EQ(strings.size(), ids.size());
  ASSERT_GE(strings.size(), 40u);
  for (std::size_t i = 0; i < strings.size(); ++i) {
    EXPECT_EQ(t.encode(strings[i], false, false), ids[i]) << testing::PrintToString(strings[i]);
    EXPECT_EQ(t.decode(ids[i]), strings[i]);
  }
}

std::string base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<std::uint32_t>(kDigits.find(c));
    if ((count += 6) < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(static_cast<std::uint8_t>(bits >> count)));
  }
  return out;
}

/// Llama 3 as its GGUF files hold it: the ranks of llama3.tiktoken are ids, and every way to cut a token into
/// two others is a merge, sorted by the token that it makes and then by its halves.
struct Llama3 {
  std::vector<std::string> texts, merges;
  VocabData data;

  Llama3() {
    std::istringstream in(read("llama3.tiktoken"));
    std::string word;
    std::vector<std::string> tokens;
    std::unordered_map<std::string, std::size_t> rank;
    for (std::size_t r; in >> word >> r;) {
      tokens.push_back(base64(word));
      rank[tokens.back()] = r;
    }
    for (const std::string& token : tokens) {
      append_byte_symbols(token, texts.emplace_back());
      std::vector<std::array<std::size_t, 2>> halves;
      for (std::size_t cut = 1; cut < token.size(); ++cut) {
        const auto left = rank.find(token.substr(0, cut));
        const auto right = rank.find(token.substr(cut));
        if (left != rank.end() && right != rank.end()) halves.push_back({left->second, right->second});
      }
      std::sort(halves.begin(), halves.end());
      for (const auto& [left, right] : halves) {
        std::string& merge = merges.emplace_back();
        append_byte_symbols(tokens[left], merge);
        merge += ' ';
        append_byte_symbols(tokens[right], merge);
      }
    }
    data.types.emplace(texts.size(), static_cast<std::int32_t>(TokenType::normal));
    for (int i = 0; i < 256; ++i) {
      texts.push_back(i == 0   ? "<|begin_of_text|>"
                      : i == 1 ? "<|end_of_text|>"
                      : i == 9 ? "<|eot_id|>"
                               : "<|reserved_special_token_" + std::to_string(i) + "|>");
      data.types->push_back(static_cast<std::int32_t>(TokenType::control));
    }
    data.source = "llama3.tiktoken";
    data.model = "gpt2";
    data.pre = "llama-bpe";
    data.ids = {{"bos_token_id", 128000}, {"eos_token_id", 128001}};
    data.tokens.assign(texts.begin(), texts.end());
    data.merges.emplace(merges.begin(), merges.end());
  }
};

TEST(VocabConformance, Gpt2) {
  const Tokenizer t(gguf::File::open(kFolder / "gpt-2.vocab.gguf"));
  EXPECT_EQ(t.pre(), "gpt-2");
  expect_conforms(t, "gpt-2");
}

TEST(VocabConformance, Falcon) {
  const Tokenizer t(gguf::File::open(kFolder / "falcon.vocab.gguf"));
  EXPECT_EQ(t.pre(), "falcon");
  expect_conforms(t, "falcon");
}

TEST(VocabConformance, LlamaBpe) {
  const Llama3 llama3;
  ASSERT_EQ(llama3.texts.size(), 128256u);
  ASSERT_EQ(llama3.merges.size(), 280147u);  // as in the files of Llama 3
  const Tokenizer t(llama3.data, Tokenizer::Options{});
  expect_conforms(t, "llama-bpe");
  EXPECT_EQ(t.encode("<|begin_of_text|>a<|eot_id|>", true, true),
            (std::vector<Token>{128000, 128000, 64, 128009}));
  for (Token id = 0; id < 256; ++id) EXPECT_EQ(t.encode(t.piece(id), false, false), std::vector<Token>{id});
}

TEST(VocabConformance, DeepSeekLlm) {
  const Tokenizer t(gguf::File::open(kFolder / "deepseek-llm.vocab.gguf"));
  EXPECT_EQ(t.pre(), "deepseek-llm");
  expect_conforms(t, "deepseek-llm");
}

TEST(VocabConformance, LlamaSpm) {
  const Tokenizer t(gguf::File::open(kFolder / "llama-spm.vocab.gguf"));
  EXPECT_EQ(t.pre(), "");
  expect_conforms(t, "llama-spm");
}

/// There is no vocabulary, so the ids tell only what the pieces must be: the same piece has the same ids
/// wherever it stands. What one string leaves open, another settles.
TEST(VocabConformance, Qwen2CutsWhereItsIdsAllowIt) {
  const auto strings = strings_of("qwen2");
  const auto ids = ids_of("qwen2");
  ASSERT_EQ(strings.size(), ids.size());
  struct Left {
    std::vector<std::string> pieces;
    std::vector<Token> ids;
  };
  std::vector<Left> left;
  for (std::size_t i = 0; i < strings.size(); ++i) {
    Left& l = left.emplace_back();
    l.ids = ids[i];
    const CodePoints points(strings[i]);
    std::size_t begin = 0;
    for (const std::uint32_t end : find_pre_tokenizer("qwen2")->split(points)) {
      l.pieces.push_back(strings[i].substr(begin, points.offset[end] - begin));
      begin = points.offset[end];
    }
    EXPECT_LE(l.pieces.size(), l.ids.size()) << testing::PrintToString(strings[i]);
    if (strings[i].find_first_not_of("0123456789") == std::string::npos) {
      EXPECT_EQ(l.pieces.size(), l.ids.size()) << strings[i];  // a token each
    }
  }
  std::map<std::string, std::vector<Token>> known;
  std::size_t settled = 0;
  for (bool more = true; more;) {
    more = false;
    for (Left& l : left) {
      if (l.pieces.empty()) continue;
      while (!l.pieces.empty() && known.contains(l.pieces.front())) {
        const std::vector<Token>& want = known[l.pieces.front()];
        ASSERT_TRUE(l.ids.size() >= want.size() && std::equal(want.begin(), want.end(), l.ids.begin()))
            << l.pieces.front();
        l.ids.erase(l.ids.begin(), l.ids.begin() + std::ssize(want));
        l.pieces.erase(l.pieces.begin());
        more = true;
      }
      while (!l.pieces.empty() && known.contains(l.pieces.back())) {
        const std::vector<Token>& want = known[l.pieces.back()];
        ASSERT_TRUE(l.ids.size() >= want.size() && std::equal(want.rbegin(), want.rend(), l.ids.rbegin()))
            << l.pieces.back();
        l.ids.resize(l.ids.size() - want.size());
        l.pieces.pop_back();
        more = true;
      }
      if (l.pieces.size() == l.ids.size() || l.pieces.size() == 1) {
        for (std::size_t i = 0; i + 1 < l.pieces.size(); ++i) known[l.pieces[i]] = {l.ids[i]};
        if (!l.pieces.empty())
          known[l.pieces.back()].assign(l.ids.begin() + std::ssize(l.pieces) - 1, l.ids.end());
        more = more || !l.pieces.empty();
        l = {};
      }
      settled += l.pieces.empty();
      EXPECT_TRUE(!l.pieces.empty() || l.ids.empty());
    }
  }
  EXPECT_GE(settled, 37u);
}

/// Linear work is shown where the work is counted (bpe_test, spm_test); here long texts come back, all of
/// them.
TEST(VocabConformance, LongTexts) {
  const Llama3 llama3;
  const Tokenizer bpe(llama3.data, Tokenizer::Options{});
  const Tokenizer deepseek(gguf::File::open(kFolder / "deepseek-llm.vocab.gguf"));
  const Tokenizer spm(gguf::File::open(kFolder / "llama-spm.vocab.gguf"));
  std::string prose;
  for (const auto& strings = strings_of("llama-bpe"); prose.size() < 1 << 20;) {
    for (const std::string& s : strings) prose += s;
  }
  const std::pair<const char*, std::string> texts[] = {{"prose", prose},
                                                       {"letters", std::string(1 << 20, 'a')},
                                                       {"spaces", std::string(1 << 20, ' ')},
                                                       {"zeros", std::string(1 << 20, '\0')},
                                                       {"line breaks", std::string(1 << 20, '\n')}};
  for (const auto& [name, text] : texts) {
    for (const Tokenizer* t : {&bpe, &deepseek, &spm})
      EXPECT_TRUE(t->decode(t->encode(text, false, true), true) == text) << name << ", " << t->pre();
  }
}

}  // namespace
}  // namespace bitnet
