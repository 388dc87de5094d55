#pragma once
// A fixed set of threads that run one function at a time over chunks of a range.

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

namespace bitnet {

/// Number of physical cores this process may use (affinity and cgroup quota respected), at least 1.
int physical_cores();

/// The logical CPUs that the calling thread may run on, in the order in which the threads of a pool should be
/// pinned to them: one of each physical core first.
std::vector<int> pinning_order();

/// `parallel_for` may be called from one thread at a time; the calling thread works too, so a pool of one
/// starts no threads. Workers spin briefly, then sleep. No call allocates.
class ThreadPool {
 public:
  /// Thread i is pinned to cpus[i], counted round; none where there are no cpus. Thread 0 is the one that
  /// makes the pool, and gets back what it had when the pool ends. Throws SystemError where that is not
  /// allowed.
  explicit ThreadPool(int threads, std::span<const int> cpus = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  /// Calls f(begin, end, worker) over disjoint chunks that cover [0, n); chunk boundaries are multiples of
  /// `grain`. worker is in [0, threads()). Chunks go to whoever is free. Returns when all are done. f must
  /// not throw.
  template <class F>
  void parallel_for(std::int64_t n, std::int64_t grain, F&& f) {
    using Fn = std::remove_reference_t<F>;
    run(
        n, grain,
        [](void* context, std::int64_t begin, std::int64_t end, int worker) {
          (*static_cast<Fn*>(context))(begin, end, worker);
        },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  using Chunk = void (*)(void* context, std::int64_t begin, std::int64_t end, int worker);
  void run(std::int64_t n, std::int64_t grain, Chunk chunk, void* context);
  void pin(std::span<const int> cpus);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitnet
