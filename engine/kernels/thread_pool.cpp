#include "engine/kernels/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/kernels/topology.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bitnet {
namespace {

/// Turns of a waiting loop before the thread sleeps: some 20 to 100 microseconds, longer than the serial gaps
/// between two operations of a decode step and far shorter than a scheduler's slice.
constexpr int kSpins = 2000;

/// A chunk is this part of what is left, divided by the number of threads: large at first (few chunks, long
/// streams), down to one grain at the end, so that threads of unequal speed finish together.
constexpr std::int64_t kShare = 4;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The gate packs a run's state into one word, so that a worker joins a run if and only if it is still open: a
// late sleeper can never take part in a run whose caller has returned.
constexpr std::uint64_t kOpen = std::uint64_t{1} << 31;
constexpr std::uint64_t kActiveMask = kOpen - 1;            // workers inside the run
constexpr std::uint64_t kNextRun = std::uint64_t{1} << 32;  // the run's number, above

std::uint64_t run_of(std::uint64_t gate) {
  return gate >> 32;
}

}  // namespace

struct ThreadPool::Impl {
  // Written by the caller while the gate is closed and nobody is inside; read by workers that passed the
  // gate.
  Chunk chunk = nullptr;
  void* context = nullptr;
  std::int64_t n = 0;
  std::int64_t grain = 1;
  std::int64_t divisor = 1;

  alignas(64) std::atomic<std::int64_t> next{0};
  alignas(64) std::atomic<std::uint64_t> gate{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stopping{false};
  int spins = kSpins;

  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::vector<std::thread> workers;
  pthread_t maker{};            // where it is pinned
  std::vector<int> maker_cpus;  // that it may run on without us

  void work(int worker) {
    std::int64_t begin = next.load(std::memory_order_relaxed);
    while (begin < n) {
      const std::int64_t grains = (n - begin + grain - 1) / grain;
      const std::int64_t end = std::min(begin + (grains + divisor - 1) / divisor * grain, n);
      if (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      chunk(context, begin, end, worker);
      begin = next.load(std::memory_order_relaxed);
    }
  }

  /// Waits until the gate shows another run than `seen`; false when the pool ends.
  bool wait_for_run(std::uint64_t seen) {
    for (int i = 0; i < spins; ++i) {
      if (run_of(gate.load(std::memory_order_relaxed)) != seen) return true;
      if (stopping.load(std::memory_order_relaxed)) return false;
      pause();
    }
    std::unique_lock lock(mutex);
    // Announced before the gate is read again; the caller opens the gate before it reads the announcement.
    // Both are sequentially consistent, so one of them sees the other.
    sleepers.fetch_add(1);
    wake.wait(lock, [&] { return run_of(gate.load()) != seen || stopping.load(); });
    sleepers.fetch_sub(1);
    return !stopping.load();
  }

  void worker_loop(int worker) {
    std::uint64_t seen = 0;
    while (wait_for_run(seen)) {
      std::uint64_t state = gate.load(std::memory_order_relaxed);
      bool inside = false;
      while ((state & kOpen) != 0 && !inside) {
        inside = gate.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                            std::memory_order_relaxed);
      }
      seen = run_of(state);
      if (!inside) continue;
      work(worker);
      const std::uint64_t before = gate.fetch_sub(1);
      // The last one out of a closed run tells a caller that fell asleep.
      if ((before & (kOpen | kActiveMask)) == 1 && caller_sleeps.load()) {
        const std::scoped_lock lock(mutex);
        done.notify_one();
      }
    }
  }

  void stop() {
    {
      const std::scoped_lock lock(mutex);
      stopping.store(true);
      wake.notify_all();
    }
    for (std::thread& worker : workers) worker.join();
  }

  void wait_for_workers() {
    const auto empty = [&] { return (gate.load() & kActiveMask) == 0; };
    for (int i = 0; i < spins; ++i) {
      if (empty()) return;
      pause();
    }
    std::unique_lock lock(mutex);
    caller_sleeps.store(true);
    done.wait(lock, empty);
    caller_sleeps.store(false);
  }
};

ThreadPool::ThreadPool(int threads, std::span<const int> cpus) : impl_(std::make_unique<Impl>()) {
  // With more threads than CPUs, spinning would keep the one waited for from running.
  if (threads > static_cast<int>(std::thread::hardware_concurrency())) impl_->spins = 0;
  impl_->workers.reserve(static_cast<std::size_t>(std::max(threads - 1, 0)));
  for (int worker = 1; worker < threads; ++worker) {
    impl_->workers.emplace_back([impl = impl_.get(), worker] { impl->worker_loop(worker); });
  }
  if (!cpus.empty()) pin(cpus);
}

ThreadPool::~ThreadPool() {
  impl_->stop();
  // Its own threads have ended; the maker's freedom is a wish by now.
  if (impl_->maker_cpus.empty()) return;
  try {
    topology::bind(impl_->maker, impl_->maker_cpus);
  } catch (const SystemError&) {
  }
}

void ThreadPool::pin(std::span<const int> cpus) {
  const auto cpu = [&](std::size_t thread) { return cpus.subspan(thread % cpus.size(), 1); };
  try {
    for (std::size_t i = 0; i < impl_->workers.size(); ++i)
      topology::bind(impl_->workers[i].native_handle(), cpu(i + 1));
    std::vector<int> before = topology::allowed_cpus();
    topology::bind(::pthread_self(), cpu(0));
    impl_->maker = ::pthread_self();
    impl_->maker_cpus = std::move(before);
  } catch (...) {
    impl_->stop();  // no destructor comes after a constructor that throws
    throw;
  }
}

int ThreadPool::threads() const {
  return static_cast<int>(impl_->workers.size()) + 1;
}

void ThreadPool::run(std::int64_t n, std::int64_t grain, Chunk chunk, void* context) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (impl_->workers.empty() || n <= grain) {
    chunk(context, 0, n, 0);
    return;
  }
  impl_->chunk = chunk;
  impl_->context = context;
  impl_->n = n;
  impl_->grain = grain;
  impl_->divisor = kShare * threads();
  impl_->next.store(0, std::memory_order_relaxed);
  // Closed and empty here: only the number of the run is kept.
  impl_->gate.store(((run_of(impl_->gate.load(std::memory_order_relaxed)) + 1) * kNextRun) | kOpen);
  if (impl_->sleepers.load() > 0) {
    const std::scoped_lock lock(impl_->mutex);
    impl_->wake.notify_all();
  }
  impl_->work(0);
  impl_->gate.fetch_and(~kOpen);
  impl_->wait_for_workers();
}

}  // namespace bitnet
