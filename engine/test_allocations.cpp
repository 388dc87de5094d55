#include "engine/test_allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<long> g_count{0};
std::atomic<std::size_t> g_bytes{0};
std::atomic<std::size_t> g_largest{0};

// Not inlined: GCC 12 would then warn of overflows in std::vector that are not there.
[[gnu::noinline]] void* counted(std::size_t bytes, std::size_t alignment = 0) noexcept {
  ++g_count;
  g_bytes += bytes;
  std::size_t largest = g_largest;
  while (bytes > largest && !g_largest.compare_exchange_weak(largest, bytes)) {
  }
  if (alignment == 0) return std::malloc(bytes > 0 ? bytes : 1);
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void* counted_or_throw(std::size_t bytes, std::size_t alignment = 0) {
  if (void* p = counted(bytes, alignment)) return p;
  throw std::bad_alloc();
}

}  // namespace

namespace bitnet {

TestAllocations test_allocations() {
  return {g_count, g_bytes, g_largest};
}

void forget_test_allocations() {
  g_count = 0;
  g_bytes = 0;
  g_largest = 0;
}

}  // namespace bitnet

// All forms, since a sanitizer brings its own for those that are left out.
void* operator new(std::size_t n) {
  return counted_or_throw(n);
}
void* operator new[](std::size_t n) {
  return counted_or_throw(n);
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  return counted(n);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
  return counted(n);
}
void* operator new(std::size_t n, std::align_val_t alignment) {
  return counted_or_throw(n, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t n, std::align_val_t alignment) {
  return counted_or_throw(n, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
