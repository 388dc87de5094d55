#include "engine/kernels/huge_pages.h"

#if defined(__linux__)
#include <sys/mman.h>
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

}  // namespace bitnet
