#include "crossval/run/shard.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "engine/error.h"

namespace crossval {
namespace {

using Variables = std::map<std::string, std::string>;

Environment of(Variables variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  };
}

std::string refusal(const Variables& variables) {
  try {
    return "took " + to_string(shard_from(of(variables)));
  } catch (const bitnet::InputError& e) {
    return e.what();
  }
}

TEST(Shard, IsTakenFromWhoeverAsks) {
  const struct {
    Variables variables;
    const char* shard;
    const char* from;
  } kAsked[] = {
      {{}, "0/1", ""},
      {{{"GTEST_TOTAL_SHARDS", "4"}, {"GTEST_SHARD_INDEX", "3"}}, "3/4", "GTEST_SHARD_INDEX"},
      {{{"TEST_TOTAL_SHARDS", "2"}, {"TEST_SHARD_INDEX", "0"}}, "0/2", "TEST_SHARD_INDEX"},
      // Bazel's script exports both.
      {{{"TEST_TOTAL_SHARDS", "2"},
        {"TEST_SHARD_INDEX", "1"},
        {"GTEST_TOTAL_SHARDS", "2"},
        {"GTEST_SHARD_INDEX", "1"}},
       "1/2",
       "GTEST_SHARD_INDEX"},
      {{{"TEST_TOTAL_SHARDS", "0"}, {"TEST_SHARD_INDEX", "0"}}, "0/1", ""},
      {{{"SLURM_ARRAY_TASK_ID", "3"},
        {"SLURM_ARRAY_TASK_COUNT", "4"},
        {"SLURM_ARRAY_TASK_MIN", "0"},
        {"SLURM_ARRAY_TASK_MAX", "3"}},
       "3/4",
       "SLURM_ARRAY_TASK_ID"},
      {{{"SLURM_ARRAY_TASK_ID", "20"},
        {"SLURM_ARRAY_TASK_COUNT", "4"},
        {"SLURM_ARRAY_TASK_MIN", "10"},
        {"SLURM_ARRAY_TASK_MAX", "40"},
        {"SLURM_ARRAY_TASK_STEP", "10"}},
       "1/4",
       "SLURM_ARRAY_TASK_ID"},
      {{{"JOB_COMPLETION_INDEX", "7"}, {"JOB_COMPLETIONS", "8"}}, "7/8", "JOB_COMPLETION_INDEX"},
      {{{"CI_NODE_INDEX", "1"}, {"CI_NODE_TOTAL", "3"}}, "0/3", "CI_NODE_INDEX"},
      {{{"CI_NODE_INDEX", "3"}, {"CI_NODE_TOTAL", "3"}}, "2/3", "CI_NODE_INDEX"},
      {{{"CI_NODE_TOTAL", "1"}}, "0/1", ""},  // a job that is not parallel
      {{{"CI_NODE_INDEX", ""}, {"CI_NODE_TOTAL", ""}}, "0/1", ""},
  };
  for (const auto& [variables, shard, from] : kAsked) {
    const Shard taken = shard_from(of(variables));
    EXPECT_EQ(to_string(taken), shard) << from;
    EXPECT_EQ(taken.from, from);
  }
}

TEST(Shard, AContradictionIsRefusedByName) {
  const std::pair<Variables, const char*> kRefused[] = {
      {{{"GTEST_TOTAL_SHARDS", "4"}, {"GTEST_SHARD_INDEX", "4"}}, "GTEST_SHARD_INDEX=4 is out of range"},
      {{{"GTEST_TOTAL_SHARDS", "4"}}, "GTEST_TOTAL_SHARDS is set, but not GTEST_SHARD_INDEX"},
      {{{"GTEST_TOTAL_SHARDS", "many"}, {"GTEST_SHARD_INDEX", "0"}}, "GTEST_TOTAL_SHARDS=many"},
      {{{"TEST_TOTAL_SHARDS", "2"}, {"TEST_SHARD_INDEX", "-1"}}, "TEST_SHARD_INDEX=-1"},
      {{{"CI_NODE_INDEX", "0"}, {"CI_NODE_TOTAL", "3"}}, "GitLab counts from 1"},
      {{{"CI_NODE_INDEX", "4"}, {"CI_NODE_TOTAL", "3"}}, "CI_NODE_INDEX=4 is out of range"},
      {{{"JOB_COMPLETION_INDEX", "1"}}, "JOB_COMPLETION_INDEX is set, but not JOB_COMPLETIONS"},
      {{{"JOB_COMPLETION_INDEX", "3"}, {"JOB_COMPLETIONS", "3"}}, "JOB_COMPLETION_INDEX=3 is out of range"},
      // --array=1,5,7
      {{{"SLURM_ARRAY_TASK_ID", "5"},
        {"SLURM_ARRAY_TASK_COUNT", "3"},
        {"SLURM_ARRAY_TASK_MIN", "1"},
        {"SLURM_ARRAY_TASK_MAX", "7"}},
       "not evenly spaced"},
      {{{"GTEST_TOTAL_SHARDS", "2"},
        {"GTEST_SHARD_INDEX", "1"},
        {"CI_NODE_INDEX", "1"},
        {"CI_NODE_TOTAL", "2"}},
       "GTEST_SHARD_INDEX asks for shard 1/2, CI_NODE_INDEX for 0/2"},
  };
  for (const auto& [variables, words] : kRefused) {
    const std::string said = refusal(variables);
    EXPECT_NE(said.find(words), std::string::npos) << words << "\n" << said;
    EXPECT_NE(said.find("--shard"), std::string::npos) << said;  // the mend
  }
}

TEST(Shard, FlagIsParsed) {
  EXPECT_EQ(to_string(parse_shard("2/5")), "2/5");
  EXPECT_EQ(parse_shard("2/5").from, "--shard");
  for (const char* wrong : {"", "/", "1", "1/", "/2", "2/2", "-1/2", "0/0", "1/2/3", "a/b", "0x1/2"})
    EXPECT_THROW(parse_shard(wrong), bitnet::InputError) << wrong;
}

TEST(Shard, TheStatusFileIsTouched) {
  const auto path = std::filesystem::path(testing::TempDir()) / "crossval-shard-status";
  for (const char* name : {"GTEST_SHARD_STATUS_FILE", "TEST_SHARD_STATUS_FILE"}) {
    std::filesystem::remove(path);
    acknowledge_shard(of({{name, path.string()}}));
    EXPECT_TRUE(std::filesystem::exists(path)) << name;
  }
  std::filesystem::remove(path);
  EXPECT_NO_THROW(acknowledge_shard(of({})));
  EXPECT_THROW(acknowledge_shard(of({{"TEST_SHARD_STATUS_FILE", "/nowhere/status"}})), bitnet::SystemError);
}

}  // namespace
}  // namespace crossval
