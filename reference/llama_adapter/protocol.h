#pragma once
// The requests of PROTOCOL.md, answered with the user's library.

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "reference/llama_adapter/library_log.h"
#include "reference/llama_adapter/session.h"
#include "reference/llama_adapter/wire.h"

namespace crossval::llama_adapter {

class Protocol {
 public:
  /// `details`: what is known of the library before a model is loaded. Wire and log must outlive this.
  Protocol(Wire& wire, std::map<std::string, std::string> details, std::string build, LibraryLog& log)
      : wire_(&wire), log_(&log), details_(std::move(details)), build_(std::move(build)) {}

  /// Answers until `bye` or the end of the stream. Throws only when the stream itself fails.
  void serve();

 private:
  nlohmann::ordered_json answer(const nlohmann::json& request);
  nlohmann::ordered_json hello(const nlohmann::json& request) const;
  nlohmann::ordered_json load(const nlohmann::json& request);
  nlohmann::ordered_json tokenize(const nlohmann::json& request);
  nlohmann::ordered_json detokenize(const nlohmann::json& request);
  nlohmann::ordered_json eval(const nlohmann::json& request);
  Session& session();

  Wire* wire_;
  LibraryLog* log_;
  std::map<std::string, std::string> details_;
  std::string build_;
  std::unique_ptr<Session> session_;
};

}  // namespace crossval::llama_adapter
