#include "engine/kernels/huge_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

namespace bitnet {
namespace {

long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

TEST(HugePages, MemoryIsAlignedAndWritable) {
  const HugePages memory = allocate_huge_pages(3 << 20);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % (1 << 21), 0);
  memory[0] = memory[(3 << 20) - 1] = std::byte{1};
}

/// A file of many pages in the page cache, mapped.
class Mapped {
 public:
  static constexpr std::size_t kBytes = 16 << 20;
  Mapped() : file_(std::tmpfile()) {
    const std::vector<char> text(kBytes, 'x');
    EXPECT_EQ(std::fwrite(text.data(), 1, kBytes, file_), kBytes);
    std::fflush(file_);
    memory_ = ::mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, ::fileno(file_), 0);
    EXPECT_NE(memory_, MAP_FAILED);
  }
  ~Mapped() {
    ::munmap(memory_, kBytes);
    std::fclose(file_);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  const char* text() const { return static_cast<const char*>(memory_); }

 private:
  std::FILE* file_;
  void* memory_;
};

/// Page faults of reading all of it.
long faults_of_reading(const char* text) {
  const long before = page_faults();
  volatile char read = 0;
  for (std::size_t at = 0; at < Mapped::kBytes; at += 4096) read = text[at];
  (void)read;
  return page_faults() - before;
}

/// A system that does it objects to memory that is not mapped; one that knows nothing of it (or an emulator
/// that takes all advice in silence) does not.
bool can_populate() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;  // it can, but the sanitizer's own memory faults at every read
#elif defined(MADV_POPULATE_READ)
  return ::madvise(nullptr, 4096, MADV_POPULATE_READ) != 0 && errno == ENOMEM;
#else
  return false;
#endif
}

TEST(HugePages, PagesOfAPopulatedFileNeedNoFaults) {
  const Mapped file;
  if (!can_populate()) GTEST_SKIP() << "this system cannot populate a mapping";
  const Mapped fresh;
  const long without = faults_of_reading(fresh.text());
  populate(file.text() + 5, Mapped::kBytes - 5);  // from within a page on
  EXPECT_LE(faults_of_reading(file.text()), without / 4);
}

TEST(HugePages, WhatCannotBePopulatedIsLeft) {
  populate(nullptr, 1 << 20);
  populate(nullptr, 0);
}

}  // namespace
}  // namespace bitnet
