#pragma once
// Our own engine as a participant.

#include <memory>

#include "engine/model/context.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

std::unique_ptr<Participant> make_engine(std::shared_ptr<const bitnet::Model> model,
                                         const bitnet::ContextOptions& options);

}  // namespace crossval
