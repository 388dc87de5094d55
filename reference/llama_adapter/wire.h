#pragma once
// The participant's end of the protocol's byte stream (PROTOCOL.md): requests come in as lines, answers and
// tensors go out.

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>

#include "reference/process/framing.h"

namespace crossval::llama_adapter {

/// Nobody is at the other end any more; there is no one to answer.
class StreamError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Wire {
 public:
  /// The descriptors stay the caller's.
  Wire(int in, int out);

  /// The next request; nothing at the end of the stream. Throws StreamError, FramingError or nlohmann's parse
  /// error.
  std::optional<nlohmann::json> next();
  /// Throws StreamError when nobody reads any more.
  void line(const nlohmann::ordered_json& answer);
  void values(std::span<const float> values);

 private:
  void write(const void* data, std::size_t size);

  int out_;
  Framing framing_;
};

}  // namespace crossval::llama_adapter
