#pragma once
// Pages of one size out of address space that is reserved at the start: taken, shared and dropped without
// allocation, and real only while they are needed.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitnet {

/// Memory comes from the system and goes back to it in blocks (2 MiB, the system's huge page), so that no
/// huge page is ever split; pages lie across blocks as they come. A block without a page in use is idle.
class PagePool {
 public:
  /// Room for `pages` pages. Idle blocks stay real up to `idle_bytes` in all, for those who come next; what
  /// is more goes back in trim(). Throws SystemError when the address space cannot be had.
  PagePool(std::size_t page_bytes, std::int64_t pages, std::size_t idle_bytes);
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  std::int64_t pages() const { return static_cast<std::int64_t>(holders_.size()); }
  std::int64_t free_pages() const { return static_cast<std::int64_t>(free_.size()); }
  std::size_t page_bytes() const { return page_bytes_; }

  /// A page with one holder, the lowest that is free; there must be one. It may hold anything.
  std::int32_t take();
  /// One holder more, one less: a page without holders is free.
  void hold(std::int32_t page) { ++holders_[static_cast<std::size_t>(page)]; }
  void drop(std::int32_t page);
  bool shared(std::int32_t page) const { return holders_[static_cast<std::size_t>(page)] > 1; }
  std::byte* data(std::int32_t page) const { return memory_ + static_cast<std::size_t>(page) * page_bytes_; }

  /// Gives idle blocks beyond idle_bytes back to the system, the highest first.
  void trim();
  /// Memory that is real, as the system counts it.
  std::int64_t real_bytes() const;

 private:
  struct Block {
    std::int32_t used = 0;  // pages in use that lie in it, in part or whole
    bool real = false;
  };
  /// f(block) for each that the page lies in.
  template <class F>
  void for_each_block(std::int32_t page, F&& f);

  std::size_t page_bytes_;
  std::size_t idle_blocks_;  // that may stay
  std::size_t idle_ = 0;     // that are real
  void* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  std::byte* memory_ = nullptr;     // from the start of a block on
  std::vector<std::int32_t> free_;  // a heap, the lowest first
  std::vector<std::int32_t> holders_;
  std::vector<Block> blocks_;
};

}  // namespace bitnet
