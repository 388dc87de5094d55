#pragma once
// Models and participants of a run, loaded and checked against each other.

#include <memory>
#include <string>
#include <vector>

#include "crossval/lockstep/lockstep.h"
#include "crossval/participants/spec.h"
#include "crossval/run/options.h"
#include "engine/model/model.h"

namespace crossval {

struct Session {
  ParticipantSpec candidate_spec;
  ParticipantSpec reference_spec;
  std::shared_ptr<const bitnet::Model> model;
  std::shared_ptr<const bitnet::Model> reference_model;  // may be the same object
  std::string model_sha256;
  std::string reference_model_sha256;
  std::unique_ptr<Participant> candidate;
  std::unique_ptr<Participant> reference;
  std::unique_ptr<Participant> noise;                       // or null
  LockstepPlan plan;                                        // gates not yet set
  std::vector<std::pair<TapId, std::string>> skipped_taps;  // with the reason
  std::vector<std::string> warnings;
};

/// Throws InputError before anything is run; Incomparable when the two models have other dimensions or
/// vocabularies.
Session open_session(const RunOptions& options);

}  // namespace crossval
