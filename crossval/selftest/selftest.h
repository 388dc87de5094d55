#pragma once
// Proof that we would notice: every fault of the catalogue planted on either side, and clean runs that must
// raise no alarm.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace crossval {

struct SelftestOptions {
  std::filesystem::path out = "crossval-selftest";
  std::string filter = "*";  // glob on the faults' names
  bool clean_runs = true;
  int threads = 0;  // of each participant, in the runs with faults
  bool quiet = false;
};

/// One fault planted on one side.
struct Detection {
  std::string fault;
  std::string mistake;
  std::string precedent;
  std::string planted_on;  // "candidate", "reference"
  std::string expected;    // the operation to be blamed, or "tokens"
  std::string verdict;     // of the run
  std::string who;         // "candidate wrong", ..., "" where nobody was named
  std::string operation;
  std::int64_t step = -1;
  std::string likeness;  // what it was found to look like
  bool detected() const { return verdict != "PASS"; }
  bool side_ok() const { return who == planted_on + " wrong"; }
  bool operation_ok() const { return side_ok() && operation == expected; }
};

/// A run without a fault.
struct CleanRun {
  std::string what;  // "bundled, engine:isa=avx2,threads=2 against oracle, 8 tokens per evaluation"
  std::string verdict;
  std::string headline;
};

struct SelftestResult {
  std::vector<Detection> detections;
  std::vector<CleanRun> clean;
  double seconds = 0;

  std::int64_t detected() const;
  std::int64_t side_ok() const;
  std::int64_t operation_ok() const;
  std::int64_t false_alarms() const;
  /// All detected and blamed on the right side, at least 95 % on the exact operation, no alarm.
  bool pass() const;
};

/// Runs it and writes selftest.json, selftest.md and index.html into `out`. Throws InputError where the
/// bundled files are not found or `out` is something else, SystemError when results cannot be written.
SelftestResult selftest(const SelftestOptions& options);

/// As selftest.json has it.
nlohmann::json to_json(const SelftestResult& result);

}  // namespace crossval
