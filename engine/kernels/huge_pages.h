#pragma once
// Memory for what is streamed by the hundred megabytes.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace bitnet {

struct FreeHugePages {
  void operator()(std::byte* p) const { std::free(p); }
};
using HugePages = std::unique_ptr<std::byte[], FreeHugePages>;

/// Pages of 2 MiB where the system has them: a quarter of a gigabyte in small ones costs as much to fault in
/// as to fill, and streams more slowly. Not initialized. Throws std::bad_alloc.
HugePages allocate_huge_pages(std::int64_t bytes);

/// Enters the pages of a mapped file into the process's tables, reading what is not in memory yet: a wish,
/// which at once costs less than a fault for every 64 KiB at their first use.
void populate(const void* p, std::int64_t bytes);

}  // namespace bitnet
