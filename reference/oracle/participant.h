#pragma once
// The oracle as a participant.

#include <filesystem>
#include <memory>

#include "reference/oracle/oracle.h"
#include "reference/participant.h"

namespace crossval {

/// Loads the model. Throws InputError when the file is not one that the oracle can run.
std::unique_ptr<Participant> make_oracle(const std::filesystem::path& model, const OracleOptions& options);

}  // namespace crossval
