#pragma once
// A RapidCheck property as a GoogleTest. Cases that failed before are run first; a case that fails is shrunk,
// comes with the one line that runs it again, and is kept for the next time.

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace crossval {

/// Names the file of cases that failed: a line each, "Suite.Name reproduce=...". main.cpp sets it to the
/// program's own name and ".failures" where it is not set; an empty one means none.
inline constexpr const char* kReplayFile = "CROSSVAL_REPLAY";

/// Checks the property that the running test is about: the case that RC_PARAMS reproduces where it names one,
/// else those of the replay file and then as many new ones as RC_PARAMS wants.
void check_property(const rc::detail::Property& property);

}  // namespace crossval

#define CROSSVAL_PROPERTY(suite, name, arguments)                                     \
  void property_##suite##_##name arguments;                                           \
  TEST(suite, name) {                                                                 \
    ::crossval::check_property(::rc::detail::toProperty(&property_##suite##_##name)); \
  }                                                                                   \
  void property_##suite##_##name arguments
