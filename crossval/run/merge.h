#pragma once
// `crossval merge`: the results of shards, joined into those of one run.

#include <filesystem>
#include <vector>

#include "crossval/run/run.h"

namespace crossval {

/// Joins shards that together are one run: what a single run would have judged by the self-noise and the
/// coverage of all cases is judged so again. Nothing is written unless the shards are the whole plan, each
/// case once. Memory grows with the ids of the cases, not with the comparisons.
///
/// Throws, naming the folder: InputError (exit 2) for what is no shard's results, a shard given twice and an
/// `out` that is a shard's; Incomparable (3) for one of another model, suite, gates, participant or plan;
/// Invalid (4) where a shard or a case is missing, did not finish or is there twice.
RunResult merge(const std::vector<std::filesystem::path>& shards, const std::filesystem::path& out);

}  // namespace crossval
