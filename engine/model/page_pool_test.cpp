#include "engine/model/page_pool.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/error.h"

namespace bitnet {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

void fill(PagePool& pool, std::int32_t page) {
  std::memset(pool.data(page), 1, pool.page_bytes());
}

TEST(PagePool, GivesTheLowestFreePageAndFreesItWithItsLastHolder) {
  PagePool pool(4096, 3, 0);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.take(), 1);
  EXPECT_EQ(pool.take(), 2);
  EXPECT_EQ(pool.free_pages(), 0);
  pool.hold(0);
  EXPECT_TRUE(pool.shared(0));
  EXPECT_FALSE(pool.shared(1));
  pool.drop(2);
  pool.drop(0);
  EXPECT_EQ(pool.free_pages(), 1);
  pool.drop(0);
  EXPECT_EQ(pool.free_pages(), 2);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.take(), 2);
}

TEST(PagePool, MemoryIsRealOnlyWhileItIsNeeded) {
  // Pages that do not fit into blocks of 2 MiB: neighbours share one.
  PagePool pool(3 * kMiB, 8, 0);
  EXPECT_EQ(pool.real_bytes(), 0);
  for (int i = 0; i < 8; ++i) fill(pool, pool.take());
  EXPECT_EQ(pool.real_bytes(), 24 * kMiB);
  for (int i = 0; i < 8; i += 2) pool.drop(i);
  pool.trim();
  // Of each dropped page the block that no neighbour has.
  EXPECT_EQ(pool.real_bytes(), 24 * kMiB - 4 * 2 * kMiB);
  for (int i = 1; i < 8; i += 2) EXPECT_EQ(pool.data(i)[3 * kMiB - 1], std::byte{1}) << i;
  for (int i = 1; i < 8; i += 2) pool.drop(i);
  pool.trim();
  EXPECT_EQ(pool.real_bytes(), 0);
  fill(pool, pool.take());
  EXPECT_GE(pool.real_bytes(), 3 * kMiB);
}

TEST(PagePool, SomeIdleMemoryStaysTheLowest) {
  PagePool pool(2 * kMiB, 8, 4 * kMiB);
  for (int i = 0; i < 8; ++i) fill(pool, pool.take());
  for (int i = 0; i < 8; ++i) {
    pool.drop(i);
    pool.trim();
  }
  EXPECT_EQ(pool.real_bytes(), 4 * kMiB);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.real_bytes(), 4 * kMiB);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(pool.data(i)[0], std::byte{i < 2}) << i;
}

TEST(PagePool, RefusesWhatNoAddressSpaceHolds) {
  EXPECT_THROW(PagePool(std::size_t{1} << 40, 1 << 10, 0), SystemError);
}

}  // namespace
}  // namespace bitnet
