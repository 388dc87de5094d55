#include "crossval/run/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "reports/escape.h"

namespace crossval {
namespace {

std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(std::llround(seconds));
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
  return std::to_string(s / 3600) + " h " + std::to_string(s % 3600 / 60) + " min";
}

}  // namespace

void say(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::cerr << "crossval: " << reports::escape_terminal(line) << "\n";
}

Progress::Progress(std::int64_t cases, bool quiet)
    : cases_(cases),
      quiet_(quiet),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      last_line_(start_) {}

Progress::~Progress() {
  if (drawn_) std::cerr << "\r\033[K" << std::flush;
}

std::string Progress::time_left() const {
  if (done_ == 0) return "";
  const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  return ", " + duration(spent / static_cast<double>(done_) * static_cast<double>(cases_ - done_)) + " left";
}

void Progress::draw(const std::string& what) {
  constexpr int kWidth = 24;
  const auto filled = cases_ > 0 ? static_cast<int>(done_ * kWidth / cases_) : 0;
  std::string bar(static_cast<std::size_t>(filled), '#');
  bar.resize(kWidth, '.');
  std::cerr << "\r\033[K[" << bar << "] " << done_ << "/" << cases_ << time_left() << "  " << what
            << std::flush;
  drawn_ = true;
}

void Progress::start_case(const std::string& id) {
  if (!quiet_ && terminal_) draw(reports::escape_terminal(id));
}

void Progress::finish_case(const std::string& id, const std::string& verdict) {
  ++done_;
  if (quiet_) return;
  const std::string name = reports::escape_terminal(id);
  if (terminal_) {
    if (verdict != "PASS") std::cerr << "\r\033[K" << verdict << "  " << name << "\n";
    draw(name);
    return;
  }
  // In a log: every case that is not a PASS, and a sign of life every few seconds.
  const auto now = std::chrono::steady_clock::now();
  if (verdict != "PASS") std::cerr << verdict << "  " << name << "\n";
  if (now - last_line_ >= std::chrono::seconds(5) || done_ == cases_) {
    std::cerr << done_ << " of " << cases_ << " cases" << (done_ < cases_ ? time_left() : "") << "\n";
    last_line_ = now;
  }
}

}  // namespace crossval
