#pragma once
// How a participant can fail other than by bad input (InputError) or for want of means (SystemError).

#include <stdexcept>

namespace crossval {

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
