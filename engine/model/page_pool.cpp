#include "engine/model/page_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>

#include "engine/error.h"

namespace bitnet {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 21;

}  // namespace

PagePool::PagePool(std::size_t page_bytes, std::int64_t pages, std::size_t idle_bytes)
    : page_bytes_(page_bytes), idle_blocks_(idle_bytes / kBlock) {
  const std::size_t bytes = page_bytes * static_cast<std::size_t>(pages);
  const std::size_t blocks = (bytes + kBlock - 1) / kBlock;
  mapping_bytes_ = (blocks + 1) * kBlock;  // one more, to begin at a multiple
  mapping_ = ::mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED)
    throw SystemError("KV cache: cannot reserve " + std::to_string(bytes >> 20) + " MiB for " +
                      std::to_string(pages) + " pages: " + std::strerror(errno) +
                      "; ask for a smaller context or fewer sequences");
  const auto begin = reinterpret_cast<std::uintptr_t>(mapping_);
  memory_ = static_cast<std::byte*>(mapping_) + (begin + kBlock - 1) / kBlock * kBlock - begin;
#ifdef MADV_HUGEPAGE
  // The values of one cell lie in as many lines as there are channels: in small pages that is a fault and an
  // address to look up for every 32 of them.
  (void)::madvise(memory_, blocks * kBlock, MADV_HUGEPAGE);  // a wish
#endif
  holders_.resize(static_cast<std::size_t>(pages));
  blocks_.resize(blocks);
  free_.reserve(static_cast<std::size_t>(pages));
  for (std::int64_t i = 0; i < pages; ++i) free_.push_back(static_cast<std::int32_t>(i));  // a heap as it is
}

PagePool::~PagePool() {
  ::munmap(mapping_, mapping_bytes_);
}

template <class F>
void PagePool::for_each_block(std::int32_t page, F&& f) {
  const std::size_t begin = static_cast<std::size_t>(page) * page_bytes_;
  for (std::size_t b = begin / kBlock; b <= (begin + page_bytes_ - 1) / kBlock; ++b) f(blocks_[b]);
}

std::int32_t PagePool::take() {
  std::ranges::pop_heap(free_, std::greater<>());
  const std::int32_t page = free_.back();
  free_.pop_back();
  holders_[static_cast<std::size_t>(page)] = 1;
  for_each_block(page, [&](Block& block) {
    if (block.used++ == 0 && block.real) --idle_;
    block.real = true;
  });
  return page;
}

void PagePool::drop(std::int32_t page) {
  if (--holders_[static_cast<std::size_t>(page)] > 0) return;
  for_each_block(page, [&](Block& block) {
    if (--block.used == 0) ++idle_;
  });
  free_.push_back(page);
  std::ranges::push_heap(free_, std::greater<>());
}

void PagePool::trim() {
  for (std::size_t b = blocks_.size(); b-- > 0 && idle_ > idle_blocks_;) {
    if (!blocks_[b].real || blocks_[b].used > 0) continue;
    // Refused (locked memory), it stays real, and is as good as before.
    if (::madvise(memory_ + b * kBlock, kBlock, MADV_DONTNEED) != 0) return;
    blocks_[b].real = false;
    --idle_;
  }
}

std::int64_t PagePool::real_bytes() const {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> states(blocks_.size() * kBlock / page);
  if (states.empty()) return 0;
  if (::mincore(memory_, blocks_.size() * kBlock, states.data()) != 0)
    throw SystemError(std::string("KV cache: mincore: ") + std::strerror(errno));
  return static_cast<std::int64_t>(page) * std::ranges::count_if(states, [](auto s) { return s & 1; });
}

}  // namespace bitnet
