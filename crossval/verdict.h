#pragma once

#include <string_view>

#include "crossval/errors.h"

namespace crossval {

/// design.md 1. Ordered by weight: a run is as bad as its worst part.
enum class Verdict { pass, fail, incomparable, invalid };

inline std::string_view to_string(Verdict v) {
  switch (v) {
    case Verdict::pass:
      return "PASS";
    case Verdict::fail:
      return "FAIL";
    case Verdict::incomparable:
      return "INCOMPARABLE";
    case Verdict::invalid:
      return "INVALID";
  }
  return "INVALID";
}

inline ExitCode exit_code(Verdict v) {
  switch (v) {
    case Verdict::pass:
      return ExitCode::pass;
    case Verdict::fail:
      return ExitCode::fail;
    case Verdict::incomparable:
      return ExitCode::incomparable;
    case Verdict::invalid:
      return ExitCode::invalid;
  }
  return ExitCode::invalid;
}

inline Verdict worse(Verdict a, Verdict b) {
  return a > b ? a : b;
}

}  // namespace crossval
