#pragma once
// `crossval merge`: the results of shards, joined into those of one run.

#include <filesystem>
#include <vector>

#include "crossval/run/run.h"

namespace crossval {

/// The shards must be of one run: the same model, suite, gates, taps, filter and shard count, each index
/// once, all there, each finished. Throws InputError that names the folder that does not fit.
RunResult merge(const std::vector<std::filesystem::path>& shards, const std::filesystem::path& out);

}  // namespace crossval
