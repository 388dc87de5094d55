#pragma once
// The subcommand `replay`.

#include "crossval/cli/commands.h"

namespace crossval {

void add_replay(CLI::App& app, Outcome& outcome);

}  // namespace crossval
