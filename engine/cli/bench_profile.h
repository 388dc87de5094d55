#pragma once
// What `bitnet bench --profile` prints.

#include <nlohmann/json.hpp>
#include <ostream>
#include <string_view>

#include "engine/cli/bench.h"

namespace bitnet {

/// A table of the kinds of work that were done, most time first; `tokens` is how many the phase evaluated.
void print_profile(std::ostream& out, std::string_view phase, const PhaseProfile& profile,
                   std::int64_t tokens, const Limits& limits);
nlohmann::json to_json(const PhaseProfile& profile, std::int64_t tokens, const Limits& limits);

void print_limits(std::ostream& out, const Limits& limits);
nlohmann::json to_json(const Limits& limits);

}  // namespace bitnet
