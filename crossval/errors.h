#pragma once
// How a run can end other than by its verdict. Each kind has its exit code (design.md 3).

#include <stdexcept>

namespace crossval {

enum class ExitCode : int { pass = 0, fail = 1, usage = 2, incomparable = 3, invalid = 4 };

/// The sides do not line up: other vocabulary, a promised tap missing, other token ids. Exit 3.
class Incomparable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A participant died, hung or lied, or the run itself cannot be trusted. Exit 4.
class Invalid : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace crossval
