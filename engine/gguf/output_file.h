#pragma once
// A file that appears under its name only when it is complete.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace bitnet::gguf {

/// Writes NAME.tmp; `commit` renames it to NAME; without it the destructor removes it. Throws SystemError
/// when the system fails (disk full), InputError when the path cannot be a file.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  /// Writes everything out and returns the name under which it can be read until `commit`.
  const std::filesystem::path& close();
  void commit();
  std::uint64_t written() const { return written_; }

 private:
  void flush();
  void write_all(std::span<const std::byte> bytes);
  [[noreturn]] void fail(const char* what, int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  bool committed_ = false;
  std::uint64_t written_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace bitnet::gguf
