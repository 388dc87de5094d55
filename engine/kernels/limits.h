#pragma once
// What this machine can do at most with one instruction set and so many threads.

#include "engine/kernels/kernels.h"
#include "engine/kernels/limit_kernels.h"
#include "engine/kernels/thread_pool.h"

namespace bitnet {

struct Limits {
  double read = 0;  // bytes per second, from memory that no cache holds
  double int8 = 0;  // operations per second, two to a multiply-add
  double f32 = 0;   // the same
};

/// The loops for the instruction set of a table of kernels.
const LimitKernels& limit_kernels(const Kernels& kernels);

/// Medians of several rounds in all threads of the pool: some 0.4 s, and 256 MiB of memory. Throws
/// std::bad_alloc.
Limits measure_limits(const Kernels& kernels, ThreadPool& pool);

}  // namespace bitnet
