// `locate` and `selftest`: who is at fault, and whether we would notice.

#include <cstdio>
#include <iostream>
#include <memory>

#include "crossval/cli/commands.h"
#include "crossval/cli/run_flags.h"
#include "crossval/mistakes/catalogue.h"
#include "crossval/records/record_file.h"
#include "crossval/run/run.h"
#include "crossval/selftest/selftest.h"
#include "reports/escape.h"
#include "reports/failure_text.h"
#include "reports/write_selftest.h"

namespace crossval {
namespace {

using nlohmann::json;

json errors_json(const Location& location) {
  json taps = json::array();
  const auto figures = [](const std::optional<Comparison>& c) -> json {
    if (!c) return nullptr;
    return {{"cosine", json_number(c->worst.row.cosine)},
            {"nmse", json_number(c->worst.row.nmse)},
            {"norm_ratio", json_number(c->worst.row.norm_ratio)},
            {"bits", c->bits},
            {"pass", c->judgement.pass}};
  };
  for (const TapErrors& errors : location.taps)
    taps.push_back({{"tap", bitnet::to_string(errors.tap)},
                    {"candidate", figures(errors.candidate)},
                    {"reference", figures(errors.reference)},
                    {"inherited", figures(errors.free)}});
  return taps;
}

// The guilty layer operation by operation, of the others what the layer makes.
bool listed(const Location& location, const TapErrors& errors) {
  if (!bitnet::has_layer(errors.tap.tap)) return true;
  if (errors.tap.tap == bitnet::Tap::l_out) return true;
  return location.guilty && location.guilty->tap.layer == errors.tap.layer;
}

void print_errors(const Location& location) {
  std::cout << "NMSE at step " << location.step << " of case " << reports::escape_terminal(location.case_id)
            << ": what each operation adds to its own side's inputs (held against the " << location.evaluator
            << "), and how far the sides are apart after it; ! breaks its bound\n";
  std::printf("%-16s %14s %14s %14s\n", "tap", "candidate adds", "reference adds", "apart");
  const auto cell = [](const std::optional<Comparison>& c) {
    if (!c) return std::string("-");
    return (c->judgement.pass ? "" : "! ") + (c->bits == 0 ? "0" : reports::error_figure(c->worst.row.nmse));
  };
  for (const TapErrors& errors : location.taps) {
    if (!listed(location, errors)) continue;
    std::printf("%-16s %14s %14s %14s\n", bitnet::to_string(errors.tap).c_str(),
                cell(errors.candidate).c_str(), cell(errors.reference).c_str(), cell(errors.free).c_str());
  }
  std::fflush(stdout);
}

}  // namespace

void add_locate(CLI::App& app, Outcome& outcome, const std::string& command_line) {
  CLI::App* command = app.add_subcommand(
      "locate", "find the first operation at fault, on which side, and what known mistake it looks like");
  auto flags = std::make_shared<Flags>();
  auto as_json = std::make_shared<bool>(false);
  flags->run.command_line = command_line;
  flags->run.always_locate = true;
  add_model_and_suite(*command, *flags);
  add_selection(*command, *flags);
  add_evaluation(*command, *flags);
  add_sides(*command, *flags);
  command->add_option("--case", flags->run.filter, "the case to look at (default: the first that fails)")
      ->type_name("ID");
  command->add_option("--out", flags->run.out, "folder of the report")->type_name("DIR");
  command->add_flag("--json", *as_json, "figures of every operation as JSON");
  command->callback([flags, as_json, &outcome] {
    const RunResult result = run(flags->checked());
    if (*as_json) {
      json record = result.location ? to_json(*result.location) : result.located;
      if (record.is_null()) record = json::object();
      record["claim"] = result.claim;
      record["verdict"] = to_string(result.verdict);
      record["headline"] = result.headline;
      if (result.location) record["taps"] = errors_json(*result.location);
      std::cout << record.dump() << "\n";
    } else {
      std::cout << reports::escape_terminal(result.claim) << "\n"
                << reports::escape_terminal(result.headline) << "\n";
      if (result.location) print_errors(*result.location);
      if (result.location && !result.location->guilty)
        std::cout << "no operation breaks its bound on either side\n";
    }
    outcome.exit_code = static_cast<int>(exit_code(result.verdict));
  });
}

void add_selftest(CLI::App& app, Outcome& outcome) {
  CLI::App* command = app.add_subcommand(
      "selftest",
      "plant every fault of the catalogue on either side, and print which are noticed and blamed");
  auto options = std::make_shared<SelftestOptions>();
  auto list = std::make_shared<bool>(false);
  auto faults_only = std::make_shared<bool>(false);
  command->add_option("--out", options->out, "folder of selftest.json, selftest.md and index.html")
      ->type_name("DIR");
  command->add_option("--filter", options->filter, "glob on the names of faults")->type_name("GLOB");
  command->add_option("--threads", options->threads, "threads per participant")->check(CLI::Range(1, 1024));
  command->add_flag("--faults-only", *faults_only, "without the clean runs");
  command->add_flag("--list", *list, "print the catalogue and run nothing");
  command->add_flag("--quiet", options->quiet, "no progress on stderr");
  command->callback([options, list, faults_only, &outcome] {
    if (*list) {
      for (const CatalogueEntry& e : catalogue())
        std::printf("%-28s %-16s %s\n", e.fault.name.c_str(), e.blamed.c_str(), e.precedent.c_str());
      std::fflush(stdout);
      outcome.exit_code = 0;
      return;
    }
    options->clean_runs = !*faults_only;
    const SelftestResult result = selftest(*options);
    std::cout << reports::selftest_headline(to_json(result)) << "\n"
              << "report: " << (options->out / "index.html").string() << "\n";
    outcome.exit_code = static_cast<int>(result.pass() ? ExitCode::pass : ExitCode::fail);
  });
}

}  // namespace crossval
