#pragma once
// The emulator as a participant.

#include <filesystem>
#include <memory>

#include "reference/emulator/emulator.h"
#include "reference/participant.h"

namespace crossval {

/// Loads the model. Throws InputError when the file is not one that the emulator can run.
std::unique_ptr<Participant> make_emulator(const std::filesystem::path& model,
                                           const EmulatorOptions& options);

}  // namespace crossval
