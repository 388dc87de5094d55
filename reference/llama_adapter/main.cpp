// crossval-llama-adapter: bitnet.cpp, ik_llama.cpp or llama.cpp, whichever it was compiled against, as a
// participant that crossval drives over its standard input and output.

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include "reference/llama_adapter/library_log.h"
#include "reference/llama_adapter/probes.h"
#include "reference/llama_adapter/protocol.h"

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
    LibraryLog log;
    start_library();
    Wire wire(STDIN_FILENO, out);
    Protocol(wire, library_details(), library_build(), log).serve();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crossval-llama-adapter: %s\n", error.what());
    return 4;
  }
  return 0;
}
