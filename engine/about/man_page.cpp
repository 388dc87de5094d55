#include "engine/about/man_page.h"

#include <algorithm>
#include <cctype>

#include "engine/error.h"

namespace bitnet::about {
namespace {

// More choices than that are for completion alone.
constexpr std::size_t kChoicesListed = 12;

// Text as it is, whatever roff makes of its characters. Nothing of it begins a line.
std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string bold(std::string_view text) {
  return "\\fB" + escaped(text) + "\\fP";
}
std::string italic(std::string_view text) {
  return "\\fI" + escaped(text) + "\\fP";
}

// "-h, --help", "--model FILE", "DIR..."
std::string shown(const Argument& argument) {
  std::string out;
  for (const std::string& name : argument.names) out += (out.empty() ? "" : ", ") + bold(name);
  if (!argument.value.empty()) out += (out.empty() ? "" : " ") + italic(argument.value);
  return out;
}

void add_arguments(std::string& page, const Command& command) {
  for (const Argument& argument : command.arguments) {
    page += ".TP\n\\&" + shown(argument) + "\n\\&" + escaped(argument.help);
    if (!argument.choices.empty() && argument.choices.size() <= kChoicesListed) {
      page += argument.help.empty() ? "one of " : "; one of ";
      for (const std::string& choice : argument.choices)
        page += (&choice == &argument.choices.front() ? "" : ", ") + bold(choice);
    }
    if (argument.required) page += argument.help.empty() ? "required" : " (required)";
    page += "\n";
  }
}

void add_commands(std::string& page, const Command& root) {
  for (const Command& command : root.subcommands) {
    page += ".SS \"" + escaped(root.name) + " " + escaped(command.name) + "\"\n\\&" + escaped(command.help) +
            ".\n";
    add_arguments(page, command);
  }
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

}  // namespace

std::string man_page(const Command& command, std::string_view version, std::string_view sections) {
  constexpr std::string_view kMark = ".\\\" COMMANDS\n";
  const std::size_t mark = sections.find(kMark);
  if (mark == std::string_view::npos)
    throw InputError("the sections of the manual page have no line .\\\" COMMANDS");
  std::string page = ".\\\" Made from what the command says of itself.\n.TH " + upper(command.name) +
                     " 1 \"\" \"" + escaped(command.name) + " " + escaped(version) + "\" \"User Commands\"\n";
  page += ".SH NAME\n" + escaped(command.name) + " \\- " + escaped(command.help) + "\n";
  page += ".SH SYNOPSIS\n";
  for (const Command& subcommand : command.subcommands) {
    page += bold(command.name) + " " + bold(subcommand.name);
    for (const Argument& a : subcommand.arguments)
      if (a.required) page += " " + shown(a);
    const auto optional = [](const Argument& a) { return !a.required; };
    page += std::ranges::any_of(subcommand.arguments, optional) ? " [" + italic("OPTIONS") + "]\n.br\n"
                                                                : "\n.br\n";
  }
  page += sections.substr(0, mark);
  add_arguments(page, command);
  add_commands(page, command);
  page += sections.substr(mark + kMark.size());
  return page;
}

}  // namespace bitnet::about
