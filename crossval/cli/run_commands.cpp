// `run`, `record`, `list`: the commands that take a model or a suite.

#include <iostream>
#include <memory>

#include "crossval/cli/commands.h"
#include "crossval/cli/run_flags.h"
#include "crossval/records/record_file.h"
#include "crossval/run/noise_gates.h"
#include "crossval/run/progress.h"
#include "crossval/run/record.h"
#include "crossval/run/run.h"
#include "engine/error.h"
#include "reports/aggregate.h"
#include "reports/escape.h"
#include "reports/failure_text.h"

namespace crossval {
namespace {

// Bazel names the file in which it looks for a test's results.
void hand_over(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing, error);
  if (error)
    throw bitnet::SystemError(to.string() + ": cannot be written: " + error.message() +
                              "; XML_OUTPUT_FILE names it");
}

// What failed first, in full.
void print_failure(const std::filesystem::path& out) {
  const reports::Report report = reports::aggregate(out / "results.jsonl");
  for (const std::string& line : reports::first_failure_lines(report))
    std::cout << "  " << reports::escape_terminal(line) << "\n";
  if (const std::string command = reports::first_reproduce_command(report); !command.empty())
    std::cout << "  reproduce: " << reports::escape_terminal(command) << "\n";
}

}  // namespace

void add_run(CLI::App& app, Outcome& outcome, const std::string& command_line) {
  CLI::App* command =
      app.add_subcommand("run", "compare a candidate with a reference in lockstep over a suite");
  auto flags = std::make_shared<Flags>();
  flags->run.command_line = command_line;
  add_model_and_suite(*command, *flags);
  add_selection(*command, *flags);
  add_evaluation(*command, *flags);
  RunOptions& run_flags = flags->run;
  command->add_option("--out", run_flags.out, "folder of the report")->type_name("DIR");
  add_sides(*command, *flags);
  command
      ->add_option("--baseline", run_flags.baseline,
                   "hold accuracy and speed against this file (crossval.baseline/1); worse is a failure")
      ->type_name("FILE");
  command->add_flag("--update-baseline", run_flags.update_baseline, "write the baseline from this run");
  command->add_flag("--resume", run_flags.resume, "finish an interrupted run in --out");
  command->callback([flags, command, &outcome] {
    const Environment environment = process_environment();
    if (const auto folder = environment("TEST_UNDECLARED_OUTPUTS_DIR"); folder && !command->count("--out"))
      flags->run.out = std::filesystem::path(*folder) / flags->run.out;
    const RunResult result = run(flags->checked(environment));
    const auto& out = flags->run.out;
    if (const auto file = environment("XML_OUTPUT_FILE"); file && !file->empty())
      hand_over(out / "junit.xml", *file);
    std::cout << reports::escape_terminal(result.claim) << "\n"
              << reports::escape_terminal(result.headline) << "\n";
    if (result.verdict == Verdict::fail) print_failure(out);
    std::cout << "report: " << (out / "index.html").string() << "\n";
    if (result.located.contains("bundle"))
      std::cout << "without the model: crossval replay "
                << reports::shell_quote((out / result.located["bundle"].get<std::string>()).string()) << "\n";
    outcome.exit_code = static_cast<int>(exit_code(result.verdict));
  });
}

void add_record(CLI::App& app, Outcome& outcome, const std::string& command_line) {
  CLI::App* command =
      app.add_subcommand("record", "save every tap and the logits of one participant as a trace");
  auto flags = std::make_shared<Flags>();
  flags->run.command_line = command_line;
  add_model_and_suite(*command, *flags);
  add_selection(*command, *flags);
  add_evaluation(*command, *flags);
  auto references = std::make_shared<std::vector<std::string>>();
  command
      ->add_option("--reference", *references, "participant to record; with --noise further builds of it too")
      ->required()
      ->type_name("PARTICIPANT");
  command->add_option("--values", flags->values,
                      "what is kept of each row: full, or sha256 (and the values of each step's last row of "
                      "l_out, result_norm and result_output)");
  auto noise = std::make_shared<bool>(false);
  command->add_flag(
      "--noise", *noise,
      "measure how far the reference is from itself (batches, threads, builds) and write gates");
  command->add_option("--out", flags->run.out, "the trace, a safetensors file; with --noise the gates file")
      ->required()
      ->type_name("FILE");
  command->callback([flags, references, noise, &outcome] {
    flags->run.reference = references->front();
    const std::vector<std::string> builds(references->begin() + 1, references->end());
    if (*noise) {
      record_noise(flags->checked(), builds);
    } else {
      if (!builds.empty())
        throw bitnet::InputError("--reference: only one participant is recorded; several are for --noise");
      record(flags->checked());
    }
    std::cout << (*noise ? "gates: " : "trace: ") << flags->run.out.string() << "\n";
    outcome.exit_code = 0;
  });
}

namespace {

nlohmann::json plan_record(const Suite& suite, const RunOptions& options, const Selection& selection) {
  nlohmann::json ids = nlohmann::json::array();
  for (const Case& c : selection.cases) ids.push_back(c.id);
  nlohmann::json record = {{"schema", "crossval.plan/1"},
                           {"suite", {{"sha256", suite.sha256}, {"cases", suite.cases.size()}}},
                           {"filter", options.filter},
                           {"shard", to_json(options.shard)},
                           {"plan", {{"cases", selection.planned}, {"sha256", selection.sha256}}},
                           {"cases", ids}};
  put_text(record["suite"], "path", suite.path);
  return record;
}

}  // namespace

void add_list(CLI::App& app, Outcome& outcome) {
  CLI::App* command = app.add_subcommand("list", "print the plan: the ids of the cases, one per line");
  auto flags = std::make_shared<Flags>();
  command->add_option("--prompts", flags->run.prompts, "suite of prompts")->required()->type_name("FILE");
  add_selection(*command, *flags);
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "ids as they are, with the hashes of suite and plan");
  command->callback([flags, as_json, &outcome] {
    const RunOptions options = flags->checked(process_environment());
    const Suite suite = load_suite(options.prompts);
    const Selection selection = select_cases(suite, options.filter, options.shard);
    if (*as_json)
      std::cout << line_of(plan_record(suite, options, selection));
    else
      for (const Case& c : selection.cases) std::cout << reports::escape_terminal(c.id) << "\n";
    if (options.shard.count > 1 && flags->shard.empty()) say({describe(options.shard, selection)});
    outcome.exit_code = 0;
  });
}

}  // namespace crossval
