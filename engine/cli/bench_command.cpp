// `bitnet bench`.

#include <chrono>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/cli/bench.h"
#include "engine/cli/bench_profile.h"
#include "engine/cli/commands.h"
#include "engine/cli/layout_flags.h"

namespace bitnet {
namespace {

struct Flags {
  std::string model;
  BenchOptions options;
  LayoutFlags layout;
  bool json = false;
};

void run(const Flags& flags) {
  const auto start = std::chrono::steady_clock::now();
  const Model model = Model::load(flags.model, {}, ternary_options(flags.layout));
  const double load = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const BenchOptions& o = flags.options;
  const BenchResult r = bench(model, o);
  const std::string_view head_type = type_name(model.weights().output.type());
  const std::int64_t prefilled = o.prompt_tokens * o.repetitions;
  const std::int64_t decoded = o.gen_tokens * o.sequences * o.repetitions;
  if (flags.json) {
    nlohmann::json out = {{"model", flags.model},
                          {"isa", r.isa},
                          {"threads", r.threads},
                          {"pinned", o.pin},
                          {"head", r.screened() ? "screened" : "full"},
                          {"head_type", head_type},
                          {"depth", o.depth},
                          {"sequences", o.sequences},
                          {"prefill", {{"tokens", o.prompt_tokens}, {"tok_s", r.prefill}}},
                          {"decode", {{"tokens", o.gen_tokens}, {"tok_s", r.decode}}},
                          {"load_s", load},
                          {"peak_rss_bytes", r.peak_rss_bytes}};
    if (!r.decode.empty()) out["decode"]["bytes_per_token"] = r.bytes_per_token(o.sequences);
    if (r.screened()) {
      out["screen"] = {{"survivors_per_token", r.survivors_per_token()},
                       {"tokens", r.head.tokens},
                       {"screened_tokens", r.head.screened},
                       {"bytes", r.head.screen_bytes},
                       {"make_s", r.head.screen_seconds}};
    }
    if (r.limits) out["limits"] = to_json(*r.limits);
    if (r.prefill_profile) out["profile"]["prefill"] = to_json(*r.prefill_profile, prefilled, *r.limits);
    if (r.decode_profile) out["profile"]["decode"] = to_json(*r.decode_profile, decoded, *r.limits);
    std::cout << out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return;
  }
  std::cout << std::fixed << std::setprecision(2) << "kernels " << r.isa << ", " << r.threads
            << " threads, loaded in " << load << " s, peak memory " << (r.peak_rss_bytes >> 20) << " MiB\n";
  if (!r.prefill.empty())
    std::cout << "prefill " << o.prompt_tokens << ": " << median(r.prefill) << " tokens/s (median of "
              << r.prefill.size() << ")\n";
  if (!r.decode.empty())
    std::cout << "decode " << o.gen_tokens << ": " << median(r.decode) << " tokens/s (median of "
              << r.decode.size() << "), " << r.bytes_per_token(o.sequences) / 1e6
              << " MB of weights read per token\n";
  if (r.screened())
    std::cout << head_type << " head screened: " << r.head.screened << " of " << r.head.tokens << " tokens, "
              << r.survivors_per_token() << " survivors each; screen of " << (r.head.screen_bytes >> 20)
              << " MiB made in " << r.head.screen_seconds << " s\n";
  else if (!r.decode.empty())
    std::cout << head_type << " head read in full\n";
  if (r.limits) print_limits(std::cout, *r.limits);
  if (r.prefill_profile) print_profile(std::cout, "prefill", *r.prefill_profile, prefilled, *r.limits);
  if (r.decode_profile) print_profile(std::cout, "decode", *r.decode_profile, decoded, *r.limits);
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "measure tokens per second");
  auto flags = std::make_shared<Flags>();
  BenchOptions& o = flags->options;
  command->add_option("--model", flags->model, "GGUF model")->required()->type_name("FILE");
  command->add_option("--threads", o.threads, "default: physical cores")->check(CLI::Range(1, 1024));
  command->add_flag("--pin", o.pin, "pin the threads to physical cores");
  command->add_option("--isa", o.isa, "scalar, avx2, ... (default: the best)");
  command->add_option("--prompt-tokens", o.prompt_tokens, "tokens of prefill; 0 = none")
      ->check(CLI::Range(0, 1 << 24));
  command->add_option("--gen-tokens", o.gen_tokens, "tokens to decode; 0 = none")
      ->check(CLI::Range(0, 1 << 24));
  command->add_option("--depth", o.depth, "tokens in the cache when decoding begins")
      ->check(CLI::Range(0, 1 << 24));
  command->add_option("--sequences", o.sequences, "sequences decoded side by side")
      ->check(CLI::Range(1, 4096));
  command->add_option("--repetitions", o.repetitions, "counted runs, after one to warm up")
      ->check(CLI::Range(1, 10000));
  command->add_flag("--full-head", o.full_head, "decode without the int8 screen of an F16 head");
  command->add_flag("--profile", o.profile, "what each kind of work costs, against the machine's limits");
  command->add_flag("--limits", o.limits, "measure the machine's limits too");
  add_layout_flags(command, flags->layout);
  command->add_flag("--json", flags->json, "JSON alone on stdout");
  command->callback([flags] { run(*flags); });
}

}  // namespace bitnet
