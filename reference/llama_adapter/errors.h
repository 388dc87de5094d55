#pragma once
// The kinds of an error answer (PROTOCOL.md); any other exception is a `failure`.

#include <stdexcept>

namespace crossval::llama_adapter {

/// The request cannot be met with these data.
class Input : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// This library cannot do what a comparison needs.
class Incomparable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Nobody is at the other end any more; there is no one to answer.
class Stream : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace crossval::llama_adapter
