#pragma once
// How a participant is named on the command line (design.md 3), and how it is made.

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/model/context.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

class Trace;

/// "engine:isa=avx2,threads=2" taken apart and checked; unknown kinds, options and values are InputErrors
/// that list what is known.
struct ParticipantSpec {
  std::string kind;                                // "engine", "oracle", "emulator", "bitnet.cpp", ...
  std::map<std::string, std::string> options;      // as given; of "trace" the `file`, of "exec" its `words`
  std::shared_ptr<const Trace> trace = {};         // of "trace", once it was opened
  std::string recorded;                            // likewise: who was recorded
  std::shared_ptr<const ParticipantSpec> of = {};  // of "self": whose invariants are looked at
  std::string probed;  // of "bitnet.cpp" and "exec", once it was started: what it says it is
};
ParticipantSpec parse_participant(std::string_view text);

/// What the flags of the command say to every participant.
struct ParticipantDefaults {
  std::string isa;                                // --isa
  int threads = 0;                                // --threads; 0 = physical cores
  double timeout = 120;                           // --timeout, seconds; of participants that are programs
  std::optional<bitnet::RecordedRope> rope = {};  // of the trace in use, for rope=trace
  bitnet::gguf::TernaryOptions ternary = {};  // how the model was loaded, where a participant does not say
  /// What each participant is put into: a planted fault. None: nothing.
  std::function<std::unique_ptr<Participant>(std::unique_ptr<Participant>)> wrap = {};
};

/// The layout of I2_S that layout= names, else that of `otherwise`.
bitnet::gguf::TernaryOptions ternary_options(const ParticipantSpec& spec,
                                             const bitnet::gguf::TernaryOptions& otherwise = {});

/// How a spec of kind `engine` runs.
bitnet::ContextOptions engine_options(const ParticipantSpec& spec, const ParticipantDefaults& defaults);

/// The participant over a model. `path` is the file the model was loaded from; a trace must have been opened.
std::unique_ptr<Participant> make_participant(const ParticipantSpec& spec,
                                              std::shared_ptr<const bitnet::Model> model,
                                              const std::filesystem::path& path,
                                              const ParticipantDefaults& defaults);

/// The same participant in its other way of computing, for the self-noise; null where there is none. A
/// reference that is fed one token per evaluation has its kernels for several tokens; one that is fed
/// `tokens_per_evaluation` of them is fed one by one.
std::unique_ptr<Participant> make_noise_twin(const ParticipantSpec& spec,
                                             const std::shared_ptr<const bitnet::Model>& model,
                                             const std::filesystem::path& path,
                                             const ParticipantDefaults& defaults,
                                             std::int64_t tokens_per_evaluation);

/// What a participant that is a program says it is, for `claim_of`: generation, build, version.
std::string probed_by(const ParticipantSpec& spec, const Participant& participant);
/// The first line of the report: what a comparison of these two supports.
std::string claim_of(const ParticipantSpec& candidate, const ParticipantSpec& reference);

}  // namespace crossval
