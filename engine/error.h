#pragma once
// The engine's exceptions. They are thrown at boundaries (files, options), never in hot loops.

#include <stdexcept>
#include <string>

namespace bitnet {

/// The input is wrong: a damaged file, an unknown name, a request that does not fit. The message is one line
/// that names the file, the field and the mend. Commands map it to exit code 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The machine failed us (disk full, out of memory, a failed system call). Commands map it to exit code 4.
class SystemError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace bitnet
