#pragma once
// Tokens with a role: which keys and which texts give them one. Source: reference-semantics 7.1 and 7.5.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitnet {

enum class Role : std::uint8_t {
  bos,
  eos,
  eot,
  eom,
  unknown,
  separator,
  padding,
  cls,
  mask,
  fim_prefix,
  fim_suffix,
  fim_middle,
  fim_padding,
  fim_repository,
  fim_separator
};
inline constexpr std::size_t kRoles = 15;

/// A key "tokenizer.ggml.<key>" and the role that it gives.
struct RoleKey {
  std::string_view key;
  Role role;
};
/// In the order in which a file's keys are applied: of two keys for one role the later wins.
std::span<const RoleKey> role_keys();

/// The texts that give a role which no key gave, in the order of their preference. (bitnet.cpp takes the
/// first that its hash map happens to hold; where a vocabulary has several for one role, its choice depends
/// on its build.)
std::span<const std::string_view> role_texts(Role role);

/// The texts of tokens that end a generation whatever their role.
std::span<const std::string_view> end_of_generation_texts();

}  // namespace bitnet
