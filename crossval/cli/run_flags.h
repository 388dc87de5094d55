#pragma once
// Flags that several commands have.

#include <CLI/CLI.hpp>
#include <string>

#include "crossval/run/options.h"

namespace crossval {

// Flags are text until the command runs, so that a wrong value is an InputError of ours, in our words.
struct Flags {
  RunOptions run;
  std::string tokens_from = "reference";
  std::string shard;  // empty: not given
  std::string values = "full";

  /// Without --shard the part is the one that `environment` asks for, where that is looked at. Throws
  /// InputError.
  RunOptions checked(const Environment& environment = {});
};

void add_model_and_suite(CLI::App& command, Flags& flags);
void add_selection(CLI::App& command, Flags& flags);
void add_evaluation(CLI::App& command, Flags& flags);
/// Candidate, reference, its model, arbiter, gates, whose tokens, faults.
void add_sides(CLI::App& command, Flags& flags);

}  // namespace crossval
