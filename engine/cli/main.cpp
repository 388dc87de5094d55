// The command `bitnet`.

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <new>

#include "engine/about/about.h"
#include "engine/cli/commands.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace {

// Exit codes are those of `crossval`: 2 for usage and bad input, 4 for what the machine failed to do.
constexpr int kUsage = 2;
constexpr int kInfrastructure = 4;

bitnet::about::KnownValues known_values() {
  return {{"--template", {"raw", "instruct", "llama3-chat", "bitnet-chat", "auto"}}};
}

int complain(const char* message, int code) {
  std::cerr << "bitnet: " << bitnet::gguf::printable_message(message) << "\n";
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App app("bitnet runs BitNet b1.58 models from GGUF files");
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  app.set_version_flag("--version", [] { return bitnet::about::version_text("bitnet"); });
  bitnet::add_run(app);
  bitnet::add_chat(app);
  bitnet::add_bench(app);
  bitnet::add_inspect(app);
  bitnet::add_synth(app);
  bitnet::add_convert(app);
  bitnet::add_quantize(app);
  bitnet::about::add_completion(app, "bitnet");
  try {
    if (const auto code = bitnet::about::answer_scripts(
            app, {.command = "bitnet", .bare = "", .known = known_values}, {argv + 1, argv + argc}))
      return *code;
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUsage;
  } catch (const bitnet::InputError& e) {
    return complain(e.what(), kUsage);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", kInfrastructure);
  } catch (const std::exception& e) {
    return complain(e.what(), kInfrastructure);
  }
}
