#pragma once
// One case in lockstep: the prompt, then one token after another, then the judgement of its answer.

#include <cstdint>
#include <optional>
#include <string>

#include "crossval/lockstep/lockstep.h"
#include "crossval/records/record_file.h"
#include "crossval/run/canary.h"
#include "crossval/run/options.h"
#include "crossval/run/plan.h"
#include "crossval/run/totals.h"
#include "crossval/verdict.h"

namespace crossval {

/// Where records go. Comparisons whose verdict hangs on self-noise not yet fully measured wait in `pending`,
/// in the order of their cases; everything else is written at once.
struct Sinks {
  RecordFile& results;
  RecordFile& pending;
  std::int64_t pending_records = 0;
};

class CaseRunner {
 public:
  CaseRunner(Lockstep& lockstep, Participant& candidate, const bitnet::Model& model, TokensFrom tokens_from,
             Sinks& sinks)
      : lockstep_(lockstep), candidate_(candidate), model_(model), tokens_from_(tokens_from), sinks_(sinks) {}

  struct Outcome {
    Tally tally;
    Verdict verdict = Verdict::pass;  // without what is still pending
    bool pending = false;
    nlohmann::json record;  // the case record as written
    std::string problem;    // why the case is INCOMPARABLE or INVALID
    nlohmann::json
        tokens_differ;  // {"who", "likeness"} where a side makes other ids of the prompt, else null
  };
  /// Released in the first step of its case; at once, where that has been before.
  void carry(const Canary& canary, bool due) {
    canary_ = canary;
    canary_due_ = due;
  }
  /// Whether the canary that was carried got out and was not caught.
  bool canary_missed() const { return canary_out_ && !canary_caught_; }

  /// Runs a case and writes its records. Participants' failures end the case, not the run; SystemError of the
  /// record file passes through.
  Outcome run(const PlannedCase& planned, Participant& reference);

 private:
  void write_comparisons(const PlannedCase& planned, std::int64_t step, const Lockstep::Step& result,
                         Outcome& outcome);
  void write_tokens(const PlannedCase& planned, std::int64_t step, std::span<const Token> fed,
                    const Lockstep::Step& result, Outcome& outcome);
  void write_canary(const std::string& id, const Comparison& c);
  void run_steps(const PlannedCase& planned, Outcome& outcome, std::string& answer,
                 std::vector<Token>& tokens);
  void write(nlohmann::json&& record, bool pending);

  Lockstep& lockstep_;
  Participant& candidate_;
  const bitnet::Model& model_;
  TokensFrom tokens_from_;
  Sinks& sinks_;
  std::optional<Canary> canary_;
  bool canary_due_ = false;  // its case has come
  bool canary_out_ = false;
  bool canary_caught_ = false;
};

/// The verdict of a case whose own comparisons failed `failed` times.
Verdict case_verdict(std::int64_t failed, std::int64_t flips_unexplained, bool expectation_met);

}  // namespace crossval
