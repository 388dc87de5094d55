#pragma once
// A child process in a process group of its own, its three standard descriptors pipes to us.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace crossval {

/// How long one wait for a child may take.
using Seconds = std::chrono::duration<double>;

/// The child was silent, or read nothing, for as long as was allowed.
struct TimedOut {};
/// The child closed its standard input or ended before it had read all.
struct ClosedInput {};

class Child {
 public:
  /// Starts `words[0]` (searched in PATH when it has no slash) with these words and our environment, in which
  /// `environment` replaces and adds. The child gets its three pipes and no other descriptor of ours, the
  /// default signal dispositions, and, on Linux, SIGKILL when this process dies. Throws InputError when there
  /// is no such program or it cannot be run, SystemError when pipes or processes run out.
  Child(const std::vector<std::string>& words, const std::map<std::string, std::string>& environment);
  /// Ends the child and whatever it has started.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Writes everything to the child's standard input. Throws TimedOut when it is not taken within `limit`,
  /// ClosedInput when nobody will take it any more. SIGPIPE is not raised.
  void write(std::string_view bytes, Seconds limit);
  /// Bytes of its standard output: at least one, waiting until `deadline`; 0 when its output has ended, or
  /// the child itself has and no output of it is left (another process may still hold the pipe). Throws
  /// TimedOut.
  std::size_t read(std::span<std::byte> into, std::chrono::steady_clock::time_point deadline);

  pid_t pid() const { return pid_; }
  /// Whether it has ended by itself within `limit`.
  bool ended_within(Seconds limit);
  /// Ends whatever is left of it, its process group and, on Linux, the processes that it started and that
  /// left the group (descendants.h): SIGTERM, and after `grace` SIGKILL; leaves no zombie. Waits no longer
  /// than a few seconds. Calling it again does nothing.
  void end(Seconds grace);

  /// "exit status 3", "signal 11 (Segmentation fault)"; "still running" when it was us who ended it, or it
  /// lives.
  std::string status() const;
  /// The last 64 KB of its standard error.
  std::string errors() const;

 private:
  struct Drain;
  bool exited() const;
  bool left_something() const;
  void signal(int number) const;

  std::string mark_;  // in the environment of all that it starts
  pid_t pid_ = -1;
  int input_ = -1;   // we write
  int output_ = -1;  // we read
  std::unique_ptr<Drain> drain_;
  std::string status_ = "still running";
  bool ended_ = false;
};

}  // namespace crossval
