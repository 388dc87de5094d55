#include "engine/tokenizer/tokenizer.h"

#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/gguf.h"
#include "engine/tokenizer/scheme.h"
#include "engine/tokenizer/special_matcher.h"
#include "engine/tokenizer/special_roles.h"
#include "engine/tokenizer/vocab_checks.h"
#include "engine/tokenizer/vocab_data.h"

namespace bitnet {

struct Tokenizer::Impl {
  Impl(const VocabData& data, const Options& options)
      : scheme(data, options.pre),
        types(token_types(data)),
        add_bos(data.add_bos.value_or(scheme.add_bos())),
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
    for (Token id = 0; id < scheme.token_count(); ++id) {
      const TokenType t = types[static_cast<std::size_t>(id)];
      const bool user = t == TokenType::user_defined;
      if (user) user_defined.add(scheme.token_text(id), id);
      if (user || t == TokenType::control || t == TokenType::unknown) specials.add(scheme.token_text(id), id);
    }
    user_defined.build();
    specials.build();
  }

  std::optional<Token>& role(Role r) { return roles[static_cast<std::size_t>(r)]; }
  const std::optional<Token>& role(Role r) const { return roles[static_cast<std::size_t>(r)]; }

  void assign_roles(const VocabData& data) {
    for (std::size_t r = 0; r < kRoles; ++r) roles[r] = scheme.default_token(static_cast<Role>(r));
    for (const RoleKey& k : role_keys()) {
      for (const auto& [key, id] : data.ids) {
        if (key != k.key) continue;
        if (id >= data.tokens.size()) {
          fail(data, "ggml." + key,
               "token " + std::to_string(id) + " does not exist; the ids end at " +
                   std::to_string(data.tokens.size() - 1) + kConvertAgain);
        }
        role(k.role) = static_cast<Token>(id);
      }
    }
    for (std::size_t r = 0; r < kRoles; ++r) {
      if (roles[r]) continue;
      for (const std::string_view text : role_texts(static_cast<Role>(r))) {
        if (const Token id = scheme.find_token(text); id >= 0) {
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
      if (const Token id = scheme.find_token(text); id >= 0) {
        ends[static_cast<std::size_t>(id)] = true;
        types[static_cast<std::size_t>(id)] = TokenType::control;
      }
    }
  }

  void check(Token token) const {
    if (token < 0 || token >= scheme.token_count()) {
      throw std::out_of_range("token " + std::to_string(token) + " of " +
                              std::to_string(scheme.token_count()));
    }
  }

  TokenType type(Token token) const {
    check(token);
    return types[static_cast<std::size_t>(token)];
  }

  Scheme scheme;
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
  Scheme::Scratch scratch;
  bool first = true;  // in the text, or after a special token
  if (add_special && impl_->add_bos) out.push_back(*impl_->role(Role::bos));
  const SpecialMatcher& matcher = parse_special ? impl_->specials : impl_->user_defined;
  for (const SpecialMatcher::Fragment& f : matcher.partition(text)) {
    if (f.token != SpecialMatcher::kText) {
      out.push_back(f.token);
      first = true;
      continue;
    }
    impl_->scheme.encode(text.substr(f.begin, f.end - f.begin), first, scratch, out);
    first = false;
  }
  if (add_special && impl_->add_eos) out.push_back(*impl_->role(Role::eos));
  return out;
}

std::string Tokenizer::doubled_specials(const std::vector<Token>& tokens) const {
  const std::size_t n = tokens.size();
  if (n < 2) return "";
  const auto twice = [&](Role role, Token a, Token b) {
    const std::optional<Token> token = impl_->role(role);
    return token && a == *token && b == *token;
  };
  if (impl_->add_bos && twice(Role::bos, tokens[0], tokens[1]))
    return "the prompt starts with two BOS tokens: its text has one, and the vocabulary adds one; both are "
           "kept, leave the first out of the text";
  if (impl_->add_eos && twice(Role::eos, tokens[n - 2], tokens[n - 1]))
    return "the prompt ends with two EOS tokens: its text has one, and the vocabulary adds one; both are "
           "kept, leave the last out of the text";
  return "";
}

void Tokenizer::append_piece(Token token, std::string& out, bool special) const {
  switch (impl_->type(token)) {
    case TokenType::control:
    case TokenType::unknown:
      if (special) out += impl_->scheme.token_text(token);
      return;
    case TokenType::user_defined:
      out += impl_->scheme.token_text(token);
      return;
    case TokenType::normal:
      impl_->scheme.append_normal(impl_->scheme.token_text(token), out);
      return;
    case TokenType::byte:
      impl_->scheme.append_byte(impl_->scheme.token_text(token), out);
      return;
    case TokenType::undefined:
    case TokenType::unused:
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
  const bool added =
      !tokens.empty() && impl_->scheme.adds_space() && piece(tokens[0], special).starts_with(' ');
  if (added) out.erase(0, 1);
  return out;
}

std::int32_t Tokenizer::size() const {
  return impl_->scheme.token_count();
}
TokenType Tokenizer::type(Token token) const {
  return impl_->type(token);
}
std::string_view Tokenizer::text(Token token) const {
  impl_->check(token);
  return impl_->scheme.token_text(token);
}
std::optional<Token> Tokenizer::find(std::string_view text) const {
  const Token id = impl_->scheme.find_token(text);
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
  return impl_->scheme.name();
}
bool Tokenizer::pre_from_file() const {
  return impl_->scheme.named_by_file();
}
std::string_view Tokenizer::chat_template() const {
  return impl_->chat_template;
}

}  // namespace bitnet
