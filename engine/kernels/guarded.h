#pragma once
// Test support: buffers between pages that may not be touched, so that one element read or written too many
// is a fault at once.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace bitnet::testing_support {

/// Which end of the buffer touches a forbidden page.
enum class Edge : std::uint8_t { end, begin };

/// `size` elements flush with a forbidden page; aligned to sizeof(T) and no more, at Edge::end wherever the
/// size puts them. Filled with the byte 0xa5.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::int64_t size, Edge edge = Edge::end) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
    const std::size_t body = (bytes + page - 1) / page * page;
    mapped_ = body + 2 * page;
    mapping_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) throw std::bad_alloc();
    char* const first = static_cast<char*>(mapping_) + page;
    if (body != 0 && mprotect(first, body, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    std::memset(first, 0xa5, body);
    data_ = reinterpret_cast<T*>(edge == Edge::end ? first + (body - bytes) : first);
  }
  ~Guarded() {
    if (mapping_ != nullptr) munmap(mapping_, mapped_);
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
