#pragma once
// Test support: buffers between pages that may not be touched, so that one element read or written too many
// is a fault at once.

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace bitnet::testing_support {

/// Which end of the buffer touches a forbidden page; `odd`: none, it begins one element after a page's begin,
/// so that it is aligned to its elements and no more whatever its size.
enum class Edge : std::uint8_t { end, begin, odd };

inline constexpr std::array kAllEdges = {Edge::end, Edge::begin, Edge::odd};

inline std::string_view name_of(Edge edge) {
  constexpr std::array<std::string_view, 3> kNames = {"end", "begin", "odd"};
  return kNames[static_cast<std::size_t>(edge)];
}

/// Small mappings that are not in use, by their size: to make one costs more than most checks.
inline thread_local std::map<std::size_t, std::vector<void*>> spare_pages;

inline void leave_pages(void* mapping, std::size_t size) {
  if (size <= std::size_t{1} << 16) {
    spare_pages[size].push_back(mapping);
  } else {
    munmap(mapping, size);
  }
}

/// `size` bytes of pages, of which the first and the last are forbidden.
inline void* take_pages(std::size_t size, std::size_t page) {
  if (std::vector<void*>& spare = spare_pages[size]; !spare.empty()) {
    void* const mapping = spare.back();
    spare.pop_back();
    return mapping;
  }
  void* const mapping = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  char* const first = static_cast<char*>(mapping) + page;
  if (size > 2 * page && mprotect(first, size - 2 * page, PROT_READ | PROT_WRITE) != 0)
    throw std::bad_alloc();
  return mapping;
}

/// `size` elements, flush with a forbidden page as `edge` says; at Edge::end aligned to sizeof(T) and no
/// more, wherever the size puts them. Filled with the byte 0xa5.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::int64_t size, Edge edge = Edge::end) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
    const std::size_t before = edge == Edge::odd ? sizeof(T) : 0;
    const std::size_t body = (before + bytes + page - 1) / page * page;
    mapped_ = body + 2 * page;
    mapping_ = take_pages(mapped_, page);
    char* const first = static_cast<char*>(mapping_) + page;
    std::memset(first, 0xa5, body);
    data_ = reinterpret_cast<T*>(edge == Edge::end ? first + (body - bytes) : first + before);
  }
  ~Guarded() {
    if (mapping_ != nullptr) leave_pages(mapping_, mapped_);
  }
  Guarded(Guarded&& other) noexcept
      : mapping_(std::exchange(other.mapping_, nullptr)),
        mapped_(other.mapped_),
        data_(other.data_),
        size_(other.size_) {}
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](std::int64_t i) { return data_[i]; }
  const T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace bitnet::testing_support
