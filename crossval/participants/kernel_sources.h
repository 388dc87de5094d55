#pragma once
// Where the code of the engine's operations stands, so that a failure can be shown at its source.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/model/model.h"

namespace crossval {

struct SourceLine {
  std::string function;  ///< "avx2::silu"
  std::string file;      ///< relative to the source tree, as it was when this program was built
  int line = 0;          ///< from 1
};

/// The kernel that the instruction set `isa` uses for an operation of kernels.inc: its own or the one that it
/// inherits. Nothing for names that are not there.
std::optional<SourceLine> kernel_source(std::string_view isa, std::string_view operation);

/// By name of tap without a layer ("ffn_act"): the kernel that computes it for this model. Taps without a
/// kernel (an F32 embedding is copied) are absent.
std::map<std::string, SourceLine> engine_sources(const bitnet::Model& model, std::string_view isa);

}  // namespace crossval
