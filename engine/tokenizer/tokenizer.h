#pragma once
// Text to token ids and back, as the GGUF file prescribes (reference-semantics 7).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet {

namespace gguf {
class File;
}

struct VocabData;

using Token = std::int32_t;

enum class TokenType : std::uint8_t { undefined = 0, normal, unknown, control, user_defined, unused, byte };

class Tokenizer {
 public:
  struct Options {
    /// Overrides `tokenizer.ggml.pre`; "" follows the file ("default" when the file has no such key).
    std::string pre;
  };

  /// Throws InputError when the vocabulary does not fit (missing keys, duplicate tokens, special ids out of
  /// range, unknown model or pre-tokenizer: named).
  explicit Tokenizer(const gguf::File& file, const Options& options);
  explicit Tokenizer(const gguf::File& file);
  /// The same for a vocabulary that comes from elsewhere (vocab_data.h). Nothing of it is needed afterwards.
  Tokenizer(const VocabData& vocabulary, const Options& options);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// add_special: BOS first when add_bos(), EOS last when add_eos(). parse_special: control tokens written in
  /// the text become their ids; otherwise they are plain text. A SentencePiece vocabulary may put a space
  /// before a text and after a special token (`tokenizer.ggml.add_space_prefix`). Invalid UTF-8, in
  /// byte-level BPE: a surrogate is a code point, an overlong form the code point that it spells (both as
  /// bitnet.cpp has it), and any other byte that belongs to no sequence counts as one code point U+FFFD when
  /// splitting and keeps its own byte when merging. Throws InputError for a text of 2 GiB or more, and for a
  /// byte that a SentencePiece vocabulary has no token for.
  std::vector<Token> encode(std::string_view text, bool add_special, bool parse_special) const;

  /// What is odd about ids that `encode` made with add_special, in one line, "" if nothing: BOS twice at the
  /// start or EOS twice at the end, because the text had its own. Both stay, as in bitnet.cpp.
  std::string doubled_specials(const std::vector<Token>& tokens) const;

  /// The bytes of one token (may be part of a UTF-8 sequence). Control and unknown tokens are empty unless
  /// `special`, unused and undefined tokens always, byte tokens in byte-level BPE. There a code point that
  /// stands for no byte shows as "[UNK_BYTE_0x<its UTF-8 in hex><text of the token>]", as in bitnet.cpp. Ids
  /// must be in [0, size()) here and below: std::out_of_range.
  std::string piece(Token token, bool special = false) const;
  /// The same, appended to `out`.
  void append_piece(Token token, std::string& out, bool special = false) const;
  /// Concatenated pieces, without the space that such a vocabulary puts before a text: if the first of them
  /// starts with one.
  std::string decode(const std::vector<Token>& tokens, bool special = false) const;

  std::int32_t size() const;
  /// As the file says, but control where the text is a known end, turn or fill-in-the-middle marker.
  TokenType type(Token token) const;
  /// As it stands in the file; an empty one reads "[EMPTY_<id>]", and is found and written as that.
  std::string_view text(Token token) const;
  std::optional<Token> find(std::string_view text) const;
  bool is_eog(Token token) const;
  std::optional<Token> bos() const;
  std::optional<Token> eos() const;
  std::optional<Token> eot() const;
  bool add_bos() const;
  bool add_eos() const;
  /// The pre-tokenizer in use ("default", "llama3", ...; "" for SentencePiece, which has none), and whether
  /// the file named it (not if an option overrode it).
  std::string_view pre() const;
  bool pre_from_file() const;
  /// `tokenizer.chat_template`, "" when absent.
  std::string_view chat_template() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace bitnet
