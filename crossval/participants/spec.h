#pragma once
// How a participant is named on the command line (design.md 3), and how it is made.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

/// "engine:isa=avx2,threads=2" taken apart and checked; unknown kinds, options and values are InputErrors
/// that list what is known.
struct ParticipantSpec {
  std::string kind;                            // "engine", "oracle", "emulator"
  std::map<std::string, std::string> options;  // as given
};
ParticipantSpec parse_participant(std::string_view text);

/// What the flags of the command say to every participant.
struct ParticipantDefaults {
  std::string isa;  // --isa
  int threads = 0;  // --threads; 0 = physical cores
};

/// The participant over a model. `path` is the file the model was loaded from.
std::unique_ptr<Participant> make_participant(const ParticipantSpec& spec,
                                              std::shared_ptr<const bitnet::Model> model,
                                              const std::filesystem::path& path,
                                              const ParticipantDefaults& defaults);

/// The same participant in its other way of computing, for the self-noise; null where there is none.
std::unique_ptr<Participant> make_noise_twin(const ParticipantSpec& spec,
                                             std::shared_ptr<const bitnet::Model> model,
                                             const std::filesystem::path& path,
                                             const ParticipantDefaults& defaults);

/// The first line of the report: what a comparison of these two supports.
std::string claim_of(const ParticipantSpec& candidate, const ParticipantSpec& reference);

}  // namespace crossval
