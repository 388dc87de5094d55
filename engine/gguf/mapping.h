#pragma once
// A file mapped read-only.

#include <cstddef>
#include <filesystem>
#include <span>

namespace bitnet::gguf {

class Mapping {
 public:
  Mapping() = default;
  /// Maps a regular file. Throws InputError when there is no such file, it is empty or no regular file, and
  /// SystemError when the system refuses for want of means. A file that shrinks while it is mapped is not
  /// handled.
  explicit Mapping(const std::filesystem::path& path);
  ~Mapping();
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace bitnet::gguf
