#pragma once
// Where two sides part: every operation of either side is held to a third party that is fed this side's own
// inputs, so an error that was merely passed on is told from one that was made.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "crossval/locate/explain.h"
#include "crossval/locate/flipped_weights.h"
#include "crossval/run/session.h"

namespace crossval {

/// One tap of one step: what either side's operation added, and how far the sides were apart after it.
struct TapErrors {
  TapId tap;
  std::optional<Comparison> candidate;  // local, on its own inputs
  std::optional<Comparison> reference;  // likewise
  Comparison free;                      // local and inherited together
};

struct Location {
  std::string case_id;
  std::string evaluator;  // who evaluated the operations: "emulator", "oracle"
  std::int64_t step = 0;
  std::vector<TapErrors> taps;  // of this step, in canonical order

  /// The first operation that broke its bound; none: every operation holds, and what differs is inherited
  /// from roundings within the bounds.
  struct Guilty {
    Blame blame{};
    TapId tap;
    std::int64_t row = 0;               // within the step
    std::string why;                    // "cosine 0.93 < 0.99999"
    std::vector<std::int64_t> columns;  // the only ones that differ, where they are few
    std::optional<Explanation> explanation;
    std::vector<WrongWeight> weights;
  };
  std::optional<Guilty> guilty;
};

/// Feeds the tokens of a case, step by step, until an operation breaks its bound or no step is left. `until`
/// is the tap that is known to be wrong by the last step: later layers are left out. Throws what participants
/// throw.
Location locate(Session& session, const GateSet& gates, const std::string& case_id,
                const std::vector<std::vector<Token>>& steps, std::optional<TapId> until = {});

/// "differs as if the gate went through SiLU instead of ReLU²: 0 bits left in 768 values",
/// "blk.3.attn_q.weight [11, 37] is 1 too great", ...; empty where nothing is known.
std::string likeness_of(const Location::Guilty& guilty);
/// As the summary record has it.
nlohmann::json to_json(const Location& location);

}  // namespace crossval
