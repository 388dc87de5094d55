// A generated token allocates nothing.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/model/context.h"
#include "engine/model/test_model.h"

namespace {

std::atomic<std::int64_t> g_allocations = 0;

void* counted(std::size_t bytes) {
  ++g_allocations;
  if (void* p = std::malloc(bytes ? bytes : 1)) return p;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) {
  return counted(bytes);
}
void* operator new[](std::size_t bytes) {
  return counted(bytes);
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

namespace bitnet {
namespace {

TEST(Allocation, TheCounterCounts) {
  const std::int64_t before = g_allocations;
  const std::vector<int> v(10);
  EXPECT_GT(g_allocations, before);
}

TEST(Allocation, AGeneratedTokenAllocatesNothing) {
  const Model model = test::make_model(test::tiny_shape());
  for (const int threads : {1, 2}) {
    Context context(model, {.threads = threads});
    std::vector<BatchRow> rows(10, BatchRow{.token = 3});
    context.forward(rows);
    rows.resize(1);
    context.forward(rows);  // the first token of decoding may still grow a buffer
    const std::int64_t before = g_allocations;
    // Far enough to need new pages of the KV cache and new rows of the RoPE table.
    for (int i = 0; i < 200; ++i) {
      const auto logits = context.forward(rows);
      rows[0].token = static_cast<std::int32_t>(
          context.kernels().argmax(logits.data(), static_cast<std::int64_t>(logits.size())));
    }
    EXPECT_EQ(g_allocations - before, 0) << threads << " threads";
  }
}

}  // namespace
}  // namespace bitnet
