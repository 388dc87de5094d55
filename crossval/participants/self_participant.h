#pragma once
// `self`: our engine once more, computing what must be the same in another way (design.md 9).

#include <memory>
#include <string>
#include <vector>

#include "engine/model/context.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

/// The ways, in the order in which cases take turns with them:
///   isa       other kernels: scalar, or where that is meant the best
///   threads   one thread more
///   split     tokens in batches of 1, 2, 3, ...
///   mixed     rows of two other sequences between them, in changing order
///   padded    tokens after them in the same batch, forgotten afterwards
///   forked    each evaluation in a new fork of the sequence
///   restored  the sequence saved, released and restored before each evaluation
std::vector<std::string> self_ways();

/// `way`: one of them, or "all": each case takes the next. `options` are those of the side that it is held
/// against.
std::unique_ptr<Participant> make_self(std::shared_ptr<const bitnet::Model> model,
                                       const bitnet::ContextOptions& options, const std::string& way);

}  // namespace crossval
