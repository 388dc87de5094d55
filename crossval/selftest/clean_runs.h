#pragma once
// Runs in which nothing is wrong.

#include <string>
#include <vector>

namespace crossval {

struct CleanPlan {
  std::string model;  // of witness_models.h
  std::string candidate;
  std::string reference;
  int reference_batch = 1;
};

/// Models, instruction sets of this machine, threads, batch splits and references, at least 200 combinations.
std::vector<CleanPlan> clean_plans();

}  // namespace crossval
