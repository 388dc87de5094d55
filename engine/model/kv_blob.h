#pragma once
// A sequence of the KV cache as bytes that say themselves what they are. Little-endian:
//   0   "BITNETKV"
//   8   u32 version (1), u32 n_layer, u32 n_head_kv, u32 head_dim
//   24  u64 fingerprint of model and RoPE
//   32  u64 number of tokens, n
//   40  u64 checksum: the Fingerprint of the bytes before and behind it
//   48  i32 tokens [n]; then for each layer, in F16, keys [n][G*hd] and values [G*hd][n]

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/kv_cache.h"

namespace bitnet {

class Model;
struct ContextOptions;

/// Of everything that decides the bits of the cells: hyper-parameters, norms, scales, a sample of the other
/// weights, and where cosines and sines come from. The format that the ternary weights lie in has no part.
std::uint64_t kv_fingerprint(const Model& model, const ContextOptions& options);

std::vector<std::byte> write_kv_blob(const KvCache& cache, int sequence, const Config& config,
                                     std::uint64_t fingerprint);
/// Makes a new sequence. Throws InputError that names what is wrong; the cache is then unchanged.
int read_kv_blob(std::span<const std::byte> bytes, KvCache& cache, const Config& config,
                 std::uint64_t fingerprint);

}  // namespace bitnet
