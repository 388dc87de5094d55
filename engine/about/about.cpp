#include "engine/about/about.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "engine/about/completion.h"
#include "engine/about/man_page.h"
#include "engine/error.h"
#include "engine/kernels/kernels.h"

namespace bitnet::about {
namespace {

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  if (!in) throw InputError(path + ": cannot be read");
  return out.str();
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernels* kernels : compiled_kernels()) names.emplace_back(kernels->name);
  return names;
}

}  // namespace

std::string version_text(std::string_view command) {
  std::string all, here;
  for (const Kernels* kernels : compiled_kernels()) {
    all += " " + std::string(kernels->name);
    if (supported(*kernels)) here += " " + std::string(kernels->name);
  }
  return std::string(command) + " " CROSSVAL_VERSION "\nbuild: " + std::string(build_id()) +
         ", " CROSSVAL_BUILD_TYPE "\ncompiler: " CROSSVAL_COMPILER "\nkernels:" + all +
         "; this machine runs" + here;
}

void add_completion(CLI::App& app, std::string_view command) {
  CLI::App* completion =
      app.add_subcommand("completion", "print the script that completes this command in a shell");
  auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "the shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  completion->callback(
      [shell, name = std::string(command)] { std::cout << completion_script(*shell, name); });
}

std::optional<int> answer_scripts(const CLI::App& app, const Shells& shells,
                                  const std::vector<std::string>& words) {
  if (words.empty() || (words[0] != "__complete" && words[0] != "__man")) return std::nullopt;
  KnownValues known = shells.known();
  known["--isa"] = kernel_names();
  const Command tree = command_tree(app, shells.command, known);
  if (words[0] == "__man") {
    if (words.size() != 2) throw InputError("__man: takes the file of the sections that are written by hand");
    std::cout << man_page(tree, CROSSVAL_VERSION, contents(words[1]));
  } else {
    std::cout << to_lines(candidates(tree, shells.bare, {words.begin() + 1, words.end()}));
  }
  return std::cout.flush() ? 0 : 4;
}

}  // namespace bitnet::about
