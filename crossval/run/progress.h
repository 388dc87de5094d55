#pragma once
// What a run says while it runs: a bar with the time left on a terminal, plain lines elsewhere. All on
// stderr.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace crossval {

/// A line each, made harmless for the terminal.
void say(const std::vector<std::string>& lines);

class Progress {
 public:
  Progress(std::int64_t cases, bool quiet);
  ~Progress();
  void start_case(const std::string& id);
  void finish_case(const std::string& id, const std::string& verdict);

 private:
  void draw(const std::string& what);
  std::string time_left() const;

  std::int64_t cases_;
  std::int64_t done_ = 0;
  bool quiet_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_line_;
};

}  // namespace crossval
