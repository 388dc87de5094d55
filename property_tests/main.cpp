// Runs the properties with at least the cases that ci/test promises, those that failed before first. What
// RC_PARAMS and CROSSVAL_REPLAY set stays.

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "property_tests/property.h"

int main(int argc, char** argv) {
  const char* given = std::getenv("RC_PARAMS");
  std::string parameters = given != nullptr ? given : "";
  if (parameters.find("max_success") == std::string::npos) {
    parameters += parameters.empty() ? "max_success=1000" : " max_success=1000";
    setenv("RC_PARAMS", parameters.c_str(), 1);
  }
  setenv(crossval::kReplayFile, (std::string(argv[0]) + ".failures").c_str(), 0);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
