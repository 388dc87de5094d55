#include "engine/tokenizer/tokenizer.h"

#include <array>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/printable.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/byte_alphabet.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/special_matcher.h"
#include "engine/tokenizer/special_roles.h"
#include "engine/tokenizer/unicode.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {
namespace {

/// The mend for a vocabulary that is damaged.
constexpr const char* kAgain = "; convert the model again";

[[noreturn]] void fail(const VocabData& data, std::string_view key, const std::string& what) {
  throw InputError(gguf::printable_message(data.source + ": tokenizer." + std::string(key) + ": " + what));
}

/// A name from the file, fit for a message.
std::string in_quotes(std::string_view name) {
  return std::string("`").append(gguf::printable(name, 64)).append("`");
}

void check_model(const VocabData& data) {
  if (data.model == "gpt2") return;
  if (data.model == "llama") {
    fail(data, "ggml.model",
         "SentencePiece vocabularies (`llama`) are not supported yet; use a model with byte-level BPE "
         "(`gpt2`)");
  }
  fail(data, "ggml.model",
       "unknown tokenizer model " + in_quotes(data.model) + "; supported: gpt2 (byte-level BPE)");
}

const PreTokenizer& choose_pre(const VocabData& data, const Tokenizer::Options& options) {
  const bool named = data.pre.has_value() && !data.pre->empty();
  const std::string name = !options.pre.empty() ? options.pre : named ? *data.pre : "default";
  if (const PreTokenizer* pre = find_pre_tokenizer(name)) return *pre;
  fail(data, "ggml.pre",
       "unknown pre-tokenizer " + in_quotes(name) + (options.pre.empty() ? "" : " (given as an option)") +
           "; choose one of " + pre_tokenizer_names());
}

/// The token texts, numbered by id.
TextTable token_texts(const VocabData& data) {
  if (data.tokens.empty()) fail(data, "ggml.tokens", std::string("the vocabulary is empty") + kAgain);
  if (data.tokens.size() > static_cast<std::size_t>(std::numeric_limits<Token>::max())) {
    fail(data, "ggml.tokens", "more tokens than ids");
  }
  std::size_t bytes = 0;
  for (const std::string_view text : data.tokens) bytes += text.size();
  // Merges hardly ever name a text that is no token; the 256 byte symbols may come on top.
  TextTable table;
  table.reserve(data.tokens.size() + 256, bytes + 512);
  for (std::size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string_view text = data.tokens[id];
    const std::uint32_t number = table.insert(text.empty() ? "[EMPTY_" + std::to_string(id) + "]" : text);
    if (number != id) {
      fail(
          data, "ggml.tokens",
          "tokens " + std::to_string(number) + " and " + std::to_string(id) + " have the same text" + kAgain);
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
             kAgain);
  }
  for (std::size_t id = 0; id < types.size(); ++id) {
    const std::int32_t type = (*data.types)[id];
    if (type < 0 || type > static_cast<std::int32_t>(TokenType::byte)) {
      fail(data, "ggml.token_type",
           "token " + std::to_string(id) + " has type " + std::to_string(type) + "; 0 to 6 exist" + kAgain);
    }
    types[id] = static_cast<TokenType>(type);
  }
  return types;
}

Bpe make_bpe(const VocabData& data, const PreTokenizer& pre) {
  if (!data.merges)
    fail(data, "ggml.merges", std::string("missing; a byte-level BPE vocabulary needs its merges") + kAgain);
  if (data.scores && *data.scores != data.tokens.size()) {
    fail(data, "ggml.scores",
         std::to_string(*data.scores) + " scores for " + std::to_string(data.tokens.size()) + " tokens" +
             kAgain);
  }
  return Bpe(token_texts(data), *data.merges, pre.ignore_merges);
}

/// The text of a normal token, taken back from the byte alphabet.
void append_normal(std::string_view text, std::string& out) {
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

}  // namespace

struct Tokenizer::Impl {
  Impl(const VocabData& data, const Options& options)
      : pre((check_model(data), choose_pre(data, options))),
        pre_from_file(options.pre.empty() && data.pre.has_value() && !data.pre->empty()),
        bpe(make_bpe(data, pre)),
        types(token_types(data)),
        add_bos(data.add_bos.value_or(pre.add_bos)),
        add_eos(data.add_eos.value_or(false)),
        chat_template(data.chat_template) {
    assign_roles(data);
    find_ends();
    if (add_bos && !role(Role::bos))
      fail(data, "ggml.bos_token_id",
           "missing, but texts are to start with it; set it, or tokenizer.ggml.add_bos_token to false");
    if (add_eos && !role(Role::eos))
      fail(data, "ggml.eos_token_id",
           "missing, but texts are to end with it; set it, or tokenizer.ggml.add_eos_token to false");
    for (Token id = 0; id < bpe.token_count(); ++id) {
      const TokenType t = types[static_cast<std::size_t>(id)];
      const bool user = t == TokenType::user_defined;
      if (user) user_defined.add(bpe.token_text(id), id);
      if (user || t == TokenType::control || t == TokenType::unknown) specials.add(bpe.token_text(id), id);
    }
    user_defined.build();
    specials.build();
  }

  std::optional<Token>& role(Role r) { return roles[static_cast<std::size_t>(r)]; }
  const std::optional<Token>& role(Role r) const { return roles[static_cast<std::size_t>(r)]; }

  void assign_roles(const VocabData& data) {
    constexpr Token kDefault = 11;  // bitnet.cpp's BOS and EOS where a file names none
    if (bpe.token_count() > kDefault) role(Role::bos) = role(Role::eos) = kDefault;
    for (const RoleKey& k : role_keys()) {
      for (const auto& [key, id] : data.ids) {
        if (key != k.key) continue;
        if (id >= data.tokens.size()) {
          fail(data, "ggml." + key,
               "token " + std::to_string(id) + " does not exist; the ids end at " +
                   std::to_string(data.tokens.size() - 1) + kAgain);
        }
        role(k.role) = static_cast<Token>(id);
      }
    }
    for (std::size_t r = 0; r < kRoles; ++r) {
      if (roles[r]) continue;
      for (const std::string_view text : role_texts(static_cast<Role>(r))) {
        if (const Token id = bpe.find_token(text); id >= 0) {
          roles[r] = id;
          types[static_cast<std::size_t>(id)] = TokenType::control;
          break;
        }
      }
    }
  }

  void find_ends() {
    ends.assign(types.size(), false);
    for (const Role r :
         {Role::fim_padding, Role::fim_repository, Role::fim_separator, Role::eos, Role::eot, Role::eom}) {
      if (role(r)) ends[static_cast<std::size_t>(*role(r))] = true;
    }
    for (const std::string_view text : end_of_generation_texts()) {
      if (const Token id = bpe.find_token(text); id >= 0) {
        ends[static_cast<std::size_t>(id)] = true;
        types[static_cast<std::size_t>(id)] = TokenType::control;
      }
    }
  }

  void check(Token token) const {
    if (token < 0 || token >= bpe.token_count()) {
      throw std::out_of_range("token " + std::to_string(token) + " of " + std::to_string(bpe.token_count()));
    }
  }

  TokenType type(Token token) const {
    check(token);
    return types[static_cast<std::size_t>(token)];
  }

  const PreTokenizer& pre;
  bool pre_from_file;
  Bpe bpe;
  std::vector<TokenType> types;
  std::array<std::optional<Token>, kRoles> roles;
  std::vector<bool> ends;  // of generation
  SpecialMatcher specials;
  SpecialMatcher user_defined;
  bool add_bos;
  bool add_eos;
  std::string chat_template;
};

Tokenizer::Tokenizer(const VocabData& vocabulary, const Options& options)
    : impl_(std::make_unique<const Impl>(vocabulary, options)) {}
Tokenizer::Tokenizer(const gguf::File& file, const Options& options)
    : Tokenizer(read_vocabulary(file), options) {}
Tokenizer::Tokenizer(const gguf::File& file) : Tokenizer(file, Options{}) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<Token> Tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
  if (text.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw InputError("a text of " + std::to_string(text.size()) +
                     " bytes; the tokenizer takes less than 2 GiB at once");
  }
  std::vector<Token> out;
  Bpe::Scratch scratch;
  if (add_special && impl_->add_bos) out.push_back(*impl_->role(Role::bos));
  const SpecialMatcher& matcher = parse_special ? impl_->specials : impl_->user_defined;
  for (const SpecialMatcher::Fragment& f : matcher.partition(text)) {
    if (f.token != SpecialMatcher::kText) {
      out.push_back(f.token);
      continue;
    }
    const std::string_view part = text.substr(f.begin, f.end - f.begin);
    const CodePoints points(part);
    std::size_t begin = 0;
    for (const std::uint32_t end_point : impl_->pre.split(points)) {
      const std::size_t end = points.offset[end_point];
      impl_->bpe.encode_piece(part.substr(begin, end - begin), scratch, out);
      begin = end;
    }
  }
  if (add_special && impl_->add_eos) out.push_back(*impl_->role(Role::eos));
  return out;
}

void Tokenizer::append_piece(Token token, std::string& out, bool special) const {
  switch (impl_->type(token)) {
    case TokenType::control:
    case TokenType::unknown:
      if (special) out += impl_->bpe.token_text(token);
      return;
    case TokenType::user_defined:
      out += impl_->bpe.token_text(token);
      return;
    case TokenType::normal:
      append_normal(impl_->bpe.token_text(token), out);
      return;
    case TokenType::undefined:
    case TokenType::unused:
    case TokenType::byte:
      return;
  }
}

std::string Tokenizer::piece(Token token, bool special) const {
  std::string out;
  append_piece(token, out, special);
  return out;
}

std::string Tokenizer::decode(const std::vector<Token>& tokens, bool special) const {
  std::string out;
  for (const Token token : tokens) append_piece(token, out, special);
  return out;
}

std::int32_t Tokenizer::size() const {
  return impl_->bpe.token_count();
}
TokenType Tokenizer::type(Token token) const {
  return impl_->type(token);
}
std::string_view Tokenizer::text(Token token) const {
  impl_->check(token);
  return impl_->bpe.token_text(token);
}
std::optional<Token> Tokenizer::find(std::string_view text) const {
  const Token id = impl_->bpe.find_token(text);
  return id >= 0 ? std::optional(id) : std::nullopt;
}
bool Tokenizer::is_eog(Token token) const {
  impl_->check(token);
  return impl_->ends[static_cast<std::size_t>(token)];
}
std::optional<Token> Tokenizer::bos() const {
  return impl_->role(Role::bos);
}
std::optional<Token> Tokenizer::eos() const {
  return impl_->role(Role::eos);
}
std::optional<Token> Tokenizer::eot() const {
  return impl_->role(Role::eot);
}
bool Tokenizer::add_bos() const {
  return impl_->add_bos;
}
bool Tokenizer::add_eos() const {
  return impl_->add_eos;
}
std::string_view Tokenizer::pre() const {
  return impl_->pre.name;
}
bool Tokenizer::pre_from_file() const {
  return impl_->pre_from_file;
}
std::string_view Tokenizer::chat_template() const {
  return impl_->chat_template;
}

}  // namespace bitnet
