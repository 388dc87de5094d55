#include "reference/llama_adapter/chunks.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace crossval::llama_adapter {
namespace {

TEST(Chunks, CoverEveryTokenAndNeverLeaveASingleOneOfSeveral) {
  for (std::int64_t limit = 3; limit <= 40; ++limit)
    for (std::int64_t n = 1; n <= 300; ++n) {
      const auto lengths = chunks(n, limit);
      ASSERT_EQ(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}), n);
      ASSERT_LE(*std::max_element(lengths.begin(), lengths.end()), limit);
      ASSERT_GE(*std::min_element(lengths.begin(), lengths.end()), std::min<std::int64_t>(n, 2))
          << n << " tokens, " << limit << " at once";
    }
  EXPECT_EQ(chunks(5, 512), std::vector<std::int64_t>{5});
  EXPECT_EQ(chunks(513, 512), (std::vector<std::int64_t>{257, 256}));
  EXPECT_TRUE(chunks(0, 512).empty());
}

class ChunkLimit : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(getrlimit(RLIMIT_STACK, &before_), 0);
    unsetenv("OMP_STACKSIZE");
  }
  void TearDown() override {
    setrlimit(RLIMIT_STACK, &before_);
    unsetenv("OMP_STACKSIZE");
  }
  void stack(rlim_t bytes) {
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ASSERT_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
  }
  rlimit before_{};
};

TEST_F(ChunkLimit, FollowsTheStackOfAThread) {
  stack(8 << 20);
  // 0.9 x 8 MiB / (4 bytes x 6912 rows): where the reference was seen to work with 300 and to die with 304.
  EXPECT_EQ(chunk_limit(6912, 1, 512), 273);
  EXPECT_EQ(chunk_limit(6912, 2, 1024), 546);
  EXPECT_EQ(chunk_limit(6912, 2, 512), 512);
  EXPECT_EQ(chunk_limit(14336, 2, 512), 263);
  EXPECT_EQ(chunk_limit(0, 1, 512), 512);  // no such product
  // However wide, up to three tokens go one by one.
  EXPECT_EQ(chunk_limit(std::int64_t{1} << 40, 1, 512), 3);
}

TEST_F(ChunkLimit, HeedsSmallerStacksOfWorkers) {
  stack(8 << 20);
  setenv("OMP_STACKSIZE", "1M", 1);
  EXPECT_EQ(chunk_limit(6912, 1, 512), 34);
  setenv("OMP_STACKSIZE", "1024", 1);
  EXPECT_EQ(chunk_limit(6912, 1, 512), 34);
  setenv("OMP_STACKSIZE", "64M", 1);  // the main thread's does not grow by it
  EXPECT_EQ(chunk_limit(6912, 1, 512), 273);
}

}  // namespace
}  // namespace crossval::llama_adapter
