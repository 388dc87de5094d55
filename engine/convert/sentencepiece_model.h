#pragma once
// tokenizer.model: a vocabulary of SentencePiece, which is a protocol buffer (sentencepiece_model.proto).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace bitnet::hf {

struct SentencePieceModel {
  struct Piece {
    std::string text;  // spaces written as U+2581
    float score = 0;
    TokenType type = TokenType::normal;
  };

  /// Throws InputError of one line that names file and place for what is damaged, and for models that do not
  /// merge by score (Unigram, words, characters) or write spaces in another way than `llama` does.
  static SentencePieceModel open(const std::filesystem::path& path);
  /// The same for bytes in memory; `name` stands for the path in messages.
  static SentencePieceModel parse(std::string_view bytes, std::string name);

  /// Throws InputError("FILE: FIELD: WHAT"), harmless to print.
  [[noreturn]] void fail(std::string_view field, std::string_view what) const;

  std::string file;
  std::vector<Piece> pieces;  // numbered as they are
  std::optional<std::uint32_t> unk;
  std::optional<std::uint32_t> bos;
  std::optional<std::uint32_t> eos;
  std::optional<std::uint32_t> pad;
  bool adds_space = true;        // before a text
  bool drops_spaces = true;      // at the ends of a text, and of each run all but one
  bool maps_characters = false;  // to others, such as those of NFKC
};

}  // namespace bitnet::hf
