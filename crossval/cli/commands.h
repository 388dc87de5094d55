#pragma once
// The subcommands of `crossval`. Each adds its flags and says what to do when it was chosen.

#include <CLI/CLI.hpp>
#include <string>

namespace crossval {

/// What the chosen subcommand returned.
struct Outcome {
  int exit_code = 0;
};

void add_run(CLI::App& app, Outcome& outcome, const std::string& command_line);
void add_record(CLI::App& app, Outcome& outcome, const std::string& command_line);
void add_list(CLI::App& app, Outcome& outcome);
void add_locate(CLI::App& app, Outcome& outcome, const std::string& command_line);
void add_selftest(CLI::App& app, Outcome& outcome);
void add_merge(CLI::App& app, Outcome& outcome);
void add_render(CLI::App& app, Outcome& outcome);
void add_verify_receipt(CLI::App& app, Outcome& outcome);
void add_doctor(CLI::App& app, Outcome& outcome);

}  // namespace crossval
