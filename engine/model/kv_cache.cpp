#include "engine/model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "engine/error.h"

namespace bitnet {
namespace {

std::int64_t pages_for(std::int64_t tokens) {
  return (tokens + kPageCells - 1) / kPageCells;
}

std::int64_t pool_pages(const KvCacheOptions& o) {
  return o.pool_tokens > 0 ? pages_for(o.pool_tokens) : pages_for(o.n_ctx) * o.sequences;
}

}  // namespace

KvCache::KvCache(const Config& config, const KvCacheOptions& options)
    : width_(config.kv_width()),
      n_layer_(config.n_layer),
      capacity_(options.n_ctx),
      max_pages_(pages_for(options.n_ctx)),
      pool_(static_cast<std::size_t>(n_layer_ * 2 * kPageCells * width_) * sizeof(f16), pool_pages(options),
            options.idle_bytes) {
  for (int i = 0; i < options.sequences; ++i) acquire();
}

int KvCache::acquire() {
  const auto closed = std::ranges::find_if(sequences_, [](const Sequence& s) { return !s.open; });
  const auto id = static_cast<int>(closed - sequences_.begin());
  if (closed == sequences_.end()) {
    Sequence& s = sequences_.emplace_back();
    s.tokens.reserve(static_cast<std::size_t>(capacity_));
    s.pages.reserve(static_cast<std::size_t>(max_pages_));
    s.keys.resize(static_cast<std::size_t>(n_layer_ * max_pages_));
    s.values.resize(static_cast<std::size_t>(n_layer_ * max_pages_));
  }
  at(id).open = true;
  return id;
}

void KvCache::release(int sequence) {
  at(sequence).tokens.clear();
  unreserve(sequence);
  at(sequence).open = false;
}

int KvCache::fork(int sequence, std::int64_t length) {
  const int made = acquire();
  const Sequence& from = at(sequence);
  Sequence& to = at(made);
  to.tokens.assign(from.tokens.begin(), from.tokens.begin() + length);
  for (std::size_t i = 0; i < static_cast<std::size_t>(pages_for(length)); ++i) {
    pool_.hold(from.pages[i]);
    to.pages.push_back(0);
    place(to, i, from.pages[i]);
  }
  return made;
}

void KvCache::place(Sequence& s, std::size_t index, std::int32_t page) {
  s.pages[index] = page;
  auto* data = reinterpret_cast<f16*>(pool_.data(page));
  for (std::int64_t layer = 0; layer < n_layer_; ++layer) {
    const auto slot = static_cast<std::size_t>(layer * max_pages_) + index;
    s.keys[slot] = data + layer * 2 * kPageCells * width_;
    s.values[slot] = s.keys[slot] + kPageCells * width_;
  }
}

std::int32_t KvCache::take_page() {
  if (pool_.free_pages() == 0)
    throw InputError("KV cache: all " + std::to_string(pool_.pages()) + " pages of " +
                     std::to_string(kPageCells) +
                     " tokens are in use; release sequences or ask for a larger pool");
  return pool_.take();
}

void KvCache::reserve(int sequence, std::int64_t tokens) {
  Sequence& s = at(sequence);
  const std::int64_t length = std::ssize(s.tokens);
  if (tokens > capacity_ - length)
    throw InputError("context full: " + std::to_string(length) + " tokens and " + std::to_string(tokens) +
                     " more exceed the context of " + std::to_string(capacity_) +
                     "; shorten the prompt or ask for fewer tokens");
  if (tokens <= 0) return;
  try {
    // The page that is written next may be another sequence's too.
    if (const auto next = static_cast<std::size_t>(length / kPageCells);
        next < s.pages.size() && pool_.shared(s.pages[next])) {
      const std::int32_t shared = s.pages[next];
      const std::int32_t own = take_page();
      std::memcpy(pool_.data(own), pool_.data(shared), pool_.page_bytes());
      pool_.drop(shared);
      place(s, next, own);
    }
    while (std::ssize(s.pages) < pages_for(length + tokens)) {
      const std::int32_t page = take_page();
      s.pages.push_back(page);
      place(s, s.pages.size() - 1, page);
    }
  } catch (const InputError&) {
    unreserve(sequence);
    throw;
  }
}

void KvCache::unreserve(int sequence) {
  Sequence& s = at(sequence);
  const auto needed = static_cast<std::size_t>(pages_for(std::ssize(s.tokens)));
  if (s.pages.size() <= needed) return;
  while (s.pages.size() > needed) {
    pool_.drop(s.pages.back());
    s.pages.pop_back();
  }
  pool_.trim();
}

void KvCache::append(int sequence, std::int32_t token) {
  reserve(sequence, 1);
  at(sequence).tokens.push_back(token);
}

void KvCache::truncate(int sequence, std::int64_t length) {
  Sequence& s = at(sequence);
  if (length >= std::ssize(s.tokens)) return;
  s.tokens.resize(static_cast<std::size_t>(std::max<std::int64_t>(length, 0)));
  unreserve(sequence);
}

const f16* const* KvCache::key_pages(int sequence, std::int64_t layer) const {
  return at(sequence).keys.data() + layer * max_pages_;
}

const f16* const* KvCache::value_pages(int sequence, std::int64_t layer) const {
  return at(sequence).values.data() + layer * max_pages_;
}

void KvCache::store(int sequence, std::int64_t layer, std::int64_t cell, const f16* key, const f16* value) {
  Sequence& s = at(sequence);
  const auto slot = static_cast<std::size_t>(layer * max_pages_ + cell / kPageCells);
  const std::int64_t in_page = cell % kPageCells;
  std::memcpy(s.keys[slot] + in_page * width_, key, static_cast<std::size_t>(width_) * sizeof(f16));
  f16* values = s.values[slot] + in_page;
  for (std::int64_t d = 0; d < width_; ++d) values[d * kPageCells] = value[d];
}

template <class F>
void KvCache::for_each_piece(int sequence, F&& f) const {
  const Sequence& s = at(sequence);
  const std::int64_t length = std::ssize(s.tokens);
  const auto bytes = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(f16); };
  for (std::int64_t layer = 0; layer < n_layer_; ++layer)
    for (std::int64_t first = 0; first < length; first += kPageCells) {
      const auto slot = static_cast<std::size_t>(layer * max_pages_ + first / kPageCells);
      const std::int64_t cells = std::min(kPageCells, length - first);
      const std::int64_t keys = 2 * layer * length * width_;
      const std::int64_t values = keys + length * width_;
      f(bytes(keys + first * width_), s.keys[slot], bytes(cells * width_));
      for (std::int64_t d = 0; d < width_; ++d)
        f(bytes(values + d * length + first), s.values[slot] + d * kPageCells, bytes(cells));
    }
}

void KvCache::copy_cells(int sequence, std::span<std::byte> to) const {
  for_each_piece(sequence, [&](std::size_t at, const f16* cells, std::size_t bytes) {
    std::memcpy(to.data() + at, cells, bytes);
  });
}

int KvCache::insert(std::span<const std::int32_t> tokens, std::span<const std::byte> cells) {
  const int made = acquire();
  try {
    reserve(made, std::ssize(tokens));
  } catch (const InputError&) {
    release(made);
    throw;
  }
  at(made).tokens.assign(tokens.begin(), tokens.end());
  for_each_piece(made, [&](std::size_t from, f16* to, std::size_t bytes) {
    std::memcpy(to, cells.data() + from, bytes);
  });
  return made;
}

}  // namespace bitnet
