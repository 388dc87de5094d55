#include "engine/cli/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>

#include "engine/cli/synth_random.h"
#include "engine/cli/synth_vocabulary.h"
#include "engine/error.h"
#include "engine/formats/float_format.h"
#include "engine/formats/i2s.h"
#include "engine/gguf/writer.h"

namespace bitnet {
namespace {

// Weight scales as Microsoft's 2B model has them (reference-semantics 1.5).
constexpr float kMinScale = 0.744f;
constexpr float kMaxScale = 4.60f;
// Standard deviation of a logit.
constexpr float kLogitSpread = 2.5f;
// By how many standard deviations a token's own logit is raised by the trace it left in the residual stream.
// Half a deviation leaves it one of many; were it 5, the arg max would always be the input token.
constexpr float kOwnLogitRaise = 0.5f;
// Standard deviation of attention scores. Less, and all positions see nearly the same average; more, and
// rounding errors grow from layer to layer until no two engines agree.
constexpr float kScoreSpread = 2.0f;
// The first FFN lifts the stream far above the embedding, to this share of its final variance: tokens are
// still told apart there. The other layers share the rest, and none outweighs the stream it reads, which
// keeps errors from growing.
constexpr float kFirstFfnShare = 0.5f;
// The first attention's output against the embedding, and the FFN's against attention's in the other layers.
// Attention makes positions alike, so it has the smaller part; were they alike, one token would follow for
// ever.
constexpr float kFirstAttention = 0.5f;
constexpr float kFfnOverAttention = 2.0f;
constexpr float kNonZeroShare = 2.0f / 3.0f;
// Standard deviation of a bias against that of the projection it is added to.
constexpr float kBiasShare = 0.25f;
// Root mean square of silu(x) y for independent x and y of variance 1.
constexpr float kGatedSilu = 0.6f;

struct ShapeError {
  bool wrong;
  const char* field;
  const char* what;
};

void check_shape(const SynthShape& s) {
  const std::uint64_t q_width = std::uint64_t{s.n_head} * s.head_dim;
  const std::uint64_t kv_width = std::uint64_t{s.n_head_kv} * s.head_dim;
  const std::uint64_t block = std::max(block_elements(s.embedding), block_elements(s.head));
  const std::string_view known[] = {"bitnet-b1.58", "bitnet-25", "bitnet", "llama"};
  const ShapeError errors[] = {
      {std::ranges::find(known, s.architecture) == std::end(known), "architecture",
       "must be bitnet-b1.58, bitnet-25, bitnet or llama"},
      {s.n_embd == 0 || s.n_embd % 128 != 0, "n_embd", "must be a multiple of 128"},
      {s.n_ff == 0 || s.n_ff % 128 != 0, "n_ff", "must be a multiple of 128"},
      {s.n_layer == 0 || s.n_layer > 1000, "n_layer", "must be between 1 and 1000"},
      {s.n_head == 0 || s.n_head_kv == 0 || s.n_head % s.n_head_kv != 0, "n_head_kv", "must divide n_head"},
      {s.head_dim == 0 || s.head_dim % 2 != 0, "head_dim", "must be even"},
      {q_width % 128 != 0, "n_head * head_dim", "must be a multiple of 128"},
      {kv_width % 4 != 0, "n_head_kv * head_dim", "must be a multiple of 4"},
      {s.architecture == "bitnet" && (s.biases || s.rope_freqs), "biases and rope_freqs",
       "are not for architecture bitnet"},
      {s.architecture == "bitnet" && q_width != s.n_embd, "n_head * head_dim",
       "must equal n_embd in architecture bitnet"},
      {std::max({s.n_embd, s.n_ff, s.n_head, s.head_dim}) > 1u << 20, "width", "must be at most 1048576"},
      {s.n_ctx == 0, "n_ctx", "must be at least 1"},
      {!is_float(s.embedding) || !is_float(s.head), "embedding and head",
       "must be one of synth_head_types()"},
      {s.n_embd % block != 0, "n_embd", "must be a multiple of 256 for q6_k and q4_k"},
  };
  for (const ShapeError& e : errors)
    if (e.wrong) throw InputError(std::string("synth: ") + e.field + ": " + e.what);
}

// One ternary matrix: its scale must be known before the norm in front of it is written.
struct Projection {
  std::string name;  // without ".weight"
  std::uint64_t cols;
  std::uint64_t rows;
  float scale;
  float factor;

  // Standard deviation of its output for an input of mean square 1.
  float gain() const { return scale * factor * std::sqrt(static_cast<float>(cols) * kNonZeroShare); }
  void set_gain(float wanted) { scale *= wanted / gain(); }
};

struct Layer {
  std::string prefix;
  float attention;  // root mean square of what it adds
  float ffn;
  Projection q, k, v, o, gate, up, down;

  // Weights of the norms in front of q, k and v: scores are q . k / sqrt(head_dim), so that their spread is
  // the product of the spreads of q and k; and in front of gate and up.
  float attn_norm() const { return std::sqrt(kScoreSpread / (q.gain() * k.gain())); }
  float ffn_norm() const { return std::sqrt(1.0f / (gate.gain() * up.gain())); }
};

// Root mean squares of what goes into the residual stream.
struct Magnitudes {
  float embedding;
  float first_attention;
  float first_ffn;
  float attention;  // of every other layer
  float ffn;
};

Magnitudes magnitudes(const SynthShape& s) {
  const float width = std::sqrt(static_cast<float>(s.n_embd));
  Magnitudes m{};
  m.embedding = kLogitSpread / width;
  const float stream = m.embedding * width / kOwnLogitRaise;
  m.first_attention = kFirstAttention * m.embedding;
  if (s.n_layer == 1) {
    m.first_ffn = stream;
    return m;
  }
  m.first_ffn = stream * std::sqrt(kFirstFfnShare);
  const auto others = static_cast<float>(s.n_layer - 1);
  m.attention =
      stream * std::sqrt((1 - kFirstFfnShare) / (others * (1 + kFfnOverAttention * kFfnOverAttention)));
  m.ffn = m.attention * kFfnOverAttention;
  return m;
}

class Synthesizer {
 public:
  Synthesizer(const SynthShape& shape, std::uint64_t seed, const std::filesystem::path& path,
              const SynthProgress& progress)
      : shape_(shape), seed_(seed), progress_(progress), magnitudes_(magnitudes(shape)), writer_(path) {
    for (int b = 0, i = 0; i < 81; ++i, b = 0) {
      for (int rest = i, digit = 0; digit < 4; ++digit, rest /= 3) b = b << 2 | rest % 3;
      four_codes_[static_cast<std::size_t>(i)] = static_cast<std::byte>(b);
    }
  }

  void run() {
    add_keys();
    add_vocabulary();
    for (std::uint32_t i = 0; i < shape_.n_layer; ++i) layers_.push_back(make_layer(i));
    declare();
    writer_.begin();
    write_embedding("token_embd.weight", shape_.embedding);
    for (const Layer& layer : layers_) write_layer(layer);
    write_norm("output_norm.weight", shape_.n_embd, 1.0f);
    if (shape_.untied) write_embedding("output.weight", shape_.head);
    if (shape_.rope_freqs) write_norm("rope_freqs.weight", shape_.head_dim / 2, 1.0f);
    writer_.finish();
  }

 private:
  bool sub_norms() const { return shape_.architecture != "llama"; }

  void add_keys() {
    const SynthShape& s = shape_;
    writer_.add("general.architecture", s.architecture);
    writer_.add("general.name", s.name);
    writer_.add("general.description", "random weights, seed " + std::to_string(seed_));
    writer_.add("general.file_type", std::uint32_t{40});  // I2_S
    const auto add = [&](const char* key, auto value) { writer_.add(s.architecture + "." + key, value); };
    add("vocab_size", s.n_vocab);
    add("context_length", s.n_ctx);
    add("embedding_length", s.n_embd);
    add("block_count", s.n_layer);
    add("feed_forward_length", s.n_ff);
    add("attention.head_count", s.n_head);
    add("attention.head_count_kv", s.n_head_kv);
    add("attention.layer_norm_rms_epsilon", s.rms_eps);
    if (std::uint64_t{s.n_head} * s.head_dim != s.n_embd) {
      add("attention.key_length", s.head_dim);
      add("attention.value_length", s.head_dim);
    }
    add("rope.dimension_count", s.head_dim);
    add("rope.freq_base", s.rope_freq_base);
  }

  void add_vocabulary() {
    SynthVocabulary v = make_synth_vocabulary(shape_.n_vocab);
    writer_.add("tokenizer.ggml.model", std::string("gpt2"));
    if (!shape_.pre.empty()) writer_.add("tokenizer.ggml.pre", shape_.pre);
    writer_.add("tokenizer.ggml.tokens", std::move(v.tokens));
    writer_.add("tokenizer.ggml.token_type", std::move(v.types));
    writer_.add("tokenizer.ggml.merges", std::move(v.merges));
    writer_.add("tokenizer.ggml.bos_token_id", v.bos);
    writer_.add("tokenizer.ggml.eos_token_id", v.eos);
    writer_.add("tokenizer.ggml.eot_token_id", v.eot);
    writer_.add("tokenizer.ggml.add_bos_token", true);
    writer_.add("tokenizer.chat_template", std::move(v.chat_template));
  }

  Projection make_projection(const std::string& name, std::uint64_t cols, std::uint64_t rows) const {
    return {name, cols, rows, SynthRandom(seed_, name + ".weight.scale").uniform(kMinScale, kMaxScale),
            shape_.factors ? SynthRandom(seed_, name + ".scale").uniform(0.5f, 2.0f) : 1.0f};
  }

  Layer make_layer(std::uint32_t i) const {
    const std::string p = "blk." + std::to_string(i) + ".";
    const std::uint64_t width = shape_.n_embd;
    const std::uint64_t q = std::uint64_t{shape_.n_head} * shape_.head_dim;
    const std::uint64_t kv = std::uint64_t{shape_.n_head_kv} * shape_.head_dim;
    Layer layer{p,
                i == 0 ? magnitudes_.first_attention : magnitudes_.attention,
                i == 0 ? magnitudes_.first_ffn : magnitudes_.ffn,
                make_projection(p + "attn_q", width, q),
                make_projection(p + "attn_k", width, kv),
                make_projection(p + "attn_v", width, kv),
                make_projection(p + "attn_output", q, width),
                make_projection(p + "ffn_gate", width, shape_.n_ff),
                make_projection(p + "ffn_up", width, shape_.n_ff),
                make_projection(p + "ffn_down", shape_.n_ff, width)};
    // Where no sub-norm says how large the input of these two is, their scales make up for it.
    if (!sub_norms()) {
      layer.o.set_gain(layer.attention / (layer.attn_norm() * layer.v.gain()));
      layer.down.set_gain(layer.ffn / kGatedSilu);
    }
    return layer;
  }

  void declare_matrix(const std::string& name, std::uint64_t cols, std::uint64_t rows, TensorType type) {
    writer_.add_tensor(name, {cols, rows}, type);
    total_ += tensor_bytes(type, cols, rows).value();
  }
  void declare_norm(const std::string& name, std::uint64_t n) {
    writer_.add_tensor(name, {n}, TensorType::f32);
    total_ += n * sizeof(float);
  }
  bool has_bias(const Projection& p) const {
    return shape_.biases && (shape_.architecture == "llama" || p.name.find(".attn_") != std::string::npos);
  }
  void declare_projection(const Projection& p) {
    declare_matrix(p.name + ".weight", p.cols, p.rows, TensorType::i2_s);
    if (shape_.factors) declare_norm(p.name + ".scale", 1);
    if (has_bias(p)) declare_norm(p.name + ".bias", p.rows);
  }

  // In the order in which they are written.
  void declare() {
    declare_matrix("token_embd.weight", shape_.n_embd, shape_.n_vocab, shape_.embedding);
    for (const Layer& l : layers_) {
      declare_norm(l.prefix + "attn_norm.weight", shape_.n_embd);
      for (const Projection* p : {&l.q, &l.k, &l.v}) declare_projection(*p);
      if (sub_norms()) declare_norm(l.prefix + "attn_sub_norm.weight", l.o.cols);
      declare_projection(l.o);
      declare_norm(l.prefix + "ffn_norm.weight", shape_.n_embd);
      for (const Projection* p : {&l.gate, &l.up}) declare_projection(*p);
      if (sub_norms()) declare_norm(l.prefix + "ffn_sub_norm.weight", shape_.n_ff);
      declare_projection(l.down);
    }
    declare_norm("output_norm.weight", shape_.n_embd);
    if (shape_.untied) declare_matrix("output.weight", shape_.n_embd, shape_.n_vocab, shape_.head);
    if (shape_.rope_freqs) declare_norm("rope_freqs.weight", shape_.head_dim / 2);
  }

  void write_layer(const Layer& l) {
    write_norm(l.prefix + "attn_norm.weight", shape_.n_embd, l.attn_norm());
    for (const Projection* p : {&l.q, &l.k, &l.v}) write_projection(*p, l.attn_norm() * p->gain());
    if (sub_norms()) write_norm(l.prefix + "attn_sub_norm.weight", l.o.cols, l.attention / l.o.gain());
    write_projection(l.o, l.attention);
    write_norm(l.prefix + "ffn_norm.weight", shape_.n_embd, l.ffn_norm());
    for (const Projection* p : {&l.gate, &l.up}) write_projection(*p, l.ffn_norm() * p->gain());
    if (sub_norms()) write_norm(l.prefix + "ffn_sub_norm.weight", shape_.n_ff, l.ffn / l.down.gain());
    write_projection(l.down, l.ffn);
  }

  // Weights within a fifth of `gain`.
  void write_norm(const std::string& name, std::uint64_t n, float gain) {
    SynthRandom random(seed_, name);
    std::vector<float> weights(n);
    for (float& w : weights) w = gain * random.uniform(0.8f, 1.2f);
    emit(std::as_bytes(std::span(weights)));
  }

  // `spread` is the standard deviation of what it gives.
  void write_projection(const Projection& p, float spread) {
    SynthRandom random(seed_, p.name + ".weight");
    std::uint64_t left = p.cols * p.rows / 4;
    while (left > 0) {
      buffer_.resize(std::min<std::uint64_t>(left, kPieceBytes));
      // Four bytes of four weights from every 64 bits: 81 combinations out of 65536 values, equal within 0.13
      // %.
      std::uint64_t bits = 0;
      for (std::size_t i = 0; i < buffer_.size(); ++i, bits >>= 16) {
        if (i % 4 == 0) bits = random.next();
        buffer_[i] = four_codes_[(bits & 0xffff) * 81 >> 16];
      }
      left -= buffer_.size();
      emit(buffer_);
    }
    std::array<std::byte, i2s::kScaleSlotBytes> slot{};
    std::memcpy(slot.data(), &p.scale, sizeof p.scale);
    emit(slot);
    if (shape_.factors) emit(std::as_bytes(std::span(&p.factor, 1)));
    if (has_bias(p)) write_bias(p, kBiasShare * spread);
  }

  void write_bias(const Projection& p, float spread) {
    SynthRandom random(seed_, p.name + ".bias");
    std::vector<float> bias(p.rows);
    for (float& b : bias) b = spread * random.bell();
    emit(std::as_bytes(std::span(bias)));
  }

  void write_embedding(const std::string& name, TensorType type) {
    SynthRandom random(seed_, name);
    std::uint64_t left = std::uint64_t{shape_.n_embd} * shape_.n_vocab;
    while (left > 0) {
      std::vector<float> values(std::min<std::uint64_t>(left, kPieceElements));
      for (float& value : values) value = magnitudes_.embedding * random.bell();
      left -= values.size();
      emit_as(type, values);
    }
  }

  // `values` are whole blocks of the type.
  void emit_as(TensorType type, std::span<const float> values) {
    std::vector<std::byte> bytes(tensor_bytes(type, values.size(), 1).value());
    encode_floats(type, values, bytes);
    emit(bytes);
  }

  void emit(std::span<const std::byte> bytes) {
    writer_.append(bytes);
    done_ += bytes.size();
    if (progress_) progress_(done_, total_);
  }

  static constexpr std::uint64_t kPieceBytes = 1 << 20;
  static constexpr std::uint64_t kPieceElements = 1 << 18;  // whole blocks of every type

  SynthShape shape_;
  std::uint64_t seed_;
  SynthProgress progress_;
  Magnitudes magnitudes_;
  gguf::Writer writer_;
  std::vector<Layer> layers_;
  std::array<std::byte, 81> four_codes_{};
  std::vector<std::byte> buffer_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

SynthShape shape_2b() {
  SynthShape s;
  s.name = "synthetic bitnet-b1.58-2B-4T";
  s.n_embd = 2560;
  s.n_ff = 6912;
  s.n_layer = 30;
  s.n_head = 20;
  s.n_head_kv = 5;
  s.head_dim = 128;
  s.n_ctx = 4096;
  s.n_vocab = 128256;
  return s;
}

SynthShape shape_falcon3_1b() {
  SynthShape s;
  s.name = "synthetic Falcon3-1B-1.58bit";
  s.architecture = "llama";
  s.n_embd = 2048;
  s.n_ff = 8192;
  s.n_layer = 18;
  s.n_head = 8;
  s.n_head_kv = 4;
  s.head_dim = 256;
  s.n_ctx = 8192;
  s.n_vocab = 131072;
  s.rope_freq_base = 1000042.0f;
  s.rms_eps = 1e-6f;
  s.untied = true;
  s.pre = "falcon3";
  return s;
}

SynthShape shape_llama3_8b() {
  SynthShape s;
  s.name = "synthetic Llama3-8B-1.58";
  s.architecture = "llama";
  s.n_embd = 4096;
  s.n_ff = 14336;
  s.n_layer = 32;
  s.n_head = 32;
  s.n_head_kv = 8;
  s.head_dim = 128;
  s.n_ctx = 8192;
  s.n_vocab = 128256;
  s.untied = true;
  return s;
}

SynthShape shape_tiny() {
  SynthShape s;
  s.name = "synthetic tiny";
  s.n_embd = 256;
  s.n_ff = 512;
  s.n_layer = 2;
  s.n_head = 4;
  s.n_head_kv = 2;
  s.head_dim = 64;
  s.n_ctx = 512;
  s.n_vocab = 512;
  return s;
}

SynthShape shape_tiny_llama() {
  SynthShape s = shape_tiny();
  s.name = "synthetic tiny llama";
  s.architecture = "llama";
  s.head_dim = 128;
  s.untied = true;
  return s;
}

SynthShape shape_awkward() {
  SynthShape s;
  s.name = "synthetic awkward";
  s.n_embd = 640;
  s.n_ff = 896;
  s.n_layer = 2;
  s.n_head = 8;
  s.n_head_kv = 2;
  s.head_dim = 80;
  s.n_ctx = 512;
  s.n_vocab = 512;
  s.embedding = TensorType::f32;
  return s;
}

struct Preset {
  std::string_view name;
  SynthShape (*shape)();
};
constexpr Preset kPresets[] = {{"bitnet-b1.58-2B-4T", shape_2b},    {"falcon3-1b-1.58", shape_falcon3_1b},
                               {"llama3-8b-1.58", shape_llama3_8b}, {"tiny", shape_tiny},
                               {"tiny-llama", shape_tiny_llama},    {"awkward", shape_awkward}};

[[noreturn]] void unknown(const char* flag, std::string_view name, const std::vector<std::string>& known) {
  std::string list;
  for (const auto& each : known) list += (list.empty() ? "" : ", ") + each;
  throw InputError(std::string("synth: ") + flag + ": `" + std::string(name) +
                   "` is unknown; choose one of " + list);
}

SynthShape shape_of(std::string_view preset) {
  const auto* p = std::ranges::find(kPresets, preset, &Preset::name);
  if (p == std::end(kPresets)) unknown("--preset", preset, synth_presets());
  return p->shape();
}

}  // namespace

std::vector<std::string> synth_presets() {
  std::vector<std::string> names;
  for (const Preset& p : kPresets) names.emplace_back(p.name);
  return names;
}

std::vector<std::string> synth_head_types() {
  std::vector<std::string> names;
  for (const FloatType& t : float_types()) names.emplace_back(t.name);
  return names;
}

SynthShape synth_shape(std::string_view preset, std::string_view type, std::string_view head_type) {
  if (type != "i2_s")
    throw InputError("synth: --type: `" + std::string(type) + "` cannot be written; supported is i2_s");
  SynthShape shape = shape_of(preset);
  if (!head_type.empty()) {
    const auto type_of_head = parse_float_type(head_type);
    if (!type_of_head) unknown("--head-type", head_type, synth_head_types());
    shape.embedding = shape.head = *type_of_head;
  }
  return shape;
}

void synth(const SynthShape& shape, std::uint64_t seed, const std::filesystem::path& path,
           const SynthProgress& progress) {
  check_shape(shape);
  Synthesizer(shape, seed, path, progress).run();
}

void synth(std::string_view preset, std::string_view type, std::uint64_t seed,
           const std::filesystem::path& path, const SynthProgress& progress) {
  synth(synth_shape(preset, type), seed, path, progress);
}

}  // namespace bitnet
