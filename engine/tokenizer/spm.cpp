#include "engine/tokenizer/spm.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "engine/error.h"

namespace bitnet {
namespace {

constexpr std::string_view kSpace = "\u2581";

/// How many bytes the character that starts with `first` should have. It is not checked that it has them: a
/// stray continuation byte is a character, and a sequence cut short takes in what follows it.
std::size_t character_bytes(char first) {
  const auto b = static_cast<std::uint8_t>(first);
  return b < 0xC0 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string byte_name(std::uint32_t byte) {
  constexpr char kHex[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
}

}  // namespace

Spm::Spm(TextTable tokens, std::span<const float> scores) : tokens_(std::move(tokens)) {
  std::vector<float> distinct(scores.begin(), scores.end());
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  rank_.reserve(scores.size());
  for (const float score : scores) {
    const auto at = std::lower_bound(distinct.begin(), distinct.end(), score, std::greater<>());
    rank_.push_back(static_cast<std::uint32_t>(at - distinct.begin()));
  }
  for (std::uint32_t id = 0; id < tokens_.size(); ++id)
    longest_token_ = std::max(longest_token_, tokens_.text(id).size());
  for (std::uint32_t b = 0; b < 256; ++b) {
    const char c = static_cast<char>(static_cast<std::uint8_t>(b));
    byte_token_[b] = find_token(byte_name(b));
    if (byte_token_[b] < 0) byte_token_[b] = find_token(std::string_view(&c, 1));
  }
}

void Spm::encode(std::string_view text, bool space_before, Scratch& s, std::vector<std::int32_t>& out) const {
  s.text.clear();
  if (space_before) s.text += kSpace;
  for (const char c : text) {
    if (c == ' ') {
      s.text += kSpace;
    } else {
      s.text += c;
    }
  }
  const std::string_view all = s.text;
  MergeRow& row = s.row;
  s.begin.clear();
  row.symbol.clear();
  for (std::size_t pos = 0; pos < all.size();) {
    const std::size_t n = std::min(character_bytes(all[pos]), all.size() - pos);
    s.begin.push_back(pos);
    row.symbol.push_back(tokens_.find(all.substr(pos, n)));
    pos += n;
  }
  if (row.symbol.empty()) return;

  const auto end_of = [&](std::uint32_t i) {
    return row.next[i] == MergeRow::kNone ? all.size() : s.begin[row.next[i]];
  };
  row.merge([&](std::uint32_t i, std::uint32_t j) {
    const std::size_t size = end_of(j) - s.begin[i];
    if (size > longest_token_) return PairMap::kNone;
    const std::uint32_t token = tokens_.find(all.substr(s.begin[i], size));
    return token == TextTable::kNone ? PairMap::kNone : std::uint64_t{rank_[token]} << 32 | token;
  });
  for (std::uint32_t i = 0; i != MergeRow::kNone; i = row.next[i]) {
    if (row.symbol[i] != TextTable::kNone) {
      out.push_back(static_cast<std::int32_t>(row.symbol[i]));
      continue;
    }
    for (const char c : all.substr(s.begin[i], end_of(i) - s.begin[i])) {
      const auto byte = static_cast<std::uint8_t>(c);
      if (byte_token_[byte] < 0)
        throw InputError("the vocabulary has no token for the byte " + byte_name(byte) +
                         "; leave out the character that holds it");
      out.push_back(byte_token_[byte]);
    }
  }
}

void Spm::append_text(std::string_view token, std::string& out) {
  for (std::size_t pos = 0; pos < token.size();) {
    const std::size_t space = std::min(token.find(kSpace, pos), token.size());
    out += token.substr(pos, space - pos);
    if (space < token.size()) out += ' ';
    pos = space + kSpace.size();
  }
}

int Spm::byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = hex_digit(token[3]);
  const int low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace bitnet
