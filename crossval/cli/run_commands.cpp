// `run`, `record`, `list`: the commands that take a model or a suite.

#include <iostream>
#include <memory>

#include "crossval/cli/commands.h"
#include "crossval/run/record.h"
#include "crossval/run/run.h"
#include "engine/error.h"
#include "reports/escape.h"

namespace crossval {
namespace {

// Flags are text until the command runs, so that a wrong value is an InputError of ours, in our words.
struct Flags {
  RunOptions run;
  std::string tokens_from = "reference";
  std::string shard = "0/1";
  std::string values = "full";

  RunOptions checked() {
    if (tokens_from == "reference")
      run.tokens_from = TokensFrom::reference;
    else if (tokens_from == "candidate")
      run.tokens_from = TokensFrom::candidate;
    else if (tokens_from == "suite")
      run.tokens_from = TokensFrom::suite;
    else
      throw bitnet::InputError("--tokens-from " + tokens_from + ": must be reference, candidate or suite");
    run.shard = parse_shard(shard);
    if (values == "sha256")
      run.trace_values = TraceValues::sha256;
    else if (values != "full")
      throw bitnet::InputError("--values " + values.substr(0, 60) + ": must be full or sha256");
    return run;
  }
};

void add_model_and_suite(CLI::App& command, Flags& flags) {
  command.add_option("--model", flags.run.model, "GGUF model under test")->required()->type_name("FILE");
  command
      .add_option("--prompts", flags.run.prompts,
                  "suite of prompts (crossval.suite/1 or an array of strings)")
      ->required()
      ->type_name("FILE");
}

void add_selection(CLI::App& command, Flags& flags) {
  command.add_option("--filter", flags.run.filter, "glob on case ids")->type_name("GLOB");
  command.add_option("--shard", flags.shard, "run the I-th of N parts of the suite, I from 0")
      ->type_name("I/N");
}

void add_evaluation(CLI::App& command, Flags& flags) {
  command.add_option("--taps", flags.run.taps, "all, none, or names and globs separated by commas")
      ->type_name("LIST");
  command
      .add_option("--max-tokens", flags.run.max_tokens,
                  "tokens to generate per case, instead of the suite's own")
      ->check(CLI::Range(0, 1 << 20));
  command
      .add_option("--reference-batch", flags.run.reference_batch,
                  "tokens per evaluation that the reference is given")
      ->check(CLI::Range(1, 1 << 20));
  command
      .add_option(
          "--threads", flags.run.threads,
          "threads per participant (default: the physical cores, shared by those who evaluate at once)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--isa", flags.run.isa, "kernels of the engine: scalar, avx2, ... (default: the best)");
  command
      .add_option("--timeout", flags.run.timeout,
                  "seconds that a participant's answer may take (exec, bitnet.cpp; default 120)")
      ->check(CLI::Range(0.01, 1e6))
      ->type_name("S");
  command.add_flag("--quiet", flags.run.quiet, "no progress on stderr");
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
  command->add_option("--candidate", run_flags.candidate, "participant under test")->type_name("PARTICIPANT");
  command->add_option("--reference", run_flags.reference, "participant it is held against")
      ->type_name("PARTICIPANT");
  command
      ->add_option("--reference-model", run_flags.reference_model,
                   "model of the reference (default: the same)")
      ->type_name("FILE");
  command
      ->add_option(
          "--arbiter", run_flags.arbiter,
          "who decides which side is wrong where a local gate fails: auto (the oracle, or who else is no "
          "side), none, oracle, emulator, engine")
      ->type_name("PARTICIPANT");
  command->add_option("--gates", run_flags.gates, "gates file (crossval.gates/1)")->type_name("FILE");
  command->add_option("--min-cosine", run_flags.min_cosine, "free-running limit of the default gates")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--tokens-from", flags->tokens_from,
                      "whose ids drive both sides: reference, candidate, suite");
  command->add_flag("--allow-other-model", run_flags.allow_other_model,
                    "hold against a trace that was recorded with another model or suite");
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
  command->add_option("--reference", flags->run.reference, "participant to record")
      ->required()
      ->type_name("PARTICIPANT");
  command->add_option("--values", flags->values,
                      "what is kept of each row: full, or sha256 (and the values of each step's last row of "
                      "l_out, result_norm and result_output)");
  command->add_option("--out", flags->run.out, "the trace, a safetensors file")
      ->required()
      ->type_name("FILE");
  command->callback([flags, &outcome] {
    record(flags->checked());
    std::cout << "trace: " << flags->run.out.string() << "\n";
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
