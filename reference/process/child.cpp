#include "reference/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/env.hpp>
#include <boost/process/environment.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <boost/process/group.hpp>
#include <boost/process/posix.hpp>
#include <boost/process/search_path.hpp>
#include <cerrno>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>

#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "reference/process/descendants.h"
#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

namespace crossval {
namespace {

namespace bp = boost::process;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t kErrorsKept = std::size_t{64} << 10;
// How often we look whether a silent child still lives.
constexpr auto kGlance = 100ms;

[[noreturn]] void system_failure(const char* what) {
  throw bitnet::SystemError(std::string(what) + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Descriptor() { reset(); }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

struct Pipe {
  Descriptor read, write;
};

// Closed on exec, and never one of the standard descriptors, which the child's ends are moved to.
Pipe make_pipe() {
  int ends[2];
#if defined(__linux__)
  if (::pipe2(ends, O_CLOEXEC) != 0) system_failure("pipe");
#else
  if (::pipe(ends) != 0) system_failure("pipe");
#endif
  Pipe made{Descriptor(ends[0]), Descriptor(ends[1])};
  for (Descriptor* end : {&made.read, &made.write}) {
    const int above = ::fcntl(end->get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (above < 0) system_failure("fcntl");
    end->reset(above);
  }
  return made;
}

void never_block(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) system_failure("fcntl");
}

int milliseconds_until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000));
}

Clock::time_point after(Seconds limit) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
}

// A write to a closed pipe is an error here, whatever the process does about SIGPIPE: the signal is blocked
// in this thread meanwhile, and taken away if the write raised it.
class NoBrokenPipeSignal {
 public:
  NoBrokenPipeSignal() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~NoBrokenPipeSignal() {
    if (raised_ && !was_pending_) {
      const timespec now{0, 0};
      while (::sigtimedwait(&set_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoBrokenPipeSignal(const NoBrokenPipeSignal&) = delete;
  NoBrokenPipeSignal& operator=(const NoBrokenPipeSignal&) = delete;
  void raised() { raised_ = true; }

 private:
  sigset_t set_{}, before_{};
  bool was_pending_ = false;
  bool raised_ = false;
};

// What happens in the child between fork and exec, and what Boost leaves undone.
struct Manners : bp::extend::handler {
  template <typename Executor>
  void on_exec_setup(Executor&) const {
    // Descriptors of ours that are not marked, and those of other children being started at this moment.
#if defined(__linux__) && defined(SYS_close_range)
    constexpr unsigned kMark = 4;  // CLOSE_RANGE_CLOEXEC: Boost still needs its own until exec
    if (::syscall(SYS_close_range, 3U, ~0U, kMark) != 0)
#endif
    {
      const auto last = std::clamp<std::int64_t>(::sysconf(_SC_OPEN_MAX), 256, 65536);
      for (int fd = 3; fd < static_cast<int>(last); ++fd) {
        const int flags = ::fcntl(fd, F_GETFD);
        if (flags >= 0) ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
      }
    }
    // Ignored signals stay ignored over exec; a program does not expect that.
    for (const int signal : {SIGPIPE, SIGXFSZ, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGHUP})
      ::signal(signal, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
#if defined(__linux__)
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  }
  // When exec fails, Boost 1.74 leaves the forked process as a zombie.
  template <typename Executor>
  void on_error(Executor& executor, const std::error_code&) const {
    if (executor.pid > 0) ::waitpid(executor.pid, nullptr, 0);
  }
};

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), F_OK) != 0)
      throw bitnet::InputError("cannot start `" + bitnet::gguf::printable(name, 200) +
                               "`: " + std::strerror(errno));
    return name;
  }
  std::string found = bp::search_path(name).string();
  if (found.empty())
    throw bitnet::InputError("cannot start `" + bitnet::gguf::printable(name, 200) +
                             "`: there is no such program in PATH; write its path, or ./ before its name");
  return found;
}

// How a child ended; nothing while it lives. WNOWAIT keeps the zombie, and with it the id of the process
// group, until the group has been ended.
std::optional<std::string> exit_of(pid_t pid) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != pid)
    return std::nullopt;
  if (info.si_code == CLD_EXITED) return "exit status " + std::to_string(info.si_status);
  return "signal " + std::to_string(info.si_status) + " (" + ::strsignal(info.si_status) + ")";
}

}  // namespace

// The thread that starts the child, so that it lives as long as the child does (PR_SET_PDEATHSIG speaks of
// the thread that forked), and then takes in its standard error, so that a flood of it blocks nobody.
struct Child::Drain {
  std::thread thread;
  Descriptor stop;  // closing it ends the thread
  mutable std::mutex mutex;
  std::string kept;

  void run(int errors, int stopped) {
    never_block(errors);
    pollfd watched[2] = {{errors, POLLIN, 0}, {stopped, POLLIN, 0}};
    for (;;) {
      ::poll(watched, 2, -1);
      const bool last = watched[1].revents != 0;
      // After the stop what is there already is still taken, once: a process that outlived the child could
      // write for ever.
      const bool open = take(errors);
      if (last) return;
      if (!open) watched[0].fd = -1;
    }
  }

  // Whether more can come.
  bool take(int errors) {
    char block[1 << 16];
    const ssize_t n = ::read(errors, block, sizeof block);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    const std::lock_guard lock(mutex);
    kept.append(block, static_cast<std::size_t>(n));
    if (kept.size() > kErrorsKept) kept.erase(0, kept.size() - kErrorsKept);
    return true;
  }
};

Child::Child(const std::vector<std::string>& words, const std::map<std::string, std::string>& environment) {
  const std::string program = find_program(words.at(0));
  bp::environment variables = boost::this_process::environment();
  for (const auto& [name, value] : environment) variables[name] = value;
  variables[kMark] = mark_ = new_mark();

  Pipe in = make_pipe(), out = make_pipe(), errors = make_pipe(), stop = make_pipe();
  never_block(in.write.get());
  never_block(out.read.get());
  drain_ = std::make_unique<Drain>();
  drain_->stop = std::move(stop.write);
  std::promise<pid_t> started;
  drain_->thread = std::thread([&, drain = drain_.get(), own = errors.read.release(),
                                stopped = stop.read.release(), child_errors = errors.write.get()] {
    const Descriptor errors_end(own), stop_end(stopped);
    try {
      std::error_code error;
      bp::group group;
      bp::child child(bp::exe = program, bp::args = std::vector<std::string>(words.begin() + 1, words.end()),
                      variables, bp::posix::fd.bind(STDIN_FILENO, in.read.get()),
                      bp::posix::fd.bind(STDOUT_FILENO, out.write.get()),
                      bp::posix::fd.bind(STDERR_FILENO, child_errors), group, Manners{}, error);
      // We wait for it ourselves: Boost's timed waits fork once more, and its destructors kill what may be
      // another process by then.
      if (error)
        throw bitnet::InputError("cannot start `" + bitnet::gguf::printable(program, 200) +
                                 "`: " + error.message());
      const pid_t pid = child.id();
      child.detach();
      group.detach();
      started.set_value(pid);
    } catch (...) {
      started.set_exception(std::current_exception());
      return;
    }
    drain->run(errors_end.get(), stop_end.get());
  });
  try {
    pid_ = started.get_future().get();
  } catch (...) {
    drain_->thread.join();
    throw;
  }
  input_ = in.write.release();
  output_ = out.read.release();
}

Child::~Child() {
  end(500ms);
}

bool Child::exited() const {
  return exit_of(pid_).has_value();
}

bool Child::ended_within(Seconds limit) {
  if (ended_) return true;
  const auto deadline = after(limit);
  for (auto pause = 1ms; !exited(); pause = std::min(2 * pause, 20ms)) {
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
  }
  return true;
}

void Child::write(std::string_view bytes, Seconds limit) {
  NoBrokenPipeSignal quiet;
  const auto deadline = after(limit);
  while (!bytes.empty()) {
    const ssize_t n = ::write(input_, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EPIPE) {
      quiet.raised();
      throw ClosedInput{};
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) system_failure("writing to a participant");
    if (Clock::now() >= deadline) throw TimedOut{};
    pollfd writable{input_, POLLOUT, 0};
    ::poll(&writable, 1, milliseconds_until(std::min(deadline, Clock::now() + kGlance)));
    // A process that outlived the child may hold the pipe open and never read from it.
    if (!(writable.revents & POLLOUT) && exited()) throw ClosedInput{};
  }
}

std::size_t Child::read(std::span<std::byte> into, Clock::time_point deadline) {
  bool gone = false;
  for (;;) {
    const ssize_t n = ::read(output_, into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) system_failure("reading from a participant");
    if (gone) return 0;
    if (Clock::now() >= deadline) throw TimedOut{};
    pollfd readable{output_, POLLIN, 0};
    ::poll(&readable, 1, milliseconds_until(std::min(deadline, Clock::now() + kGlance)));
    // What it wrote before it ended is in the pipe by now: one more look, then it is over.
    if (readable.revents == 0) gone = exited();
  }
}

// Members of its group, and those that left it.
bool Child::left_something() const {
  return ::kill(-pid_, 0) == 0 || !processes_with(mark_).empty();
}

void Child::signal(int number) const {
  ::kill(-pid_, number);
  for (const pid_t pid : processes_with(mark_)) ::kill(pid, number);
}

void Child::end(Seconds grace) {
  if (ended_ || pid_ <= 0) return;
  ended_ = true;
  ::close(std::exchange(input_, -1));
  // What it ends with from here on is our doing.
  if (const auto how = exit_of(pid_)) status_ = *how;
  // Also after it ended by itself: processes that it started may be left.
  signal(SIGTERM);
  const auto deadline = after(grace);
  const auto wait = [&](auto&& over, Clock::time_point until) {
    for (auto pause = 1ms; !over() && Clock::now() < until; pause = std::min(2 * pause, 20ms))
      std::this_thread::sleep_for(pause);
  };
  wait([&] { return exited(); }, deadline);
  if (!exited()) {
    ::kill(-pid_, SIGKILL);
    wait([&] { return exited(); }, Clock::now() + 5s);
  }
  while (::waitpid(pid_, nullptr, WNOHANG) < 0 && errno == EINTR) {
  }
  // The group lives on while a member of it does.
  wait([&] { return !left_something(); }, std::max(deadline, Clock::now() + 50ms));
  // One that was being started while we looked for it is found the next time; one that starts others for ever
  // is left to itself in the end.
  const auto killed = [&] {
    if (!left_something()) return true;
    signal(SIGKILL);
    return false;
  };
  wait(killed, Clock::now() + 2s);
  ::close(std::exchange(output_, -1));
  drain_->stop.reset();
  drain_->thread.join();
}

std::string Child::status() const {
  return ended_ ? status_ : exit_of(pid_).value_or(status_);
}

std::string Child::errors() const {
  const std::lock_guard lock(drain_->mutex);
  return drain_->kept;
}

}  // namespace crossval
