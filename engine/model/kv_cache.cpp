#include "engine/model/kv_cache.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "engine/error.h"

namespace bitnet {

KvCache::KvCache(const Config& config, std::int64_t n_ctx, int sequences)
    : width_(config.kv_width()),
      n_layer_(config.n_layer),
      max_pages_((n_ctx + kPageCells - 1) / kPageCells),
      capacity_(n_ctx),
      page_bytes_(static_cast<std::size_t>(n_layer_ * 2 * kPageCells * width_) * sizeof(f16)) {
  const std::int64_t pages = max_pages_ * sequences;
  memory_bytes_ = page_bytes_ * static_cast<std::size_t>(pages);
  void* memory = ::mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw SystemError("KV cache: cannot reserve " + std::to_string(memory_bytes_ >> 20) + " MiB for " +
                      std::to_string(sequences) + " sequences of " + std::to_string(n_ctx) +
                      " tokens: " + std::strerror(errno) + "; ask for a smaller context or fewer sequences");
  memory_ = static_cast<std::byte*>(memory);
#ifdef MADV_HUGEPAGE
  // The values of one cell lie in as many lines as there are channels: in small pages that is a fault and an
  // address to look up for every 32 of them.
  (void)::madvise(memory, memory_bytes_, MADV_HUGEPAGE);  // a wish
#endif
  free_.reserve(static_cast<std::size_t>(pages));
  for (std::int64_t i = pages; i-- > 0;) free_.push_back(static_cast<std::int32_t>(i));
  sequences_.resize(static_cast<std::size_t>(sequences));
  for (Sequence& s : sequences_) {
    s.pages.reserve(static_cast<std::size_t>(max_pages_));
    s.keys.resize(static_cast<std::size_t>(n_layer_ * max_pages_));
    s.values.resize(static_cast<std::size_t>(n_layer_ * max_pages_));
  }
}

KvCache::~KvCache() {
  if (memory_) ::munmap(memory_, memory_bytes_);
}

f16* KvCache::page_data(std::int32_t page) const {
  return reinterpret_cast<f16*>(memory_ + static_cast<std::size_t>(page) * page_bytes_);
}

void KvCache::extend(int sequence, std::int64_t tokens) {
  Sequence& s = at(sequence);
  if (s.length + tokens > capacity_)
    throw InputError("context full: " + std::to_string(s.length) + " tokens and " + std::to_string(tokens) +
                     " more exceed the context of " + std::to_string(capacity_) +
                     "; shorten the prompt or ask for a larger context");
  s.length += tokens;
  while (static_cast<std::int64_t>(s.pages.size()) * kPageCells < s.length) {
    const std::int32_t page = free_.back();
    free_.pop_back();
    const auto index = static_cast<std::int64_t>(s.pages.size());
    s.pages.push_back(page);
    f16* data = page_data(page);
    for (std::int64_t layer = 0; layer < n_layer_; ++layer) {
      const auto slot = static_cast<std::size_t>(layer * max_pages_ + index);
      s.keys[slot] = data + layer * 2 * kPageCells * width_;
      s.values[slot] = s.keys[slot] + kPageCells * width_;
    }
  }
}

void KvCache::truncate(int sequence, std::int64_t length) {
  Sequence& s = at(sequence);
  if (length >= s.length) return;
  s.length = length;
  const auto needed = static_cast<std::size_t>((length + kPageCells - 1) / kPageCells);
  while (s.pages.size() > needed) {
    free_.push_back(s.pages.back());
    s.pages.pop_back();
  }
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

}  // namespace bitnet
