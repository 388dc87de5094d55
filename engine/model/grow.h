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

/// Room for n elements from the start of a cache line on, so that no vector of them crosses one; what it held
/// may be lost.
template <class T>
T* grow_aligned(std::vector<T>& v, std::int64_t n) {
  constexpr auto kLine = static_cast<std::int64_t>(64 / sizeof(T));
  grow(v, n + kLine - 1);
  const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(v.data()) / sizeof(T)) % kLine;
  return v.data() + (kLine - past) % kLine;
}

}  // namespace bitnet
