#pragma once
// Locating, and the failure found cut down to a bundle.

#include <optional>
#include <string>
#include <vector>

#include "crossval/locate/locate.h"
#include "crossval/replay/bundle.h"

namespace crossval {

/// The failure of the guilty operation, to be replayed anywhere.
struct CutFailure {
  std::optional<Bundle> bundle;  // without `command`
  std::string why_not;           // why there is none
};

/// As `locate` in locate.h.
Location locate(Session& session, const GateSet& gates, const std::string& case_id,
                const std::vector<std::vector<Token>>& steps, std::optional<TapId> until, CutFailure& cut);

}  // namespace crossval
