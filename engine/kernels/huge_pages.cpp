#include "engine/kernels/huge_pages.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <new>

namespace bitnet {

HugePages allocate_huge_pages(std::int64_t bytes) {
  constexpr std::size_t kHuge = std::size_t{1} << 21;
  const std::size_t size = std::max((static_cast<std::size_t>(bytes) + kHuge - 1) / kHuge * kHuge, kHuge);
  void* p = std::aligned_alloc(kHuge, size);
  if (p == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  (void)::madvise(p, size, MADV_HUGEPAGE);  // a wish
#endif
  return HugePages(static_cast<std::byte*>(p));
}

void populate(const void* p, std::int64_t bytes) {
#if defined(MADV_POPULATE_READ)
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(p) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(bytes);
  (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);
#else
  (void)p, (void)bytes;
#endif
}

}  // namespace bitnet
