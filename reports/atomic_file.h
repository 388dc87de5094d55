#pragma once
// A file that appears under its name only when it is complete.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace crossval::reports {

/// Writes to NAME.tmp beside the target; commit() moves it over the target. Without commit() the target stays
/// as it was and NAME.tmp is removed.
class AtomicFile {
 public:
  /// Throws OutputError.
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  /// Throws OutputError, naming the target, when the disk is full or fails.
  void write(std::string_view text);

  /// Everything written so far is handed to the system; what is missing for commit() is the rename alone.
  void close();

  /// Throws OutputError.
  void commit();

  std::uint64_t size() const { return size_; }
  const std::filesystem::path& target() const { return target_; }

 private:
  void flush();
  [[noreturn]] void fail(const char* what, int error) const;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  std::string buffer_;
  std::uint64_t size_ = 0;
  int fd_ = -1;
  bool committed_ = false;
};

}  // namespace crossval::reports
