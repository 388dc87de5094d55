// `bitnet inspect`.

#include <iostream>
#include <memory>

#include "engine/cli/commands.h"
#include "engine/cli/inspect.h"
#include "engine/cli/layout_flags.h"
#include "engine/cli/repeated_input.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace bitnet {
namespace {

struct Flags {
  std::string model;
  std::int64_t steps = 32;
  bool header_only = false;
  LayoutFlags layout;
  std::string logits;
  bool json = false;
};

// A file that is no model we can run is described all the same; its checks say why.
std::optional<RepeatedInput> run_model(const Flags& flags, const gguf::TernaryOptions& ternary) {
  if (flags.steps == 0 || flags.header_only) return std::nullopt;
  try {
    return measure_repeated_input(Model::load(flags.model, {}, ternary), flags.steps);
  } catch (const InputError&) {
    return std::nullopt;
  }
}

void run(const Flags& flags) {
  const auto file = gguf::File::open(flags.model);
  LayoutFlags layout = flags.layout;
  std::optional<LayoutFinding> finding;
  if (layout.layout == "auto") {
    if (flags.header_only)
      throw InputError(
          "--layout auto: runs the model, for which --header-only leaves no weights; leave one out");
    finding = flags.logits.empty() ? find_layout(flags.model) : find_layout(flags.model, flags.logits);
    layout.layout = finding->layout ? to_string(*finding->layout) : "";
  }
  if (!flags.logits.empty() && !finding)
    throw InputError("--logits: is for --layout auto, which weighs layouts by it; give both");
  const gguf::TernaryOptions ternary = ternary_options(layout);
  const auto report = inspect(file, {.read_weights = !flags.header_only,
                                     .ternary = ternary,
                                     .layout = finding,
                                     .repeated_input = [&] { return run_model(flags, ternary); }});
  if (flags.json)
    std::cout << report.dump(2) << "\n";
  else
    std::cout << inspect_text(report);
  std::cout.flush();
  if (!sound(report))
    throw InputError(gguf::printable_message(flags.model) + ": checks: not all passed; see the report");
}

}  // namespace

void add_inspect(CLI::App& app) {
  CLI::App* command = app.add_subcommand("inspect", "show what is in a GGUF file, and check it");
  auto flags = std::make_shared<Flags>();
  command->add_option("--model", flags->model, "GGUF file")->required()->type_name("FILE");
  command
      ->add_option("--steps", flags->steps,
                   "greedy steps to count how often the model repeats its input token; 0 = do not run it")
      ->check(CLI::Range(0, 1 << 20));
  command->add_flag("--header-only", flags->header_only, "read no weights and do not run the model");
  add_layout_flags(command, flags->layout);
  command->get_option("--layout")
      ->description(
          "layout of I2_S where the file names none: x86, arm, 4-row, or auto: found by running the model");
  command
      ->add_option("--logits", flags->logits,
                   "with --layout auto: a trace of the same model (crossval record), to weigh layouts by its "
                   "logits and not by built-in sentences")
      ->type_name("FILE");
  command->add_flag("--json", flags->json, "JSON alone on stdout");
  command->callback([flags] { run(*flags); });
}

}  // namespace bitnet
