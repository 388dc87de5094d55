#pragma once
// A participant that is given its tokens one per evaluation, however many it is asked for at once: the other
// way of computing of a reference that is fed several (design.md 1, self-noise).

#include <memory>

#include "engine/model/config.h"
#include "reference/participant.h"

namespace crossval {

/// Shows of each evaluation the taps of its last tokens, as many as fit into `room` bytes (at least one): the
/// rows come token by token and are handed on tap by tap, so that they must be kept meanwhile.
std::unique_ptr<Participant> make_one_by_one(std::unique_ptr<Participant> inner, const bitnet::Config& config,
                                             std::size_t room = std::size_t{128} << 20);

}  // namespace crossval
