#include "engine/model/kv_blob.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <variant>

#include "engine/error.h"
#include "engine/fingerprint.h"
#include "engine/model/context.h"

namespace bitnet {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::array<char, 8> kMagic{'B', 'I', 'T', 'N', 'E', 'T', 'K', 'V'};
constexpr std::uint32_t kVersion = 1;

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t n_layer = 0;
  std::uint32_t n_head_kv = 0;
  std::uint32_t head_dim = 0;
  std::uint64_t fingerprint = 0;
  std::uint64_t tokens = 0;
  std::uint64_t checksum = 0;
};
static_assert(sizeof(Header) == 48);

Header header_of(const Config& config, std::uint64_t fingerprint, std::uint64_t tokens) {
  return {.n_layer = static_cast<std::uint32_t>(config.n_layer),
          .n_head_kv = static_cast<std::uint32_t>(config.n_head_kv),
          .head_dim = static_cast<std::uint32_t>(config.head_dim),
          .fingerprint = fingerprint,
          .tokens = tokens};
}

std::uint64_t checksum_of(std::span<const std::byte> blob) {
  Fingerprint sum;
  sum.add(blob.first(offsetof(Header, checksum)));
  sum.add(blob.subspan(sizeof(Header)));
  return sum.value();
}

std::string shape(const Header& h) {
  return std::to_string(h.n_layer) + " layers of " + std::to_string(h.n_head_kv) + " heads of " +
         std::to_string(h.head_dim);
}

[[noreturn]] void refuse(const std::string& why) {
  throw InputError("saved sequence: " + why);
}

}  // namespace

std::uint64_t kv_fingerprint(const Model& model, const ContextOptions& options) {
  Fingerprint sum;
  const auto add = [&](const auto& values) { sum.add(std::as_bytes(std::span(values))); };
  const Config& c = model.config();
  sum.add(c.architecture_name);
  for (const std::int64_t n :
       {c.n_vocab, c.n_embd, c.n_ff, c.n_layer, c.n_head, c.n_head_kv, c.head_dim, c.n_rot})
    sum.add(n);
  for (const float x : {c.rms_eps, c.rope_freq_base, c.rope_freq_scale}) sum.add(x);
  for (const int choice : {static_cast<int>(c.rope_pairing), static_cast<int>(c.activation),
                           static_cast<int>(c.sub_norms), static_cast<int>(options.rope)})
    sum.add(choice);
  if (options.recorded_rope) {
    add(options.recorded_rope->cos);
    add(options.recorded_rope->sin);
  }
  const Weights& w = model.weights();
  add(w.rope_freqs);
  sum.add(static_cast<std::uint32_t>(w.token_embd.type()));
  const FloatMatrix& embedding = w.token_embd;
  sum.add(std::span(embedding.bytes_at(), static_cast<std::size_t>(embedding.bytes() / embedding.rows)));
  for (const LayerWeights& l : w.layers) {
    for (const auto* norm : {&l.attn_norm, &l.attn_sub_norm, &l.ffn_norm, &l.ffn_sub_norm}) add(*norm);
    for (const Projection* p : l.projections()) {
      sum.add(p->matrix.scale);
      sum.add(p->factor);
      add(p->bias);
      add(std::span(p->matrix.codes, static_cast<std::size_t>(p->matrix.cols / 4)));  // the first rows
    }
  }
  return sum.value();
}

std::vector<std::byte> write_kv_blob(const KvCache& cache, int sequence, const Config& config,
                                     std::uint64_t fingerprint) {
  const std::span<const std::int32_t> tokens = cache.tokens(sequence);
  Header header = header_of(config, fingerprint, tokens.size());
  std::vector<std::byte> blob(sizeof header + tokens.size_bytes() + tokens.size() * cache.cell_bytes());
  const auto put_header = [&] { std::memcpy(blob.data(), &header, sizeof header); };
  put_header();
  std::ranges::copy(std::as_bytes(tokens), blob.begin() + sizeof header);
  cache.copy_cells(sequence, std::span(blob).subspan(sizeof header + tokens.size_bytes()));
  header.checksum = checksum_of(blob);
  put_header();
  return blob;
}

int read_kv_blob(std::span<const std::byte> bytes, KvCache& cache, const Config& config,
                 std::uint64_t fingerprint) {
  Header header;
  if (bytes.size() < sizeof header)
    refuse("only " + std::to_string(bytes.size()) + " bytes, less than its header");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kMagic) refuse("it does not begin with BITNETKV: something else, or damaged");
  if (header.version != kVersion)
    refuse("version " + std::to_string(header.version) + "; known is " + std::to_string(kVersion));
  const Header expected = header_of(config, fingerprint, header.tokens);
  if (shape(header) != shape(expected))
    refuse("of a model of " + shape(header) + "; this one has " + shape(expected));
  if (header.fingerprint != fingerprint)
    refuse("of another model or another RoPE: same shape, but other weights or parameters");
  if (header.tokens > static_cast<std::uint64_t>(cache.capacity()))
    refuse(std::to_string(header.tokens) + " tokens exceed the context of " +
           std::to_string(cache.capacity()) + "; ask for a larger context");
  const auto n = static_cast<std::size_t>(header.tokens);  // small: what follows cannot overflow
  const std::size_t size = sizeof header + n * (sizeof(std::int32_t) + cache.cell_bytes());
  if (bytes.size() != size)
    refuse(std::to_string(bytes.size()) + " bytes; " + std::to_string(n) + " tokens take " +
           std::to_string(size) + ": cut short or damaged");
  if (checksum_of(bytes) != header.checksum) refuse("damaged: its checksum does not hold");
  std::vector<std::int32_t> tokens(n);
  const std::span<const std::byte> behind = bytes.subspan(sizeof header);
  if (n > 0) std::memcpy(tokens.data(), behind.data(), n * sizeof(std::int32_t));  // of none, a null pointer
  for (const std::int32_t token : tokens)
    if (token < 0 || token >= config.n_vocab)
      refuse("token " + std::to_string(token) + " is outside the vocabulary of " +
             std::to_string(config.n_vocab));
  return cache.insert(tokens, behind.subspan(n * sizeof(std::int32_t)));
}

}  // namespace bitnet
