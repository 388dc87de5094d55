#pragma once
// Our engine as a participant that answers many cases at once before it is asked, where only logits are
// wanted: continuous batching instead of one token of one case at a time.

#include <memory>
#include <string>
#include <vector>

#include "engine/generate/generate.h"
#include "engine/model/context.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

/// A case as it will be asked; the answer drawn by these options is the likely one.
struct AheadCase {
  std::string id;
  std::vector<Token> prompt;
  bitnet::GenerateOptions options;
};

/// Shows what make_engine(model, options) shows, in every bit. Logits of tokens that a case's own answer has
/// are known from its batch; from the first token on that is another one, or where another tap is wanted, the
/// engine evaluates as it is asked. A batch has the case that is asked for and those that follow it, as many
/// as keep their logits within `room` bytes (at least one).
std::unique_ptr<Participant> make_ahead(std::shared_ptr<const bitnet::Model> model,
                                        const bitnet::ContextOptions& options, std::vector<AheadCase> cases,
                                        std::size_t room = std::size_t{256} << 20);

}  // namespace crossval
