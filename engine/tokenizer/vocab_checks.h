#pragma once
// What every vocabulary must satisfy, whatever its scheme. Each check throws InputError of one line that
// names the file, the key and the mend.

#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/text_table.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {

/// The mend for a vocabulary that is damaged.
inline constexpr const char* kConvertAgain = "; convert the model again";

/// `key` without its "tokenizer.".
[[noreturn]] void fail(const VocabData& data, std::string_view key, const std::string& what);

/// A name from the file, fit for a message.
std::string in_quotes(std::string_view name);

/// The token texts, numbered by id, each different; room is left for `more` texts of `bytes` bytes together.
TextTable token_texts(const VocabData& data, std::size_t more = 0, std::size_t bytes = 0);
/// As many as tokens; all normal where the file has none.
std::vector<TokenType> token_types(const VocabData& data);
/// As many scores as tokens, if there are any.
void check_score_count(const VocabData& data);

}  // namespace bitnet
