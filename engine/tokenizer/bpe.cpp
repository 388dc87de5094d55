#include "engine/tokenizer/bpe.h"

#include <algorithm>
#include <utility>

#include "engine/tokenizer/byte_alphabet.h"

namespace bitnet {
Bpe::Bpe(TextTable tokens, std::span<const std::string_view> merges, bool ignore_merges)
    : symbols_(std::move(tokens)), tokens_(symbols_.size()), ignore_merges_(ignore_merges) {
  for (std::uint32_t i = 0; i < tokens_; ++i)
    longest_token_ = std::max(longest_token_, symbols_.text(i).size());
  for (std::uint32_t b = 0; b < 256; ++b) {
    const char c = static_cast<char>(static_cast<std::uint8_t>(b));
    byte_text_[b] = find_token(std::string_view(&c, 1));
    byte_symbol_[b] = symbols_.insert(byte_symbol(static_cast<std::uint8_t>(b)));
  }
  add_merges(merges);
}

void Bpe::add_merges(std::span<const std::string_view> merges) {
  // In blocks, each look-up announced before it is made: waiting for memory is most of the time of loading.
  struct Rule {
    std::uint32_t rank;
    std::string_view left, right;
    std::uint32_t left_hash, right_hash;
    std::uint32_t a, b, merged;
  };
  constexpr std::size_t kBlock = 64;
  merges_.reserve(merges.size());
  std::vector<Rule> block;
  std::string merged;
  std::uint32_t last = 0;  // what the rule before made: often the same text
  for (std::size_t begin = 0; begin < merges.size(); begin += kBlock) {
    block.clear();
    for (std::size_t i = begin; i < std::min(begin + kBlock, merges.size()); ++i) {
      const std::size_t space = merges[i].find(' ', 1);
      if (space == std::string_view::npos) continue;
      Rule& r = block.emplace_back();
      r.rank = static_cast<std::uint32_t>(i);
      r.left = merges[i].substr(0, space);
      r.right = merges[i].substr(space + 1);
      symbols_.prefetch(r.left_hash = TextTable::hash(r.left));
      symbols_.prefetch(r.right_hash = TextTable::hash(r.right));
    }
    for (Rule& r : block) {
      r.a = symbols_.insert(r.left, r.left_hash);
      r.b = symbols_.insert(r.right, r.right_hash);
      merged.assign(r.left).append(r.right);
      if (symbols_.text(last) != merged) last = symbols_.insert(merged);
      r.merged = last;
      merges_.prefetch(r.a, r.b);
    }
    for (const Rule& r : block) merges_.insert(r.a, r.b, std::uint64_t{r.rank} << 32 | r.merged);
  }
}

std::int32_t Bpe::find_token(std::string_view text) const {
  const std::uint32_t symbol = symbols_.find(text);
  return symbol < tokens_ ? static_cast<std::int32_t>(symbol) : -1;
}

void Bpe::encode_piece(std::string_view bytes, Scratch& s, std::vector<std::int32_t>& out) const {
  if (ignore_merges_ && bytes.size() <= longest_token_) {
    s.symbols.clear();
    append_byte_symbols(bytes, s.symbols);
    if (const std::int32_t token = find_token(s.symbols); token >= 0) {
      out.push_back(token);
      return;
    }
  }
  MergeRow& row = s.row;
  row.symbol.resize(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    row.symbol[i] = byte_symbol_[static_cast<std::uint8_t>(bytes[i])];
  if (bytes.empty()) return;
  row.merge([&](std::uint32_t i, std::uint32_t j) { return merges_.find(row.symbol[i], row.symbol[j]); });
  for (std::uint32_t i = 0; i != MergeRow::kNone; i = row.next[i]) emit(row.symbol[i], out);
}

void Bpe::emit(std::uint32_t symbol, std::vector<std::int32_t>& out) const {
  if (symbol < tokens_) {
    out.push_back(static_cast<std::int32_t>(symbol));
    return;
  }
  for (const char c : symbols_.text(symbol)) {
    if (const std::int32_t token = byte_text_[static_cast<std::uint8_t>(c)]; token >= 0) out.push_back(token);
  }
}

}  // namespace bitnet
