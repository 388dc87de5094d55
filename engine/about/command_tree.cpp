#include "engine/about/command_tree.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace bitnet::about {
namespace {

// CLI11 writes a value's checks after its name: "INT:INT in [1 - 1024]", "TEXT:{biases,scales}".
std::string value_name(const std::string& type) {
  return type.substr(0, type.find(':'));
}

std::vector<std::string> listed_choices(const std::string& type) {
  std::vector<std::string> out;
  const std::size_t open = type.find(":{"), close = type.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return out;
  for (std::size_t at = open + 2; at < close;) {
    const std::size_t end = std::min(type.find(',', at), close);
    out.push_back(type.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::vector<std::string> choices_of(const Argument& argument, const std::string& type,
                                    const KnownValues& known) {
  for (const std::string& name : argument.names)
    if (const auto it = known.find(name); it != known.end()) return it->second;
  if (const auto it = known.find(argument.value); it != known.end()) return it->second;
  return listed_choices(type);
}

Argument argument_of(const CLI::Option& option, const KnownValues& known) {
  Argument out;
  for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
  const std::string type = option.get_type_name();
  // A flag takes no items, whatever its type is called.
  if (option.get_items_expected_max() > 0) out.value = type.empty() ? "VALUE" : value_name(type);
  if (out.names.empty() && out.value.empty()) out.value = option.get_name(true);
  out.choices = choices_of(out, type, known);
  out.help = option.get_description();
  out.required = option.get_required();
  out.several = option.get_items_expected_max() > 1;
  return out;
}

}  // namespace

Command command_tree(const CLI::App& app, std::string_view name, const KnownValues& known) {
  Command out{.name = std::string(name), .help = app.get_description(), .arguments = {}, .subcommands = {}};
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty()) out.arguments.push_back(argument_of(*option, known));
  for (const CLI::App* subcommand :
       app.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); }))
    out.subcommands.push_back(command_tree(*subcommand, subcommand->get_name(), known));
  return out;
}

const Command* find_subcommand(const Command& command, std::string_view name) {
  const auto it = std::ranges::find(command.subcommands, name, &Command::name);
  return it == command.subcommands.end() ? nullptr : &*it;
}

const Argument* find_option(const Command& command, std::string_view name) {
  const auto it = std::ranges::find_if(command.arguments, [&](const Argument& a) {
    return std::ranges::find(a.names, name) != a.names.end();
  });
  return it == command.arguments.end() ? nullptr : &*it;
}

}  // namespace bitnet::about
