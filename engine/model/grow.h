#pragma once
// Scratch memory that only grows, so that a token allocates nothing once the largest has been seen.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitnet {

/// At least n elements; those that it has keep their values.
template <class T>
void grow(std::vector<T>& v, std::int64_t n) {
  if (static_cast<std::int64_t>(v.size()) < n) v.resize(static_cast<std::size_t>(n));
}

}  // namespace bitnet
