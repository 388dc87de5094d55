#include "reference/llama_adapter/library_log.h"

#include <llama.h>

#include <cstdio>

namespace crossval::llama_adapter {

LibraryLog::LibraryLog() {
  llama_log_set(&LibraryLog::listen, this);
}

LibraryLog::~LibraryLog() {
  llama_log_set(nullptr, nullptr);
}

void LibraryLog::listen(ggml_log_level level, const char* text, void* log) {
  LibraryLog& self = *static_cast<LibraryLog*>(log);
  // Where a level for the rest of a line exists, it is none of these.
  if (level == GGML_LOG_LEVEL_DEBUG || level == GGML_LOG_LEVEL_INFO || level == GGML_LOG_LEVEL_WARN ||
      level == GGML_LOG_LEVEL_ERROR) {
    self.shown_ = level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR;
    self.kept_ = level == GGML_LOG_LEVEL_ERROR && self.error_.empty();
  }
  if (self.shown_) std::fputs(text, stderr);
  if (self.kept_) self.error_ += text;
}

}  // namespace crossval::llama_adapter
