#pragma once
// How many tokens the library is given at once.

#include <cstdint>
#include <vector>

namespace crossval::llama_adapter {

/// Lengths of the evaluations into which `n` tokens are cut when at most `limit` (3 or more) go at once: as
/// even as possible, so that several tokens never leave a single one behind, which other kernels would
/// evaluate.
std::vector<std::int64_t> chunks(std::int64_t n, std::int64_t limit);

/// With 4 and more tokens, bitnet.cpp's I2_S product keeps 4 bytes per token and output row on each thread's
/// stack and dies when they do not fit. Returns the tokens that do, at least 3 and at most `most`. `widest`:
/// most output rows of such a product, 0 where there is none.
std::int64_t chunk_limit(std::int64_t widest, int threads, std::int64_t most);

}  // namespace crossval::llama_adapter
