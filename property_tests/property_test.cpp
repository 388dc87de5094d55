// A property that is wrong fails, is shrunk, says how to run its case again, and is run again by itself.

#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace crossval {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string output;

  bool says(const std::string& part) const { return output.find(part) != std::string::npos; }
  /// The first group of what matches.
  std::string found(const std::string& pattern) const {
    std::smatch match;
    return std::regex_search(output, match, std::regex(pattern)) ? match[1].str() : "";
  }
};

/// Runs a line of a shell.
Outcome run(const std::string& line) {
  Outcome outcome;
  FILE* pipe = ::popen(("{ " + line + "; } 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char block[4096];
  for (std::size_t n = 0; (n = ::fread(block, 1, sizeof block, pipe)) > 0;) outcome.output.append(block, n);
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) outcome.status = WEXITSTATUS(status);
  return outcome;
}

/// Where the file of failed cases does not exist at first.
class Property : public testing::Test {
 protected:
  Property() { fs::remove(file_); }
  ~Property() override { fs::remove(file_); }

  Outcome planted(const std::string& property, const std::string& environment) const {
    return run("CROSSVAL_REPLAY='" + file_.string() + "' " + environment + " " + PLANTED_FAULTS +
               " --gtest_filter=Planted." + property);
  }
  std::string kept() const {
    std::ifstream file(file_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// The case that a failure ends with.
  static std::string case_of(const Outcome& outcome) { return outcome.found("\n(\\{\\{[^\n]*u\\})\n"); }

  fs::path file_ = fs::path(testing::TempDir()) / ("failures-" + std::to_string(::getpid()));
};

TEST_F(Property, ThatIsWrongIsShrunkAndSaysHowToRunItAgain) {
  const Outcome first = planted("a_wrong_bit", "RC_PARAMS=seed=1");
  EXPECT_EQ(first.status, 1) << first.output;
  EXPECT_TRUE(first.says("Falsifiable after")) << first.output;
  EXPECT_TRUE(first.says("y: 1 of 37 differ, first at 36")) << first.output;
  const std::string smallest = case_of(first);
  EXPECT_TRUE(smallest.starts_with("{{37, 0, 0, 0}, Values::ordinary, Edge::end, ")) << first.output;
  const std::string line = first.found("\nRun it again: ([^\n]*)\n");
  ASSERT_TRUE(line.starts_with("RC_PARAMS=\"reproduce=")) << first.output;
  const Outcome again = run("CROSSVAL_REPLAY= " + line);
  EXPECT_EQ(again.status, 1) << again.output;
  EXPECT_EQ(case_of(again), smallest) << again.output;
  // It runs that case and no other, and that property and no other.
  EXPECT_EQ(run("PLANTED=none CROSSVAL_REPLAY= " + line).status,
            1);  // the case is none any more, and says so
  EXPECT_TRUE(run(line.substr(0, line.find(" --gtest_filter"))).says("3 tests, listed below")) << line;
}

TEST_F(Property, ThatFailedOnceIsRunAgainFirst) {
  const Outcome first = planted("a_wrong_bit", "RC_PARAMS=seed=1");
  const std::string one_line = kept();
  EXPECT_TRUE(std::regex_match(one_line, std::regex("Planted\\.a_wrong_bit reproduce=\\S+\n"))) << one_line;
  // No case of its own could find the fault again.
  const Outcome again = planted("a_wrong_bit", "RC_PARAMS='seed=2 max_success=1'");
  EXPECT_EQ(again.status, 1) << again.output;
  EXPECT_TRUE(again.says("A case of " + file_.string() + " fails again")) << again.output;
  EXPECT_EQ(case_of(again), case_of(first));
  EXPECT_EQ(kept(), one_line);
  const Outcome other = planted("nothing", "");
  EXPECT_EQ(other.status, 0) << other.output;
  EXPECT_TRUE(other.says("passed 1000 cases and 0 kept ones")) << other.output;
  const Outcome mended = planted("a_wrong_bit", "PLANTED=none RC_PARAMS=max_success=50");
  EXPECT_EQ(mended.status, 0) << mended.output;
  EXPECT_TRUE(mended.says("passed 50 cases and 1 kept ones")) << mended.output;
}

TEST_F(Property, OfAKernelThatFaultsFailsLikeOthers) {
  const Outcome first = planted("a_read_beyond", "RC_PARAMS=seed=1");
  EXPECT_EQ(first.status, 1) << first.output;
  EXPECT_TRUE(first.says("memory was touched that is nobody's")) << first.output;
  EXPECT_TRUE(case_of(first).starts_with("{{21, 0, 0, 0}, Values::ordinary, Edge::end, ")) << first.output;
  EXPECT_TRUE(kept().starts_with("Planted.a_read_beyond reproduce=")) << kept();
}

TEST_F(Property, ThatFailsNowAndThenFailsAndSaysSo) {
  const Outcome first = planted("a_fault_that_passes", "");
  EXPECT_EQ(first.status, 1) << first.output;
  EXPECT_TRUE(first.says("\nIt passes when run again")) << first.output;
  EXPECT_FALSE(planted("a_wrong_bit", "").says("It passes when run again"));
}

TEST_F(Property, WhoseFileIsDamagedFails) {
  std::ofstream(file_) << "Planted.nothing reproduce=?\n";
  EXPECT_EQ(planted("nothing", "").status, 1);
}

}  // namespace
}  // namespace crossval
