#pragma once
// A group of queries taken one by one, for kernels that have no use for the rest of the group. Internal
// linkage, as in avx2/simd.h: each instruction set's file has its own.

#include "engine/kernels/kernels.h"

namespace bitnet {
namespace {

/// Calls f(token, head, row, cells) for each query: row counts the queries, cells those that it sees.
template <class F>
inline void for_each_query(const QueryGroup& group, F f) {
  for (std::int64_t t = 0; t < group.tokens; ++t) {
    for (std::int64_t h = 0; h < group.heads; ++h) f(t, h, t * group.heads + h, group.cells + t);
  }
}

}  // namespace
}  // namespace bitnet
