#include "engine/gguf/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace bitnet::gguf {
namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail_open(const std::string& file, int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      throw InputError(file + ": file: does not exist; check the path");
    case EACCES:
    case EPERM:
      throw InputError(file + ": file: may not be read by this user; check its permissions");
    case ELOOP:
    case ENAMETOOLONG:
      throw InputError(file + ": file: the path cannot be followed; check it");
    default:
      throw SystemError(file + ": cannot be opened: " + std::generic_category().message(error));
  }
}

}  // namespace

Mapping::Mapping(const std::filesystem::path& path) {
  const std::string file = printable_message(path.string());
  // Not to block on a named pipe; regular files do not care.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) fail_open(file, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0)
    throw SystemError(file + ": cannot be examined: " + std::generic_category().message(errno));
  if (S_ISDIR(status.st_mode)) throw InputError(file + ": file: is a directory; give the .gguf file in it");
  if (!S_ISREG(status.st_mode)) throw InputError(file + ": file: is no regular file; give a .gguf file");
  if (status.st_size == 0) throw InputError(file + ": file: is empty; download or copy it again");
  if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::size_t>::max() / 2)
    throw InputError(file + ": file: is larger than the address space of this machine");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED)
    throw SystemError(file + ": cannot be mapped: " + std::generic_category().message(errno));
  bytes_ = {static_cast<const std::byte*>(address), size};
#if defined(MADV_HUGEPAGE)
  // A wish. What is not in the page cache yet is read in pages of 2 MiB then, for this process and all later
  // ones: weights stream faster from them, and a gigabyte costs hundreds of page faults instead of thousands.
  if (size >= kHugePage) (void)::madvise(address, size, MADV_HUGEPAGE);
#endif
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Mapping::Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace bitnet::gguf
