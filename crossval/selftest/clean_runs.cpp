#include "crossval/selftest/clean_runs.h"

#include "engine/kernels/kernels.h"

namespace crossval {

std::vector<CleanPlan> clean_plans() {
  std::vector<std::string> candidates;
  for (const bitnet::Kernels* kernels : bitnet::compiled_kernels())
    if (bitnet::supported(*kernels))
      for (const char* threads : {"1", "2"})
        candidates.push_back("engine:isa=" + std::string(kernels->name) + ",threads=" + threads);
  std::vector<CleanPlan> plans;
  for (const std::string& candidate : candidates) {
    for (const char* model : {"bundled", "awkward", "quiet", "llama", "biased", "untied"})
      for (const char* reference : {"emulator:rope=own", "oracle"})
        for (const int batch : {1, 3, 64}) plans.push_back({model, candidate, reference, batch});
    // These amplify every rounding: only a reference of the same arithmetic is near.
    for (const char* model : {"small", "uniform", "warm", "hot"})
      plans.push_back({model, candidate, "emulator:rope=own", 1});
  }
  // Other builds of bitnet.cpp, and other sides.
  for (const char* model : {"bundled", "awkward", "llama"})
    for (const char* reference :
         {"emulator", "emulator:width=8", "emulator:tinyblas=off", "engine:isa=scalar"})
      for (const int batch : {1, 64}) plans.push_back({model, "engine", reference, batch});
  for (const char* model : {"bundled", "llama"})
    for (const char* candidate : {"oracle", "emulator:rope=own"})
      plans.push_back(
          {model, candidate, candidate == std::string("oracle") ? "emulator:rope=own" : "oracle", 1});
  return plans;
}

}  // namespace crossval
