// Runs the properties with at least the cases that ci/test promises. RC_PARAMS is respected: what it sets
// stays.

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
  const char* given = std::getenv("RC_PARAMS");
  std::string parameters = given != nullptr ? given : "";
  if (parameters.find("max_success") == std::string::npos) {
    parameters += parameters.empty() ? "max_success=1000" : " max_success=1000";
    setenv("RC_PARAMS", parameters.c_str(), 1);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
