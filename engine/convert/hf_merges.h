#pragma once
// The merges of a tokenizer.json, and the scores by which SentencePiece makes the same ones.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/convert/json_object.h"

namespace bitnet::hf {

/// Each as two texts with a space between them, in the order of their rank. `model` is that of
/// tokenizer.json.
std::vector<std::string> read_merges(const JsonObject& model);

/// A score for each token: the earlier a token is made, the higher. Throws InputError where no scores make
/// these merges, because SentencePiece merges any two tokens whose texts together are a token: merges of one
/// token that do not stand together, or one that is missing. `types` are those of GGUF; tokens of other types
/// than normal need no merges.
std::vector<float> scores_of_merges(const JsonObject& model, std::span<const std::string> merges,
                                    std::span<const std::string> tokens, std::span<const std::int32_t> types);

}  // namespace bitnet::hf
