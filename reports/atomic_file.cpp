#include "reports/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "reports/render.h"

namespace crossval::reports {

AtomicFile::AtomicFile(std::filesystem::path target)
    : target_(std::move(target)), temporary_(target_.string() + ".tmp") {
  // O_EXCL after the removal: a link that someone planted under this name is replaced, never followed.
  ::unlink(temporary_.c_str());
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("cannot be created", errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what, int error) const {
  throw OutputError(target_.string() + ": " + what + ": " + std::strerror(error));
}

void AtomicFile::write(std::string_view text) {
  size_ += text.size();
  buffer_ += text;
  if (buffer_.size() >= std::size_t{1} << 16) flush();
}

void AtomicFile::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      fail("cannot be written", errno);
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  buffer_.clear();
}

void AtomicFile::close() {
  flush();
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) fail("cannot be written", errno);
}

void AtomicFile::commit() {
  if (fd_ >= 0) close();
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot be replaced", errno);
  committed_ = true;
}

}  // namespace crossval::reports
