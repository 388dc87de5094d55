#include "engine/kernels/thread_pool.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "engine/error.h"
#include "engine/kernels/topology.h"

namespace {
std::atomic<long> allocations{0};
}

// Counts what the pool allocates. Sanitizers keep their own. Not inlined: GCC would take malloc and delete
// for a mismatch.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CROSSVAL_COUNTS_ALLOCATIONS 1
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size != 0 ? size : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
#else
#define CROSSVAL_COUNTS_ALLOCATIONS 0
#endif

namespace bitnet {
namespace {

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::int64_t n : {0, 1, 2, 7, 64, 1000, 4097}) {
      for (const std::int64_t grain : {1, 4, 32, 5000}) {
        std::vector<int> seen(static_cast<std::size_t>(n));
        std::atomic<bool> misplaced{false};
        pool.parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end, int worker) {
          if (begin % grain != 0 || (end % grain != 0 && end != n) || begin >= end) misplaced = true;
          if (worker < 0 || worker >= threads) misplaced = true;
          for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
        });
        EXPECT_EQ(seen, std::vector<int>(static_cast<std::size_t>(n), 1))
            << threads << " " << n << " " << grain;
        EXPECT_FALSE(misplaced);
      }
    }
  }
}

TEST(ThreadPool, OneThreadIsTheCaller) {
  ThreadPool pool(1);
  const std::thread::id caller = std::this_thread::get_id();
  std::thread::id ran;
  pool.parallel_for(100, 1, [&](std::int64_t, std::int64_t, int) { ran = std::this_thread::get_id(); });
  EXPECT_EQ(ran, caller);
}

TEST(ThreadPool, WorkersRunChunksSideBySide) {
  // Both chunks wait for each other, so this ends only if two threads run at once.
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  pool.parallel_for(2, 1, [&](std::int64_t begin, std::int64_t end, int) {
    arrived += static_cast<int>(end - begin);
    while (arrived < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 2);
}

/// A worker has at most one number, and no two chunks run under the same number at once.
TEST(ThreadPool, WorkerNumbersAreNeverShared) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> shared{false};
  for (int run = 0; run < 200; ++run) {
    pool.parallel_for(64, 1, [&](std::int64_t, std::int64_t, int worker) {
      if (inside[static_cast<std::size_t>(worker)].fetch_add(1) != 0) shared = true;
      inside[static_cast<std::size_t>(worker)].fetch_sub(1);
    });
  }
  EXPECT_FALSE(shared);
}

TEST(ThreadPool, ManyShortRunsWithAndWithoutSleep) {
  for (const int threads : {2, 8}) {
    ThreadPool pool(threads);
    std::vector<std::int64_t> sums(64);  // plain: each run must see what the one before it wrote
    const int runs = 3000;
    for (int run = 0; run < runs; ++run) {
      pool.parallel_for(64, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) sums[static_cast<std::size_t>(i)] += run;
      });
      // Now and then long enough for the workers to fall asleep.
      if (run % 300 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    EXPECT_EQ(sums, std::vector<std::int64_t>(64, std::int64_t{runs} * (runs - 1) / 2));
  }
}

TEST(ThreadPool, TheCallerSleepsThroughALongChunk) {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  std::atomic<bool> worker_inside{false};
  pool.parallel_for(2, 1, [&](std::int64_t, std::int64_t, int worker) {
    if (worker == 0) {
      while (!worker_inside) std::this_thread::yield();
    } else {
      worker_inside = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    ++done;
  });
  EXPECT_EQ(done, 2);
}

TEST(ThreadPool, PinsEachThreadToItsCpuAndFreesItsMaker) {
  const std::vector<int> before = topology::allowed_cpus();
  const std::vector<int> cpus = pinning_order();
  for (const int threads : {1, 2, 5}) {
    {
      ThreadPool pool(threads, cpus);
      std::vector<std::vector<int>> allowed(static_cast<std::size_t>(threads));
      std::atomic<int> arrived{0};
      // Every thread takes one chunk: nobody's ends before all have begun.
      pool.parallel_for(threads, 1, [&](std::int64_t, std::int64_t, int worker) {
        allowed[static_cast<std::size_t>(worker)] = topology::allowed_cpus();
        ++arrived;
        while (arrived < threads) std::this_thread::yield();
      });
      for (std::size_t i = 0; i < allowed.size(); ++i)
        EXPECT_EQ(allowed[i], std::vector<int>{cpus[i % cpus.size()]}) << i << " of " << threads;
    }
    EXPECT_EQ(topology::allowed_cpus(), before);
  }
}

TEST(ThreadPool, APinThatIsNotAllowedIsAnError) {
  const std::vector<int> before = topology::allowed_cpus();
  const int none[] = {1 << 19};
  for (const int threads : {1, 3}) EXPECT_THROW(ThreadPool(threads, none), SystemError);
  EXPECT_EQ(topology::allowed_cpus(), before);
}

TEST(ThreadPool, StartsAndEndsWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(1 + i % 5);
}

TEST(ThreadPool, ACallAllocatesNothing) {
  if (CROSSVAL_COUNTS_ALLOCATIONS == 0) GTEST_SKIP() << "sanitizers replace the allocator";
  ThreadPool pool(3);
  std::atomic<std::int64_t> total{0};
  const long before = allocations;
  for (int run = 0; run < 100; ++run) {
    pool.parallel_for(1000, 10, [&](std::int64_t begin, std::int64_t end, int) { total += end - begin; });
  }
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(total, 100000);
  ::operator delete(::operator new(1));
  EXPECT_GT(allocations - before, 0) << "the counter counts";
}

class Topology : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() /
            ("crossval-topology-" + std::to_string(getpid()) + "-" +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  std::filesystem::path root_;
};

TEST_F(Topology, SiblingsAreOneCore) {
  for (int cpu = 0; cpu < 8; ++cpu) {
    write("devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
          std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4) + "\n");
  }
  EXPECT_EQ(topology::distinct_cores(root_, {0, 1, 2, 3, 4, 5, 6, 7}), 4);
  EXPECT_EQ(topology::distinct_cores(root_, {0, 4, 1}), 2);
  EXPECT_EQ(topology::distinct_cores(root_, {6}), 1);
  EXPECT_EQ(topology::distinct_cores(root_, {100, 101}), 2);  // nothing known of them
  EXPECT_EQ(topology::distinct_cores(root_, {}), 0);
}

TEST_F(Topology, ThreadsTakeOneCpuOfEachCoreFirst) {
  for (int cpu = 0; cpu < 8; ++cpu) {
    write("devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
          std::to_string(cpu / 2 * 2) + "-" + std::to_string(cpu / 2 * 2 + 1) + "\n");
  }
  using Cpus = std::vector<int>;
  EXPECT_EQ(topology::spread_over_cores(root_, {0, 1, 2, 3, 4, 5, 6, 7}), (Cpus{0, 2, 4, 6, 1, 3, 5, 7}));
  EXPECT_EQ(topology::spread_over_cores(root_, {5, 4, 7}), (Cpus{5, 7, 4}));
  EXPECT_EQ(topology::spread_over_cores(root_, {100, 101}), (Cpus{100, 101}));  // nothing known of them
  EXPECT_EQ(topology::spread_over_cores(root_, {}), Cpus{});
}

TEST_F(Topology, QuotaOfVersionTwo) {
  write("cgroup", "0::/slice/service\n");
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 0);
  write("slice/service/cpu.max", "max 100000\n");
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 0);
  write("slice/service/cpu.max", "350000 100000\n");
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 4);
  write("slice/cpu.max", "150000 100000\n");  // the group above is tighter
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 2);
  write("cpu.max", "50000 100000\n");
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 1);
}

TEST_F(Topology, QuotaOfVersionOne) {
  write("cgroup", "12:memory:/x\n4:cpu,cpuacct:/x\n");
  write("cpu/x/cpu.cfs_quota_us", "-1\n");
  write("cpu/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 0);
  write("cpu/x/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 3);
}

TEST_F(Topology, NonsenseIsNoQuota) {
  EXPECT_EQ(topology::quota_cpus(root_ / "missing", root_), 0);
  write("cgroup", "nonsense\n0::\n");
  write("cpu.max", "many few\n");
  EXPECT_EQ(topology::quota_cpus(root_ / "cgroup", root_), 0);
}

TEST_F(Topology, ThisMachineHasACore) {
  EXPECT_GE(physical_cores(), 1);
  EXPECT_LE(physical_cores(), static_cast<int>(topology::allowed_cpus().size()));
}

}  // namespace
}  // namespace bitnet
