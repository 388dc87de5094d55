#pragma once
// The folder of a run's results.

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace crossval {

/// Makes the folder ready: an earlier crossval report in it is removed (unless it is resumed), anything else
/// there is an InputError and stays untouched. Returns whether there is something to resume: a run that was
/// killed before its first record stood there left nothing.
bool prepare_output(const std::filesystem::path& out, bool resume);

/// The same for the folder of a selftest.
void prepare_selftest_output(const std::filesystem::path& out);

/// What an interrupted run left.
struct Earlier {
  nlohmann::json run;                 // its first record
  std::set<std::string> finished;     // ids of cases with a verdict
  std::vector<nlohmann::json> cases;  // their case records
  std::optional<bool> canary_caught;  // where one of them had the canary
};
/// Reads results.jsonl and rewrites it without the records of unfinished cases and without a broken last
/// line.
Earlier resume_output(const std::filesystem::path& out);

}  // namespace crossval
