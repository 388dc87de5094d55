#pragma once
// The participant's end of the protocol's byte stream (PROTOCOL.md): requests come in as lines, answers and
// tensors go out.

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "reference/process/framing.h"

namespace crossval::llama_adapter {

class Wire {
 public:
  /// The descriptors stay the caller's.
  Wire(int in, int out);

  /// The next request; nothing at the end of the stream. Throws Stream, FramingError or nlohmann's parse
  /// error.
  std::optional<nlohmann::json> next();
  /// Throws Stream when nobody reads any more.
  void line(const nlohmann::json& answer);
  void values(std::span<const float> values);

 private:
  void write(const void* data, std::size_t size);

  int out_;
  Framing framing_;
};

/// `key` or its twin `key_b64`, which wins. Throws Input when both are missing or the twin is no base64.
std::string text_of(const nlohmann::json& request, const std::string& key);
/// Sets `key`, or the twin where the text is no UTF-8.
void put_text(nlohmann::json& answer, const std::string& key, const std::string& text);

}  // namespace crossval::llama_adapter
