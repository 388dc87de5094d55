#pragma once
// How a run can end other than by its verdict. Each kind has its exit code (design.md 3).

#include "reference/errors.h"  // IWYU pragma: export

namespace crossval {

enum class ExitCode : int { pass = 0, fail = 1, usage = 2, incomparable = 3, invalid = 4 };

}  // namespace crossval
