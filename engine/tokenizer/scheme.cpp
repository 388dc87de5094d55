#include "engine/tokenizer/scheme.h"

#include <cmath>
#include <utility>

#include "engine/tokenizer/byte_alphabet.h"
#include "engine/tokenizer/unicode.h"
#include "engine/tokenizer/vocab_checks.h"

namespace bitnet {
namespace {

bool names_pre(const VocabData& data) {
  return data.pre.has_value() && !data.pre->empty();
}

const PreTokenizer& choose_pre(const VocabData& data, const std::string& option) {
  const std::string name = !option.empty() ? option : names_pre(data) ? *data.pre : "default";
  if (const PreTokenizer* pre = find_pre_tokenizer(name)) return *pre;
  fail(data, "ggml.pre",
       "unknown pre-tokenizer " + in_quotes(name) + (option.empty() ? "" : " (given as an option)") +
           "; choose one of " + pre_tokenizer_names());
}

/// A byte token that stands for no byte would come out as nothing.
void check_byte_tokens(const VocabData& data) {
  const std::vector<TokenType> types = token_types(data);
  for (std::size_t id = 0; id < types.size(); ++id) {
    if (types[id] != TokenType::byte || Spm::byte_of(data.tokens[id]) >= 0) continue;
    fail(data, "ggml.tokens",
         "token " + std::to_string(id) + " is a byte, but its text " + in_quotes(data.tokens[id]) +
             " is none of <0x00> to <0xFF>" + kConvertAgain);
  }
}

/// The text of a normal token, taken back from the byte alphabet.
void append_from_alphabet(std::string_view text, std::string& out) {
  for (std::size_t pos = 0; pos < text.size();) {
    const unicode::Decoded c = unicode::decode_at(text, pos);
    const auto byte = c.valid ? symbol_byte(c.value) : std::nullopt;
    if (byte) {
      out.push_back(static_cast<char>(*byte));
    } else {
      out += "[UNK_BYTE_0x";
      for (std::size_t i = 0; i < c.bytes; ++i) {
        constexpr char kHex[] = "0123456789abcdef";
        const auto b = static_cast<std::uint8_t>(text[pos + i]);
        out += kHex[b >> 4];
        out += kHex[b & 15];
      }
      out.append(text).push_back(']');
    }
    pos += c.bytes;
  }
}

void encode_byte_level(const PreTokenizer& pre, const Bpe& bpe, std::string_view text, Scheme::Scratch& s,
                       std::vector<Token>& out) {
  if (unicode::has_overlong_forms(text)) text = s.shortened = unicode::without_overlong_forms(text);
  const CodePoints points(text);
  std::size_t begin = 0;
  for (const std::uint32_t end_point : pre.split(points)) {
    const std::size_t end = points.offset[end_point];
    bpe.encode_piece(text.substr(begin, end - begin), s.bpe, out);
    begin = end;
  }
}

}  // namespace

Scheme::Scheme(const VocabData& data, const std::string& pre)
    : kind_(make(data, pre)), named_by_file_(bpe() == nullptr || (pre.empty() && names_pre(data))) {}

Scheme::Kind Scheme::make(const VocabData& data, const std::string& pre) {
  if (data.model == "gpt2") return make_byte_level(data, pre);
  if (data.model == "llama") return make_sentence_piece(data, pre);
  fail(data, "ggml.model",
       "unknown tokenizer model " + in_quotes(data.model) +
           "; supported: gpt2 (byte-level BPE), llama (SentencePiece)");
}

Scheme::ByteLevel Scheme::make_byte_level(const VocabData& data, const std::string& option) {
  const PreTokenizer& pre = choose_pre(data, option);
  if (!data.merges)
    fail(data, "ggml.merges",
         std::string("missing; a byte-level BPE vocabulary needs its merges") + kConvertAgain);
  check_score_count(data);
  // Merges hardly ever name a text that is no token; the 256 byte symbols may come on top.
  return {&pre, Bpe(token_texts(data, 256, 512), *data.merges, pre.ignore_merges)};
}

Scheme::SentencePiece Scheme::make_sentence_piece(const VocabData& data, const std::string& option) {
  if (!option.empty())
    fail(data, "ggml.model",
         "a SentencePiece vocabulary has no pre-tokenizer, but " + in_quotes(option) +
             " is given as an option; leave it out");
  if (!data.scores)
    fail(data, "ggml.scores",
         std::string("missing; a SentencePiece vocabulary needs its scores") + kConvertAgain);
  check_score_count(data);
  for (std::size_t id = 0; id < data.scores->size(); ++id) {
    if (std::isnan((*data.scores)[id]))
      fail(data, "ggml.scores",
           "the score of token " + std::to_string(id) + " is not a number" + kConvertAgain);
  }
  check_byte_tokens(data);
  return {Spm(token_texts(data), *data.scores), data.add_space_prefix.value_or(true)};
}

const Bpe* Scheme::bpe() const {
  const auto* bytes = std::get_if<ByteLevel>(&kind_);
  return bytes == nullptr ? nullptr : &bytes->bpe;
}

void Scheme::encode(std::string_view text, bool first, Scratch& s, std::vector<Token>& out) const {
  if (const auto* bytes = std::get_if<ByteLevel>(&kind_)) {
    encode_byte_level(*bytes->pre, bytes->bpe, text, s, out);
  } else {
    std::get<SentencePiece>(kind_).spm.encode(text, first && adds_space(), s.spm, out);
  }
}

void Scheme::append_normal(std::string_view text, std::string& out) const {
  if (bpe() != nullptr) {
    append_from_alphabet(text, out);
  } else {
    Spm::append_text(text, out);
  }
}

void Scheme::append_byte(std::string_view text, std::string& out) const {
  if (bpe() == nullptr) out.push_back(static_cast<char>(static_cast<std::uint8_t>(Spm::byte_of(text))));
}

template <class Use>
auto Scheme::with_tokens(Use use) const {
  const Bpe* bytes = bpe();
  return bytes != nullptr ? use(*bytes) : use(std::get<SentencePiece>(kind_).spm);
}

Token Scheme::token_count() const {
  return with_tokens([](const auto& all) { return all.token_count(); });
}
std::string_view Scheme::token_text(Token token) const {
  return with_tokens([token](const auto& all) { return all.token_text(token); });
}
Token Scheme::find_token(std::string_view text) const {
  return with_tokens([text](const auto& all) { return all.find_token(text); });
}

std::string_view Scheme::name() const {
  const auto* bytes = std::get_if<ByteLevel>(&kind_);
  return bytes == nullptr ? "" : bytes->pre->name;
}

bool Scheme::add_bos() const {
  const auto* bytes = std::get_if<ByteLevel>(&kind_);
  return bytes == nullptr || bytes->pre->add_bos;
}

bool Scheme::adds_space() const {
  const auto* pieces = std::get_if<SentencePiece>(&kind_);
  return pieces != nullptr && pieces->space_prefix;
}

std::optional<Token> Scheme::default_token(Role role) const {
  // bitnet.cpp's own; a vocabulary that is too small for one has none.
  std::optional<Token> token;
  const bool pieces = bpe() == nullptr;
  if (role == Role::bos) token = pieces ? 1 : 11;
  if (role == Role::eos) token = pieces ? 2 : 11;
  if (role == Role::unknown && pieces) token = 0;
  return token && *token < token_count() ? token : std::nullopt;
}

}  // namespace bitnet
