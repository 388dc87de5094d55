#include "crossval/selftest/selftest.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>

#include "crossval/mistakes/catalogue.h"
#include "crossval/run/output.h"
#include "crossval/run/run.h"
#include "crossval/selftest/clean_runs.h"
#include "crossval/selftest/witness_models.h"
#include "engine/error.h"
#include "reports/atomic_file.h"
#include "reports/write_selftest.h"

namespace crossval {
namespace {

// A folder of its own, gone with the object.
class Scratch {
 public:
  Scratch()
      : path_(std::filesystem::temp_directory_path() / ("crossval-selftest-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::filesystem::path write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// No differing bit in any operation: for faults as small as a rounding, against a reference of the same
// arithmetic.
constexpr std::string_view kExactGates = R"({
  "schema": "crossval.gates/1",
  "gates": [
    {"name": "local.bits", "mode": "local", "metric": "bits", "taps": ["*"], "threshold": 0,
     "source": "engine and emulator have one arithmetic"}
  ]
})";

class Selftest {
 public:
  explicit Selftest(const SelftestOptions& options) : options_(options), models_(scratch_.path()) {
    suite_ = scratch_.write("witness.json", witness_suite());
    exact_gates_ = scratch_.write("exact-gates.json", kExactGates);
  }

  Detection plant(const CatalogueEntry& entry, bool in_reference) {
    RunOptions run = base();
    run.model = models_.path(entry.model);
    run.filter = entry.cases;
    run.reference_batch = entry.reference_batch;
    run.threads = options_.threads;
    if (entry.exact_gates) run.gates = exact_gates_;
    run.inject = (in_reference ? "reference:" : "") + entry.fault.name;
    const RunResult result = crossval::run(run);
    Detection d{.fault = entry.fault.name,
                .mistake = entry.fault.mistake,
                .precedent = entry.precedent,
                .planted_on = in_reference ? "reference" : "candidate",
                .expected = entry.blamed,
                .verdict = std::string(to_string(result.verdict)),
                .who = {},
                .operation = {},
                .likeness = {}};
    const auto text = [&](const char* key) {
      return result.located.contains(key) && result.located.at(key).is_string()
                 ? result.located.at(key).get<std::string>()
                 : std::string();
    };
    d.who = text("who");
    d.operation = text("tap");
    d.likeness = text("likeness");
    if (result.located.contains("step")) d.step = result.located.at("step");
    return d;
  }

  CleanRun clean(const CleanPlan& plan) {
    RunOptions run = base();
    run.model = models_.path(plan.model);
    run.filter = "first";
    run.candidate = plan.candidate;
    run.reference = plan.reference;
    run.reference_batch = plan.reference_batch;
    const RunResult result = crossval::run(run);
    return {.what = plan.model + ", " + plan.candidate + " against " + plan.reference + ", " +
                    std::to_string(plan.reference_batch) + " tokens per evaluation",
            .verdict = std::string(to_string(result.verdict)),
            .headline = result.headline};
  }

 private:
  RunOptions base() const {
    RunOptions run;
    run.prompts = suite_;
    run.out = scratch_.path() / "report";
    run.reference = "emulator:rope=own";
    run.quiet = run.silent = true;
    run.command_line = "crossval selftest";
    return run;
  }

  const SelftestOptions& options_;
  Scratch scratch_;
  WitnessModels models_;
  std::filesystem::path suite_, exact_gates_;
};

template <class T, class F>
std::int64_t count(const std::vector<T>& all, F&& holds) {
  return std::ranges::count_if(all, holds);
}

}  // namespace

std::int64_t SelftestResult::detected() const {
  return count(detections, [](auto& d) { return d.detected(); });
}
std::int64_t SelftestResult::side_ok() const {
  return count(detections, [](auto& d) { return d.side_ok(); });
}
std::int64_t SelftestResult::operation_ok() const {
  return count(detections, [](auto& d) { return d.operation_ok(); });
}
std::int64_t SelftestResult::false_alarms() const {
  return count(clean, [](auto& c) { return c.verdict != "PASS"; });
}

bool SelftestResult::pass() const {
  const auto all = std::ssize(detections);
  return all > 0 && detected() == all && side_ok() == all && 100 * operation_ok() >= 95 * all &&
         false_alarms() == 0;
}

nlohmann::json to_json(const SelftestResult& result) {
  nlohmann::json faults = nlohmann::json::array(), alarms = nlohmann::json::array();
  for (const Detection& d : result.detections)
    faults.push_back({{"name", d.fault},
                      {"mistake", d.mistake},
                      {"precedent", d.precedent},
                      {"planted_on", d.planted_on},
                      {"detected", d.detected()},
                      {"side_ok", d.side_ok()},
                      {"operation_ok", d.operation_ok()},
                      {"verdict", d.verdict},
                      {"who", d.who},
                      {"operation", d.operation},
                      {"expected", d.expected},
                      {"step", d.step},
                      {"likeness", d.likeness}});
  for (const CleanRun& c : result.clean)
    if (c.verdict != "PASS") alarms.push_back({{"run", c.what}, {"headline", c.headline}});
  return {{"schema", "crossval.selftest/1"},
          {"pass", result.pass()},
          {"faults", faults},
          {"planted", result.detections.size()},
          {"detected", result.detected()},
          {"side_ok", result.side_ok()},
          {"operation_ok", result.operation_ok()},
          {"clean_runs", result.clean.size()},
          {"false_alarms", result.false_alarms()},
          {"alarms", alarms},
          {"seconds", result.seconds}};
}

SelftestResult selftest(const SelftestOptions& options) {
  prepare_selftest_output(options.out);
  const auto start = std::chrono::steady_clock::now();
  Selftest test(options);
  SelftestResult result;
  const auto progress = [&](const std::string& what) {
    if (!options.quiet) std::cerr << "crossval selftest: " << what << "\n";
  };
  for (const CatalogueEntry& entry : catalogue()) {
    if (!matches_glob(options.filter, entry.fault.name)) continue;
    for (const bool in_reference : {false, true}) {
      result.detections.push_back(test.plant(entry, in_reference));
      const Detection& d = result.detections.back();
      if (!d.operation_ok())
        progress(d.fault + " on the " + d.planted_on + ": " + d.verdict + ", blamed " +
                 (d.who.empty() ? "nobody" : d.who + " in " + d.operation) + ", meant " + d.expected);
    }
  }
  if (result.detections.empty())
    throw bitnet::InputError("--filter " + options.filter.substr(0, 60) +
                             ": matches no fault; crossval selftest " + "--list names them");
  progress(std::to_string(result.detected()) + " of " + std::to_string(result.detections.size()) +
           " detected");
  if (options.clean_runs) {
    for (const CleanPlan& plan : clean_plans()) {
      result.clean.push_back(test.clean(plan));
      const CleanRun& run = result.clean.back();
      if (run.verdict != "PASS") progress("false alarm: " + run.what + ": " + run.headline);
    }
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const nlohmann::json record = to_json(result);
  const auto write = [&](const char* name, const std::string& text) {
    reports::AtomicFile file(options.out / name);
    file.write(text);
    file.commit();
  };
  write("selftest.json", record.dump(1) + "\n");
  write("selftest.md", reports::selftest_markdown(record));
  write("index.html", reports::selftest_html(record));
  return result;
}

}  // namespace crossval
