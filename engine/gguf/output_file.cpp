#include "engine/gguf/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace bitnet::gguf {
namespace {

/// Whole huge pages: Linux keeps in the page cache what one write put there in a page as large as the write,
/// and maps that whole where it can. A model written so is mapped with a five-hundredth of the page faults.
constexpr std::size_t kBufferBytes = 1 << 21;

// What stands under the name already may be replaced only if it is a file: renaming over a device would
// remove it.
void require_replaceable(const std::filesystem::path& path, const std::string& file) {
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (path.filename().empty() || (exists && S_ISDIR(status.st_mode)))
    throw InputError(file + ": output: is a directory; give the name of a file");
  if (exists && !S_ISREG(status.st_mode))
    throw InputError(file + ": output: is a device or pipe; give the name of a file");
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
  temporary_ += ".tmp";
  const std::string file = printable_message(path_.string());
  require_replaceable(path_, file);
  buffer_.reserve(kBufferBytes);
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0 && (errno == ENOENT || errno == ENOTDIR))
    throw InputError(file + ": output: its directory does not exist; create it first");
  if (fd_ < 0) fail("cannot be created", errno);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  written_ += bytes.size();
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kBufferBytes - buffer_.size()));
    buffer_.insert(buffer_.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
    if (buffer_.size() == kBufferBytes) flush();
  }
}

const std::filesystem::path& OutputFile::close() {
  flush();
  // Some file systems tell of a full disk only here.
  if (::close(std::exchange(fd_, -1)) != 0) fail("cannot be written", errno);
  return temporary_;
}

void OutputFile::commit() {
  if (fd_ >= 0) close();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot be renamed into place", errno);
  committed_ = true;
}

void OutputFile::flush() {
  write_all(buffer_);
  buffer_.clear();
}

void OutputFile::write_all(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot be written", errno);
    if (n == 0) fail("cannot be written", ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void OutputFile::fail(const char* what, int error) const {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw SystemError(
      printable_message(path_.string()) + ": output: " + what + ": " +
      std::generic_category().message(error) +
      (full ? "; free some space or choose another place" : "; check the directory's permissions"));
}

}  // namespace bitnet::gguf
