#pragma once
// What both commands offer beside their own subcommands: `--version`, completion in shells, their manual
// page.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/about/command_tree.h"

namespace bitnet::about {

/// Version, build (git's description of the sources, or what CROSSVAL_BUILD_ID gave), build type, compiler,
/// and the instruction sets that kernels were compiled for; those that this machine runs are named apart.
std::string version_text(std::string_view command);

/// Git's description of the sources this was built from, such as "d459314" or "v0.1.0-3-gd459314-dirty".
std::string_view build_id();

/// A command as shells and its manual page know it.
struct Shells {
  std::string_view command;  // its name
  std::string_view bare;     // the subcommand that a line of options alone stands for; none where empty
  KnownValues (*known)();    // values that CLI11 does not know of; those of `--isa` are added
};

/// Adds the subcommand `completion SHELL`, which prints a script.
void add_completion(CLI::App& app, std::string_view command);

/// Answers the words that only scripts use: `__complete WORDS...` for completion, `__man SECTIONS` for the
/// build. Returns the exit code where the line was one of these.
std::optional<int> answer_scripts(const CLI::App& app, const Shells& shells,
                                  const std::vector<std::string>& words);

}  // namespace bitnet::about
