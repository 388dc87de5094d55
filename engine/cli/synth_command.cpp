// `bitnet synth`.

#include <unistd.h>

#include <iostream>
#include <memory>

#include "engine/cli/commands.h"
#include "engine/cli/synth.h"

namespace bitnet {
namespace {

struct Flags {
  std::string preset;
  std::string type = "i2_s";
  std::uint64_t seed = 1;
  std::string out;
};

void run(const Flags& flags) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  synth(flags.preset, flags.type, flags.seed, flags.out, [&](std::uint64_t done, std::uint64_t total) {
    if (terminal && total > 0)
      std::cerr << "\r" << done * 100 / total << " % of " << (total >> 20) << " MiB" << std::flush;
  });
  if (terminal) std::cerr << "\r\033[K";
  std::cout << flags.out << "\n";
}

}  // namespace

void add_synth(CLI::App& app) {
  CLI::App* command = app.add_subcommand("synth", "write a random-weight model of true dimensions");
  auto flags = std::make_shared<Flags>();
  std::string names;
  for (const std::string& name : synth_presets()) names += (names.empty() ? "" : ", ") + name;
  command->add_option("--preset", flags->preset, "one of: " + names)->required();
  command->add_option("--type", flags->type, "type of the ternary weights");
  command->add_option("--seed", flags->seed, "the same seed gives the same bytes on every platform");
  command->add_option("--out", flags->out, "the file to write")->required()->type_name("FILE");
  command->callback([flags] { run(*flags); });
}

}  // namespace bitnet
