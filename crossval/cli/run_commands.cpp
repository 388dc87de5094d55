// `run`, `record`, `list`: the commands that take a model or a suite.

#include <iostream>
#include <memory>

#include "crossval/cli/commands.h"
#include "crossval/cli/run_flags.h"
#include "crossval/run/noise_gates.h"
#include "crossval/run/record.h"
#include "crossval/run/run.h"
#include "reports/escape.h"

namespace crossval {

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
  command->add_flag("--resume", run_flags.resume, "finish an interrupted run in --out");
  command->callback([flags, &outcome] {
    const RunResult result = run(flags->checked());
    const auto& out = flags->run.out;
    std::cout << result.claim << "\n"
              << reports::escape_terminal(result.headline) << "\n"
              << "report: " << (out / "index.html").string() << "\n";
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

void add_list(CLI::App& app, Outcome& outcome) {
  CLI::App* command = app.add_subcommand("list", "print the plan: the ids of the cases, one per line");
  auto flags = std::make_shared<Flags>();
  command->add_option("--prompts", flags->run.prompts, "suite of prompts")->required()->type_name("FILE");
  add_selection(*command, *flags);
  command->callback([flags, &outcome] {
    const RunOptions options = flags->checked();
    for (const Case& c : select_cases(load_suite(options.prompts), options.filter, options.shard))
      std::cout << reports::escape_terminal(c.id) << "\n";
    outcome.exit_code = 0;
  });
}

}  // namespace crossval
