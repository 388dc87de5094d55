#pragma once
// Participants that are programs of their own: `exec:WORDS`, and bitnet.cpp by its adapter.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "crossval/participants/spec.h"

namespace crossval {

/// The adapter program: the one that the environment variable CROSSVAL_LLAMA_ADAPTER names (`none`: there is
/// none), else `crossval-llama-adapter` beside this executable. Nothing when it is not there.
std::optional<std::filesystem::path> find_llama_adapter();
/// What to do where it is not there.
std::string llama_adapter_mend();

/// The words that start the participant of a spec of kind `exec` or `bitnet.cpp`. Throws InputError when they
/// are no words or the adapter is not there.
std::vector<std::string> program_words(const ParticipantSpec& spec);

/// Starts it and loads the model. `several`: in its other way of computing; null where it has none. Throws as
/// make_process_participant.
std::unique_ptr<Participant> make_program(const ParticipantSpec& spec, const bitnet::Config& config,
                                          const std::filesystem::path& model,
                                          const ParticipantDefaults& defaults, bool several);

}  // namespace crossval
