// crossval-llama-adapter: bitnet.cpp, ik_llama.cpp or llama.cpp, whichever it was compiled against, as a
// participant that crossval drives over its standard input and output.

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include "reference/llama_adapter/api.h"
#include "reference/llama_adapter/probes.h"
#include "reference/llama_adapter/protocol.h"

namespace {

// What the library has to say goes to standard error, which crossval keeps; its chatter does not.
void log(ggml_log_level level, const char* text, void*) {
  static bool shown = false;  // a line may come in pieces
  if (level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR)
    shown = true;
  else if (level != GGML_LOG_LEVEL_CONT)
    shown = false;
  if (shown) std::fputs(text, stderr);
}

}  // namespace

int main() {
  using namespace crossval::llama_adapter;
  // Standard output belongs to the protocol; whoever prints to it from here on prints to standard error.
  const int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    std::perror("crossval-llama-adapter: moving standard output aside");
    return 4;
  }
  std::signal(SIGPIPE, SIG_IGN);
  try {
    llama_log_set(&log, nullptr);
    start_library();
    Wire wire(STDIN_FILENO, out);
    Protocol(wire, library_details(), library_build()).serve();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crossval-llama-adapter: %s\n", error.what());
    return 4;
  }
  return 0;
}
