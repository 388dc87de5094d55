#pragma once
// How often a model merely says its input token again.

#include "engine/cli/inspect.h"
#include "engine/model/context.h"
#include "engine/model/model.h"

namespace bitnet {

/// Decodes greedily from BOS (token 0 where the vocabulary has none), ignoring stops, as many steps as asked
/// for and the context allows.
RepeatedInput measure_repeated_input(const Model& model, std::int64_t steps,
                                     const ContextOptions& options = {});

}  // namespace bitnet
