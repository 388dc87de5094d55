#include "crossval/run/shard.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace crossval {
namespace {

using bitnet::InputError;

// How one of them says it. Its status file is touched to say that sharding was heeded.
struct Scheme {
  const char* who;
  const char* count;
  const char* index;
  std::int64_t first;       // the least index
  const char* status_file;  // or null
};

constexpr const char* kSlurmIndex = "SLURM_ARRAY_TASK_ID";
constexpr Scheme kSchemes[] = {
    {"GoogleTest", "GTEST_TOTAL_SHARDS", "GTEST_SHARD_INDEX", 0, "GTEST_SHARD_STATUS_FILE"},
    {"Bazel", "TEST_TOTAL_SHARDS", "TEST_SHARD_INDEX", 0, "TEST_SHARD_STATUS_FILE"},
    {"Slurm", "SLURM_ARRAY_TASK_COUNT", kSlurmIndex, 0, nullptr},
    {"Kubernetes", "JOB_COMPLETIONS", "JOB_COMPLETION_INDEX", 0, nullptr},
    {"GitLab", "CI_NODE_TOTAL", "CI_NODE_INDEX", 1, nullptr},
};
constexpr const char* kMend = "; set it right, or say --shard I/N (--shard 0/1 is the whole suite)";

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A variable that must be a number where it is set; set to nothing counts as not set.
std::optional<std::int64_t> number_of(const Environment& environment, const char* name) {
  const auto text = environment(name);
  if (!text || text->empty()) return std::nullopt;
  const auto value = number(*text);
  if (!value || *value < 0)
    throw InputError(std::string(name) + "=" + bitnet::gguf::printable(*text, 60) + ": is no count" + kMend);
  return value;
}

// The tasks of a Slurm array are numbered as the user likes: `--array=10-40:10` has 4, the second is 20.
std::int64_t slurm_index(const Environment& environment, std::int64_t task, std::int64_t count) {
  const std::int64_t least = number_of(environment, "SLURM_ARRAY_TASK_MIN").value_or(0);
  const std::int64_t greatest = number_of(environment, "SLURM_ARRAY_TASK_MAX").value_or(least + count - 1);
  const std::int64_t step = number_of(environment, "SLURM_ARRAY_TASK_STEP").value_or(1);
  if (step < 1 || greatest - least != (count - 1) * step || task < least || (task - least) % step != 0)
    throw InputError(std::string(kSlurmIndex) + "=" + std::to_string(task) + ": the array's " +
                     std::to_string(count) + " tasks from " + std::to_string(least) + " to " +
                     std::to_string(greatest) + " are not evenly spaced, so they number no shards" + kMend);
  return (task - least) / step;
}

std::optional<Shard> asked_by(const Scheme& scheme, const Environment& environment) {
  const auto count = number_of(environment, scheme.count);
  const auto index = number_of(environment, scheme.index);
  // Bazel counts 0 shards, GitLab 1 without an index, where a test is not sharded.
  if (!index && count.value_or(1) <= 1) return std::nullopt;
  if (count == 0 && index == 0) return std::nullopt;
  if (!index || !count)
    throw InputError(std::string(index ? scheme.index : scheme.count) + " is set, but not " +
                     (index ? scheme.count : scheme.index) + kMend);
  const std::int64_t place =
      scheme.index == kSlurmIndex ? slurm_index(environment, *index, *count) : *index - scheme.first;
  if (place < 0 || place >= *count)
    throw InputError(std::string(scheme.index) + "=" + std::to_string(*index) +
                     " is out of range: " + scheme.count + "=" + std::to_string(*count) + ", and " +
                     scheme.who + " counts from " + std::to_string(scheme.first) + kMend);
  if (*count == 1) return std::nullopt;
  return Shard{.index = place, .count = *count, .from = scheme.index};
}

}  // namespace

nlohmann::json to_json(const Shard& shard) {
  return {{"index", shard.index}, {"count", shard.count}, {"from", shard.from}};
}

std::string to_string(const Shard& shard) {
  return std::to_string(shard.index) + "/" + std::to_string(shard.count);
}

Shard parse_shard(std::string_view text) {
  const auto slash = text.find('/');
  const auto index = number(text.substr(0, slash));
  const auto count = slash == std::string_view::npos ? std::nullopt : number(text.substr(slash + 1));
  if (!index || !count || *count < 1 || *index < 0 || *index >= *count)
    throw InputError("--shard " + std::string(text.substr(0, 60)) +
                     ": must be I/N with 0 <= I < N, for example 0/4");
  return {.index = *index, .count = *count, .from = "--shard"};
}

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

Shard shard_from(const Environment& environment) {
  std::optional<Shard> chosen;
  for (const Scheme& scheme : kSchemes) {
    const auto shard = asked_by(scheme, environment);
    if (!shard) continue;
    if (chosen && (chosen->index != shard->index || chosen->count != shard->count))
      throw InputError(chosen->from + " asks for shard " + to_string(*chosen) + ", " + shard->from + " for " +
                       to_string(*shard) + "; say --shard I/N (--shard 0/1 is the whole suite)");
    if (!chosen) chosen = shard;
  }
  return chosen.value_or(Shard{});
}

void acknowledge_shard(const Environment& environment) {
  for (const Scheme& scheme : kSchemes) {
    if (!scheme.status_file) continue;
    const auto path = environment(scheme.status_file);
    if (!path || path->empty()) continue;
    if (!std::ofstream(*path, std::ios::app))
      throw bitnet::SystemError(bitnet::gguf::printable(*path, 300) + ": cannot be created; " +
                                scheme.status_file + " names it");
  }
}

}  // namespace crossval
