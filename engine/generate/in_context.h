#pragma once
// The decode loop over a sequence of a context.

#include <cstdint>
#include <span>

#include "engine/generate/generate.h"
#include "engine/model/context.h"

namespace bitnet {

/// How many of the prompt's tokens a sequence of these tokens has evaluated; never the last one, whose logits
/// are wanted.
std::int64_t common_prefix(std::span<const Token> prompt, std::span<const Token> evaluated);

/// Generates in a sequence, whose tokens need not be the prompt's: what they begin with in common stays, the
/// rest is forgotten, and only what then lacks is evaluated. Throws as generate() and Context::forward().
Generation generate(Context& context, int sequence, std::span<const Token> prompt,
                    const GenerateOptions& options, const OnText& on_text = {});

}  // namespace bitnet
