#pragma once
// Models and participants of a run, loaded and checked against each other.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crossval/lockstep/lockstep.h"
#include "crossval/participants/spec.h"
#include "crossval/run/options.h"
#include "crossval/suite/suite.h"
#include "engine/model/model.h"

namespace crossval {

struct Session {
  std::filesystem::path path;            // of the candidate's model
  std::filesystem::path reference_path;  // may be the same
  ParticipantSpec candidate_spec;
  ParticipantSpec reference_spec;
  std::shared_ptr<const bitnet::Model> model;
  std::shared_ptr<const bitnet::Model> reference_model;  // may be the same object
  std::string model_sha256;
  std::string reference_model_sha256;
  std::unique_ptr<Participant> candidate;
  /// Where the candidate is our engine and nothing but logits is compared: it may answer many cases at once
  /// (participants/ahead.h).
  std::optional<bitnet::ContextOptions> ahead;
  std::unique_ptr<Participant> reference;
  std::unique_ptr<Participant> noise;  // or null
  /// What the noise is that is measured with it, where it is the quantization noise of a reference that
  /// rounds the inputs of ternary products otherwise than we do; else empty.
  std::string quantization_noise;
  std::unique_ptr<Participant> evaluator;  // where neither side can evaluate operations; else null
  /// Makes one where it is needed after all: the emulator, else the oracle, over the reference's model.
  std::function<std::unique_ptr<Participant>()> make_evaluator;
  /// Who is asked about an operation whose gate failed; none: nobody.
  std::optional<ParticipantSpec> arbiter_spec;
  /// Made when it is first asked, over the reference's model; null where it cannot run that model.
  std::function<Participant*()> arbiter;
  LockstepPlan plan;                                         // gates not yet set
  std::vector<std::pair<TapId, std::string>> skipped_taps;   // with the reason
  std::vector<std::pair<TapId, std::string>> skipped_local;  // compared free-running only, with the reason
  std::vector<std::string> warnings;
};

/// Which of the planned taps' operations can be evaluated on this side's own inputs; `skip` is told the
/// others with the reason.
LocalPlan plan_local(const Session& session, Side fed,
                     const std::function<void(TapId, std::string)>& skip = {});

/// Throws InputError before anything is run; Incomparable when the two models have other dimensions or
/// vocabularies, or a trace is of another model or suite.
Session open_session(const RunOptions& options, const Suite& suite);

}  // namespace crossval
