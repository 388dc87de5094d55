#pragma once
// Which part of a suite this process runs, and who says so.

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace crossval {

struct Shard {
  std::int64_t index = 0;  // from 0
  std::int64_t count = 1;
  std::string from = {};  // who said so: "--shard", or the variable; empty where nobody did
};

/// As records have it.
nlohmann::json to_json(const Shard& shard);
/// "I/N", as --shard takes it.
std::string to_string(const Shard& shard);
/// "I/N", I counted from 0. Throws InputError.
Shard parse_shard(std::string_view text);

/// The value of a variable of the environment; none where it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;
Environment process_environment();

/// The part that a test runner, a scheduler or a CI server asks for: GTEST_TOTAL_SHARDS, Bazel's
/// TEST_TOTAL_SHARDS, SLURM_ARRAY_TASK_*, JOB_COMPLETION_INDEX (Kubernetes, with JOB_COMPLETIONS),
/// CI_NODE_TOTAL (GitLab, counts from 1); the whole suite where none does. Several may say the same. Throws
/// InputError where one contradicts itself or another.
Shard shard_from(const Environment& environment);

/// Tells the test runner that its request is heeded: creates the files that GTEST_SHARD_STATUS_FILE and
/// TEST_SHARD_STATUS_FILE name. Throws SystemError.
void acknowledge_shard(const Environment& environment);

}  // namespace crossval
