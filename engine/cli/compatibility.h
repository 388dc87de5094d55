#pragma once
// Whether bitnet.cpp loads a file, judged from the file alone (reference-semantics 1.1
// to 1.5, 2.6, 5.2, 7.1).

#include <string>
#include <vector>

#include "engine/gguf/gguf.h"

namespace bitnet {

struct Compatibility {
  std::string program;  // "bitnet.cpp, generations 1 and 2"
  bool loads = false;
  std::vector<std::string> because;  // why not; empty when it loads
  std::vector<std::string> remarks;  // what it does otherwise than one would expect
};

/// One entry per program.
std::vector<Compatibility> judge_compatibility(const gguf::File& file);

}  // namespace bitnet
