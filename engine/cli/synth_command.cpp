// `bitnet synth`.

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <vector>

#include "engine/cli/commands.h"
#include "engine/cli/synth.h"

namespace bitnet {
namespace {

struct Flags {
  std::string preset;
  std::string type = "i2_s";
  std::string head_type;
  std::string architecture;
  std::uint32_t layers = 0;
  std::vector<std::string> with;
  std::uint64_t seed = 1;
  std::string out;
};

void run(const Flags& flags) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  SynthShape shape = synth_shape(flags.preset, flags.type, flags.head_type);
  if (!flags.architecture.empty()) shape.architecture = flags.architecture;
  if (flags.layers > 0) shape.n_layer = flags.layers;
  const auto with = [&](const char* name) { return std::ranges::find(flags.with, name) != flags.with.end(); };
  shape.biases = with("biases");
  shape.factors = with("scales");
  shape.rope_freqs = with("rope-freqs");
  synth(shape, flags.seed, flags.out, [&](std::uint64_t done, std::uint64_t total) {
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
  const auto one_of = [](const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "one of: " : ", ") + name;
    return list;
  };
  command->add_option("--preset", flags->preset, one_of(synth_presets()))->required();
  command->add_option("--type", flags->type, "type of the ternary weights");
  command->add_option(
      "--head-type", flags->head_type,
      "type of embedding and head (default: the preset's own), " + one_of(synth_head_types()));
  command->add_option("--arch", flags->architecture, "instead of the preset's own architecture");
  command->add_option("--layers", flags->layers, "instead of the preset's own number")
      ->check(CLI::Range(1, 1000));
  command->add_option("--with", flags->with, "tensors that a file may have: biases, scales, rope-freqs")
      ->check(CLI::IsMember({"biases", "scales", "rope-freqs"}))
      ->delimiter(',');
  command->add_option("--seed", flags->seed, "the same seed gives the same bytes on every platform");
  command->add_option("--out", flags->out, "the file to write")->required()->type_name("FILE");
  command->callback([flags] { run(*flags); });
}

}  // namespace bitnet
