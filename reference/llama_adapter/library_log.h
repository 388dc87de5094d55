#pragma once
// What the library prints: warnings and errors go to standard error, which crossval keeps; its chatter does
// not.

#include <ggml.h>

#include <string>

namespace crossval::llama_adapter {

/// Listens from its making on, for as long as the library is used.
class LibraryLog {
 public:
  LibraryLog();
  ~LibraryLog();
  LibraryLog(const LibraryLog&) = delete;
  LibraryLog& operator=(const LibraryLog&) = delete;

  void forget() { error_.clear(); }
  /// The first line of the first error since `forget`, where there was one: those that follow tell who was
  /// concerned, not what was wrong.
  std::string first_error() const { return error_.substr(0, error_.find('\n')); }

 private:
  static void listen(ggml_log_level level, const char* text, void* log);

  bool shown_ = false;  // whether the line at hand is, which may come in pieces
  bool kept_ = false;   // and whether it belongs to error_
  std::string error_;
};

}  // namespace crossval::llama_adapter
