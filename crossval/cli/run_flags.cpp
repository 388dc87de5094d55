#include "crossval/cli/run_flags.h"

#include "engine/error.h"

namespace crossval {

RunOptions Flags::checked(const Environment& environment) {
  if (tokens_from == "reference")
    run.tokens_from = TokensFrom::reference;
  else if (tokens_from == "candidate")
    run.tokens_from = TokensFrom::candidate;
  else if (tokens_from == "suite")
    run.tokens_from = TokensFrom::suite;
  else
    throw bitnet::InputError("--tokens-from " + tokens_from + ": must be reference, candidate or suite");
  if (!shard.empty()) {
    run.shard = parse_shard(shard);
  } else if (environment) {
    run.shard = shard_from(environment);
    acknowledge_shard(environment);
  }
  if (values == "sha256")
    run.trace_values = TraceValues::sha256;
  else if (values != "full")
    throw bitnet::InputError("--values " + values.substr(0, 60) + ": must be full or sha256");
  return run;
}

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
  command
      .add_option("--shard", flags.shard,
                  "run the I-th of N parts of the suite, I from 0; without it, the part that GoogleTest, "
                  "Bazel, Slurm, Kubernetes or GitLab ask for by their variables (run, list)")
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

void add_sides(CLI::App& command, Flags& flags) {
  RunOptions& run_flags = flags.run;
  command.add_option("--candidate", run_flags.candidate, "participant under test")->type_name("PARTICIPANT");
  command.add_option("--reference", run_flags.reference, "participant it is held against")
      ->type_name("PARTICIPANT");
  command
      .add_option("--reference-model", run_flags.reference_model,
                  "model of the reference (default: the same)")
      ->type_name("FILE");
  command
      .add_option(
          "--arbiter", run_flags.arbiter,
          "who decides which side is wrong where a local gate fails: auto (the oracle, or who else is no "
          "side), none, oracle, emulator, engine")
      ->type_name("PARTICIPANT");
  command.add_option("--gates", run_flags.gates, "gates file (crossval.gates/1)")->type_name("FILE");
  command.add_option("--min-cosine", run_flags.min_cosine, "free-running limit of the default gates")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--tokens-from", flags.tokens_from,
                     "whose ids drive both sides: reference, candidate, suite");
  command.add_flag("--allow-other-model", run_flags.allow_other_model,
                   "hold against a trace that was recorded with another model or suite");
  command
      .add_option(
          "--inject", run_flags.inject,
          "plant a fault of the catalogue (crossval selftest --list) in the candidate; reference:NAME: in "
          "the reference")
      ->type_name("NAME");
}

}  // namespace crossval
