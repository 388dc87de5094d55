#pragma once
// Logits that another engine had for a model: the `result_output` of a trace (docs/reference/traces.md).

#include <filesystem>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace bitnet {

struct RecordedRow {
  std::size_t position = 0;   // of the token whose row it is
  std::vector<float> logits;  // (n_vocab)
};

/// One sequence from its beginning.
struct RecordedCase {
  std::vector<Token> tokens;
  std::vector<RecordedRow> rows;  // at least one
};

/// Throws InputError that names file and field where there are none for a vocabulary of this size.
std::vector<RecordedCase> read_recorded_logits(const std::filesystem::path& trace, std::int64_t n_vocab);

}  // namespace bitnet
