#pragma once
// Whether records bear out each other: what was measured follows from nothing, but it hangs together.

#include <filesystem>
#include <string>
#include <vector>

namespace crossval {

/// What is wrong with the records of a finished run, a line each (the first 50 and how many more). Judged
/// anew: every comparison by the gates in force, every case by its comparisons and picks, the summary by its
/// cases. Held against each other: the figures of a comparison (NMSE follows from cosine and norm ratio, the
/// greatest difference from its two values), the comparisons of a step and those of every other step, kernels
/// and the instruction set that they are of. Throws InputError where the file is damaged.
std::vector<std::string> check_records(const std::filesystem::path& results);

}  // namespace crossval
