#pragma once
// How the text between special tokens becomes tokens, and tokens text: byte-level BPE or SentencePiece.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/special_roles.h"
#include "engine/tokenizer/spm.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {

/// Immutable once made, so several threads may encode at once.
class Scheme {
 public:
  /// By `tokenizer.ggml.model`; `pre` overrides `tokenizer.ggml.pre`, "" follows the file. Throws InputError.
  Scheme(const VocabData& data, const std::string& pre);

  /// Buffers of `encode`, kept by the caller from text to text.
  struct Scratch {
    Bpe::Scratch bpe;
    Spm::Scratch spm;
    std::string shortened;
  };
  /// `first`: nothing or a special token is before the text.
  void encode(std::string_view text, bool first, Scratch& scratch, std::vector<Token>& out) const;
  /// What the text of a normal token and of a byte token stands for, appended to `out`.
  void append_normal(std::string_view text, std::string& out) const;
  void append_byte(std::string_view text, std::string& out) const;

  Token token_count() const;
  std::string_view token_text(Token token) const;
  /// -1 when there is none.
  Token find_token(std::string_view text) const;

  std::string_view name() const;  // of the pre-tokenizer; "" where there is none
  bool named_by_file() const { return named_by_file_; }
  bool add_bos() const;  // unless the file says otherwise
  /// Whether `encode` puts a space before a text that is first.
  bool adds_space() const;
  /// The token that has a role where neither a key nor a text gives it one.
  std::optional<Token> default_token(Role role) const;

 private:
  struct ByteLevel {
    const PreTokenizer* pre;
    Bpe bpe;
  };
  struct SentencePiece {
    Spm spm;
    bool space_prefix;
  };
  using Kind = std::variant<ByteLevel, SentencePiece>;

  static Kind make(const VocabData& data, const std::string& pre);
  static ByteLevel make_byte_level(const VocabData& data, const std::string& pre);
  static SentencePiece make_sentence_piece(const VocabData& data, const std::string& pre);
  const Bpe* bpe() const;
  /// `use(texts)` of whichever holds the token texts.
  template <class Use>
  auto with_tokens(Use use) const;

  Kind kind_;
  bool named_by_file_;
};

}  // namespace bitnet
