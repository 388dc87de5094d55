#include "property_tests/property.h"

#include <errno.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace crossval {
namespace {

using Reproductions = std::unordered_map<std::string, rc::detail::Reproduce>;

/// RapidCheck's own says at the end of the program what is said here at once.
struct Silent : rc::detail::TestListener {
  void onTestCaseFinished(const rc::detail::CaseDescription&) override {}
  void onShrinkTried(const rc::detail::CaseDescription&, bool) override {}
  void onTestFinished(const rc::detail::TestMetadata&, const rc::detail::TestResult&) override {}
};

std::string replay_file() {
  const char* name = std::getenv(kReplayFile);
  return name != nullptr ? name : "";
}

/// What the file has for one property, as RC_PARAMS takes it.
std::vector<std::string> cases_of(const std::string& id, const std::string& file) {
  std::vector<std::string> cases;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(id + " ")) cases.push_back(line.substr(id.size() + 1));
  }
  return cases;
}

/// What is wrong, "" for nothing.
std::string failure_of(const rc::detail::TestResult& result) {
  if (result.is<rc::detail::SuccessResult>()) return {};
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  return text.str();
}

std::string parameters_of(const std::string& id, const rc::detail::Reproduce& reproduce) {
  rc::detail::Configuration configuration;
  configuration.reproduce = {{id, reproduce}};
  const std::string all = rc::detail::configToMinimalString(configuration);
  const std::size_t begin = all.find("reproduce=");
  return all.substr(begin, all.find(' ', begin) - begin);  // without a seed, which it draws anew
}

/// One line for a shell.
std::string run_again(const std::string& id, const std::string& parameters) {
  return "RC_PARAMS=\"" + parameters + "\" " + program_invocation_name + " --gtest_filter=" + id;
}

}  // namespace

void check_property(const rc::detail::Property& property) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string id = std::string(test->test_suite_name()) + "." + test->name();
  const rc::detail::TestMetadata metadata = {id, test->name()};
  const rc::detail::Configuration& configuration = rc::detail::configuration();
  Silent silent;
  const auto check = [&](const Reproductions& only) {
    return rc::detail::checkProperty(property, metadata, configuration.testParams, silent, only);
  };

  if (!configuration.reproduce.empty()) {
    if (!configuration.reproduce.contains(id))
      GTEST_SKIP() << "RC_PARAMS reproduces a case of another property";
    const std::string failure = failure_of(check(configuration.reproduce));
    if (!failure.empty()) FAIL() << failure;
    return;
  }

  const std::string file = replay_file();
  const std::vector<std::string> kept = cases_of(id, file);
  for (const std::string& parameters : kept) {
    const rc::detail::TestResult result = check(rc::detail::configFromString(parameters).reproduce);
    // An Error says that the case is none any more, or does not fail any more.
    if (!result.is<rc::detail::FailureResult>()) continue;
    FAIL() << "A case of " << file << " fails again: " << failure_of(result)
           << "\nRun it again: " << run_again(id, parameters);
  }

  const rc::detail::TestResult result = check({});
  const std::string failure = failure_of(result);
  if (failure.empty()) {
    const auto& success = result.get<rc::detail::SuccessResult>();
    if (!success.distribution.empty()) rc::detail::printResultMessage(success, std::cout);
    std::cout << id << ": passed " << success.numSuccess << " cases and " << kept.size() << " kept ones\n";
    return;
  }
  if (!result.is<rc::detail::FailureResult>()) FAIL() << failure;
  const rc::detail::Reproduce& reproduce = result.get<rc::detail::FailureResult>().reproduce;
  const std::string parameters = parameters_of(id, reproduce);
  if (!file.empty()) std::ofstream(file, std::ios::app) << id + " " + parameters + "\n";
  // RapidCheck describes a case by running it once more.
  const bool again = check({{id, reproduce}}).is<rc::detail::FailureResult>();
  FAIL() << failure
         << (again ? "" : "\nIt passes when run again: more than the case decides, threads or time.")
         << "\nRun it again: " << run_again(id, parameters);
}

}  // namespace crossval
