#pragma once
// Which cases are run, with their token ids: everything that can be found wrong with the input is found here,
// before anything is run.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crossval/errors.h"
#include "crossval/run/shard.h"
#include "crossval/suite/suite.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

/// What is run of a suite, and the whole that it is a part of.
struct Selection {
  std::vector<Case> cases;   // of this shard
  std::int64_t planned = 0;  // cases of all shards together
  std::string sha256;        // of their ids: see hash_of_plan
};
/// The cases of a suite that match the glob and fall into the shard. Cases are dealt out in turn, so that the
/// shards of one suite and filter are disjoint and together complete. Throws InputError when the filter
/// matches nothing, or there are more shards than cases and this one is empty.
Selection select_cases(const Suite& suite, const std::string& filter, const Shard& shard);

/// "shard 1/4 (counted from 0), from SLURM_ARRAY_TASK_ID: 21 of 84 cases"
std::string describe(const Shard& shard, const Selection& selection);

/// Of the ids of all cases in order: by it `merge` knows that the shards together are the plan.
std::string hash_of_plan(const std::vector<std::string_view>& ids);

struct PlannedCase {
  Case spec;
  std::string prompt;         // the text after the template; empty for cases given as token ids
  std::vector<Token> tokens;  // the prompt's ids, BOS included
  // What is to be said about them: the template that `auto` chose and why, BOS twice at the start.
  std::vector<std::string> remarks;
};

/// Renders the template and tokenizes with the model's own tokenizer; checks ids, length and context.
PlannedCase plan_case(const Case& spec, const bitnet::Model& model, const std::string& suite_path);

/// All of them, in order; max_tokens, where not negative, in the place of each case's own.
std::vector<PlannedCase> plan_cases(std::vector<Case> cases, std::int64_t max_tokens,
                                    const bitnet::Model& model, const std::string& suite_path);

/// A line for each different remark, which names the first case that it is about and counts the others.
std::vector<std::string> remarks_of(const std::vector<PlannedCase>& planned);

/// A side makes other ids of the text.
class TokensDiffer : public Incomparable {
 public:
  TokensDiffer(const std::string& what, std::string side, std::string as_if)
      : Incomparable(what), side_(std::move(side)), as_if_(std::move(as_if)) {}
  const std::string& side() const { return side_; }
  /// "BOS were added twice"; empty where no known mistake makes them.
  const std::string& as_if() const { return as_if_; }

 private:
  std::string side_, as_if_;
};

/// The candidate's or reference's own ids for the same text must be these. Throws TokensDiffer that names
/// text, position, both ids and pieces, and the known mistake that makes just these ids. Text that is no
/// UTF-8 stays outside this comparison (bitnet.cpp's tokenizer throws): where it is refused, or its ids
/// differ, the result says so.
std::optional<std::string> check_tokenization(const PlannedCase& planned, const bitnet::Model& model,
                                              Participant& participant, std::string_view side);

}  // namespace crossval
