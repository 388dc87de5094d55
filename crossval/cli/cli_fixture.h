#pragma once
// The command as its users run it, for tests: through a shell, its exit code, output and files looked at.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "crossval/run/test_records.h"

namespace crossval::test {

namespace fs = std::filesystem;
using nlohmann::json;

inline const std::string kRoot = CROSSVAL_SOURCE_DIR;
inline const std::string kModel = kRoot + "/fixtures/model/bundled.gguf";
inline const std::string kSmoke = kRoot + "/fixtures/suites/smoke.json";

struct Result {
  int exit_code = -1;
  std::string output;  // stdout and stderr together
};

// Through a shell, so that limits, pipes and variables can be set in front.
inline Result shell(const std::string& command) {
  Result result;
  FILE* pipe = ::popen(("{ " + command + " ; } 2>&1").c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    result.output.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  // A signal is never an answer: 1000 and up stands for one.
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  return result;
}

class Cli : public testing::Test {
 protected:
  void SetUp() override {
    // `auto` means the same whether an adapter was built or not.
    ::setenv("CROSSVAL_LLAMA_ADAPTER", "none", 1);
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '-');
    folder_ = fs::path(testing::TempDir()) / ("cli-" + name);
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Result crossval(const std::string& arguments, const std::string& before = "") {
    return shell(before + " " CROSSVAL_BINARY " " + arguments);
  }
  std::string main_job(const std::string& out) const {
    return "--model " + kModel + " --prompts " + kSmoke + " --out " + path(out) + " --quiet";
  }
  std::vector<json> records(const std::string& out) const { return crossval::records(folder_ / out); }
  // Everything but what names the machine and the time.
  std::string figures(const std::string& out) const {
    std::string text;
    for (const json& r : records(out))
      if (r["type"] != "run" && r["type"] != "perf") text += r.dump() + "\n";
    return text;
  }

  fs::path folder_;
};

}  // namespace crossval::test
