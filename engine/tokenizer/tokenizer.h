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

using Token = std::int32_t;

enum class TokenType : std::uint8_t { undefined = 0, normal, unknown, control, user_defined, unused, byte };

class Tokenizer {
 public:
  struct Options {
    /// Overrides `tokenizer.ggml.pre`; "" follows the file ("default" when the file has no such key).
    std::string pre;
  };

  /// Throws InputError when the vocabulary does not fit (missing keys, duplicate tokens, special ids out of range,
  /// unknown model or pre-tokenizer: named).
  explicit Tokenizer(const gguf::File& file, const Options& options);
  explicit Tokenizer(const gguf::File& file);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// add_special: BOS first when add_bos(), EOS last when add_eos(). parse_special: control tokens written in the
  /// text become their ids; otherwise they are plain text. Invalid UTF-8: each byte that belongs to no valid sequence
  /// counts as one code point U+FFFD when splitting and keeps its own byte when merging; nothing is lost.
  std::vector<Token> encode(std::string_view text, bool add_special, bool parse_special) const;

  /// The bytes of one token (may be part of a UTF-8 sequence). Control and unknown tokens are empty unless `special`.
  std::string piece(Token token, bool special = false) const;
  /// Concatenated pieces.
  std::string decode(const std::vector<Token>& tokens, bool special = false) const;

  std::int32_t size() const;
  TokenType type(Token token) const;
  std::string_view text(Token token) const;  // as it stands in the file
  std::optional<Token> find(std::string_view text) const;
  bool is_eog(Token token) const;
  std::optional<Token> bos() const;
  std::optional<Token> eos() const;
  std::optional<Token> eot() const;
  bool add_bos() const;
  bool add_eos() const;
  /// The scheme in use ("default", "llama3", ...), and whether the file named it.
  std::string_view pre() const;
  bool pre_from_file() const;
  /// `tokenizer.chat_template`, "" when absent.
  std::string_view chat_template() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace bitnet
