#pragma once
// What a command says of itself: its subcommands, options and their help, taken from CLI11, for the manual
// page and for completion in shells.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace bitnet::about {

/// Values that CLI11 does not know of, by the option's name ("--isa") or by what its value is called
/// ("PARTICIPANT").
using KnownValues = std::map<std::string, std::vector<std::string>, std::less<>>;

/// An option, a flag, or an argument that has no name.
struct Argument {
  std::vector<std::string> names;    // "-h", "--help"; none where its place says what it is
  std::string value;                 // what the value is called: "FILE"; of a flag empty
  std::vector<std::string> choices;  // the values there are, where they can be listed
  std::string help;
  bool required = false;
  bool several = false;  // may be given more than once

  bool is_flag() const { return !names.empty() && value.empty(); }
};

struct Command {
  std::string name;
  std::string help;
  std::vector<Argument> arguments;
  std::vector<Command> subcommands;
};

/// The whole tree under `app`, without what CLI11 hides.
Command command_tree(const CLI::App& app, std::string_view name, const KnownValues& known);

/// The subcommand of that name, or null.
const Command* find_subcommand(const Command& command, std::string_view name);
/// The option of that name ("--model"), or null.
const Argument* find_option(const Command& command, std::string_view name);

}  // namespace bitnet::about
