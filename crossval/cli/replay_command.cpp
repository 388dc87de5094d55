#include "crossval/cli/replay_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "crossval/replay/replay.h"
#include "reports/escape.h"

namespace crossval {

void add_replay(CLI::App& app, Outcome& outcome) {
  struct Options {
    std::string bundle, isa;
    bool json = false;
  };
  CLI::App* command = app.add_subcommand(
      "replay",
      "compute one failed comparison again from its bundle; neither model nor participants are needed");
  auto options = std::make_shared<Options>();
  command->add_option("BUNDLE", options->bundle, "file below replay/ in the report of the run")
      ->required()
      ->type_name("FILE");
  command->add_option(
      "--isa", options->isa,
      "kernels of the engine: scalar, avx2, ... (default: those of the bundle, else the best)");
  command->add_flag("--json", options->json, "figures as JSON");
  command->callback([options, &outcome] {
    const Bundle bundle = open_bundle(options->bundle);
    const Replayed replayed = replay(bundle, options->isa);
    if (options->json) {
      std::cout << to_json(bundle, replayed).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                << "\n";
    } else {
      std::istringstream lines(text_of(bundle, replayed));
      for (std::string line; std::getline(lines, line);) std::cout << reports::escape_terminal(line) << "\n";
    }
    outcome.exit_code = static_cast<int>(exit_code(replayed.verdict));
  });
}

}  // namespace crossval
