#include "engine/tokenizer/vocab_checks.h"

#include <limits>

#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace bitnet {

void fail(const VocabData& data, std::string_view key, const std::string& what) {
  throw InputError(gguf::printable_message(data.source + ": tokenizer." + std::string(key) + ": " + what));
}

std::string in_quotes(std::string_view name) {
  return std::string("`").append(gguf::printable(name, 64)).append("`");
}

TextTable token_texts(const VocabData& data, std::size_t more, std::size_t bytes) {
  if (data.tokens.empty()) fail(data, "ggml.tokens", std::string("the vocabulary is empty") + kConvertAgain);
  if (data.tokens.size() > static_cast<std::size_t>(std::numeric_limits<Token>::max())) {
    fail(data, "ggml.tokens", "more tokens than ids");
  }
  for (const std::string_view text : data.tokens) bytes += text.size();
  TextTable table;
  table.reserve(data.tokens.size() + more, bytes);
  for (std::size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string_view text = data.tokens[id];
    const std::uint32_t number = table.insert(text.empty() ? "[EMPTY_" + std::to_string(id) + "]" : text);
    if (number != id) {
      fail(data, "ggml.tokens",
           "tokens " + std::to_string(number) + " and " + std::to_string(id) + " have the same text" +
               kConvertAgain);
    }
  }
  return table;
}

std::vector<TokenType> token_types(const VocabData& data) {
  std::vector<TokenType> types(data.tokens.size(), TokenType::normal);
  if (!data.types) return types;
  if (data.types->size() != types.size()) {
    fail(data, "ggml.token_type",
         std::to_string(data.types->size()) + " types for " + std::to_string(types.size()) + " tokens" +
             kConvertAgain);
  }
  for (std::size_t id = 0; id < types.size(); ++id) {
    const std::int32_t type = (*data.types)[id];
    if (type < 0 || type > static_cast<std::int32_t>(TokenType::byte)) {
      fail(data, "ggml.token_type",
           "token " + std::to_string(id) + " has type " + std::to_string(type) + "; 0 to 6 exist" +
               kConvertAgain);
    }
    types[id] = static_cast<TokenType>(type);
  }
  return types;
}

void check_score_count(const VocabData& data) {
  if (!data.scores || data.scores->size() == data.tokens.size()) return;
  fail(data, "ggml.scores",
       std::to_string(data.scores->size()) + " scores for " + std::to_string(data.tokens.size()) + " tokens" +
           kConvertAgain);
}

}  // namespace bitnet
