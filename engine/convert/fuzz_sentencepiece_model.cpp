// libFuzzer: whatever tokenizer.model holds, reading it ends in a vocabulary that a tokenizer takes or
// refuses, or in one InputError of one line.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/convert/hf_vocabulary.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "engine/tokenizer/tokenizer.h"

namespace {

constexpr std::uint32_t kVocabulary = 300;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitnet;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    hf::TokenizerFiles files;
    files.pieces = hf::SentencePieceModel::parse(bytes, "f");
    const hf::HfVocabulary v = hf::read_hf_vocabulary(files, kVocabulary, "");
    require(v.tokens.size() == kVocabulary && v.scores.size() == kVocabulary);
    for (const auto& [key, id] : v.ids) require(id < kVocabulary);
    const Tokenizer tokenizer(v.data(), {});
    (void)tokenizer.decode({0, 1, 2}, true);
    const auto tokens = tokenizer.encode("Hello <s> 123\n\xF0\x9F\x98\x80", true, true);
    for (const Token t : tokens) require(t >= 0 && t < tokenizer.size());
  } catch (const InputError& e) {
    const std::string_view message = e.what();
    require(gguf::printable_message(message) == message);
  }
  return 0;
}
