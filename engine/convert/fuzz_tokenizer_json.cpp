// libFuzzer: whatever tokenizer.json says, reading it ends in a vocabulary that a tokenizer takes or refuses,
// or in one InputError of one line.

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
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    // The same bytes as every file: each is read for keys of its own.
    const hf::JsonObject file = hf::JsonObject::parse(text, "f");
    hf::TokenizerFiles files;
    files.tokenizer = files.tokenizer_config = files.generation_config = files.config = file;
    const hf::HfVocabulary v = hf::read_hf_vocabulary(files, kVocabulary, "");
    require(v.tokens.size() == kVocabulary && v.types.size() == kVocabulary);
    for (const auto& [key, id] : v.ids) require(id < kVocabulary);
    const Tokenizer tokenizer(v.data(), {});
    const auto tokens = tokenizer.encode("Hello <s> 123\n\xF0\x9F\x98\x80", true, true);
    for (const Token t : tokens) require(t >= 0 && t < tokenizer.size());
    (void)tokenizer.decode(tokens, true);
  } catch (const InputError& e) {
    const std::string_view message = e.what();
    require(message.starts_with("f: ") && gguf::printable_message(message) == message);
  }
  return 0;
}
