#include "engine/tokenizer/bpe.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "engine/tokenizer/byte_alphabet.h"

namespace bitnet {
namespace {

constexpr std::uint32_t kNone = 0xFFFFFFFF;

}  // namespace

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
  s.symbol.resize(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    s.symbol[i] = byte_symbol_[static_cast<std::uint8_t>(bytes[i])];
  if (bytes.size() > 1) merge(s);
  for (const std::uint32_t symbol : s.symbol) {
    if (symbol != kNone) emit(symbol, out);
  }
}

void Bpe::merge(Scratch& s) const {
  // A linked list of symbols; the merged symbol lives on in its left half, the right half becomes kNone. The
  // queue holds rank << 32 | position; an entry is stale when the pair that starts there has another rank by
  // now (a rank belongs to one pair of texts, and texts only grow, so no pair comes back).
  const auto n = static_cast<std::uint32_t>(s.symbol.size());
  s.previous.resize(n);
  s.next.resize(n);
  s.rank.resize(n);
  s.queue.clear();
  const auto rank_of = [&](std::uint32_t i) {
    const std::uint32_t j = s.next[i];
    if (j == kNone) return kNone;
    const std::uint64_t found = merges_.find(s.symbol[i], s.symbol[j]);
    return found == PairMap::kNone ? kNone : static_cast<std::uint32_t>(found >> 32);
  };
  for (std::uint32_t i = 0; i < n; ++i) {
    s.previous[i] = i == 0 ? kNone : i - 1;
    s.next[i] = i + 1 == n ? kNone : i + 1;
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    s.rank[i] = rank_of(i);
    if (s.rank[i] != kNone) s.queue.push_back(std::uint64_t{s.rank[i]} << 32 | i);
  }
  constexpr std::greater<> kLowestFirst;
  std::make_heap(s.queue.begin(), s.queue.end(), kLowestFirst);
  const auto update = [&](std::uint32_t i) {
    s.rank[i] = rank_of(i);
    if (s.rank[i] == kNone) return;
    s.queue.push_back(std::uint64_t{s.rank[i]} << 32 | i);
    std::push_heap(s.queue.begin(), s.queue.end(), kLowestFirst);
  };
  while (!s.queue.empty()) {
    std::pop_heap(s.queue.begin(), s.queue.end(), kLowestFirst);
    const std::uint64_t entry = s.queue.back();
    s.queue.pop_back();
    const auto left = static_cast<std::uint32_t>(entry);
    if (s.rank[left] != static_cast<std::uint32_t>(entry >> 32)) continue;
    const std::uint32_t right = s.next[left];
    s.symbol[left] = static_cast<std::uint32_t>(merges_.find(s.symbol[left], s.symbol[right]));
    s.symbol[right] = kNone;
    s.rank[right] = kNone;
    s.next[left] = s.next[right];
    if (s.next[left] != kNone) s.previous[s.next[left]] = left;
    update(left);
    if (s.previous[left] != kNone) update(s.previous[left]);
  }
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
