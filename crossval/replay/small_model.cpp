#include "crossval/replay/small_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <system_error>

#include <cstdlib>

#include "engine/error.h"
#include "engine/formats/i2s.h"
#include "engine/gguf/writer.h"
#include "engine/tokenizer/byte_alphabet.h"

namespace crossval {
namespace {

using bitnet::InputError;
using bitnet::Tap;
using bitnet::TensorType;

constexpr std::int64_t kBlock = 128;       // rows of ternary matrices are whole blocks
constexpr std::int64_t kVocabulary = 260;  // every byte, and four control tokens
constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;

std::int64_t rounded_up(std::int64_t n, std::int64_t to) {
  return (n + to - 1) / to * to;
}

struct Shape {
  std::string architecture = "llama";  // the one that asks for least
  std::int64_t n_embd = kBlock;
  std::int64_t n_ff = kBlock;
  std::int64_t n_vocab = kVocabulary;
  std::int64_t heads = 1, kv_heads = 1, head_dim = kBlock;
  std::int64_t n_ctx = 32;
  std::int64_t n_rot = kBlock;
  std::int64_t q_width() const { return heads * head_dim; }
  std::int64_t kv_width() const { return kv_heads * head_dim; }
  bool sub_norms() const { return architecture != "llama"; }
};

// Heads, and more of them until they are whole blocks together.
void add_heads(const SmallOperation& o, std::int64_t head_dim, Shape& shape) {
  shape.head_dim = shape.n_rot = head_dim;
  shape.heads = o.heads;
  while (shape.q_width() % kBlock != 0) ++shape.heads;
  shape.kv_heads = shape.heads;
  shape.n_ctx = std::max<std::int64_t>(shape.n_ctx, o.cells());
}

Shape shape_of(const SmallOperation& o) {
  Shape s;
  switch (operation_kind(o.tap.tap)) {
    case OperationKind::embedding:
    case OperationKind::norm:
      s.n_embd = o.width;
      break;
    case OperationKind::head:
      s.n_embd = o.width;
      s.n_vocab = rounded_up(std::max(o.outputs(), kVocabulary), 4);
      break;
    case OperationKind::projection:
      s.n_embd = o.width;
      s.head_dim = s.n_rot = 16;  // the least that the emulator runs
      s.heads = rounded_up(o.outputs(), kBlock) / s.head_dim;
      if (o.factor != 1) {  // an architecture with tensors `.scale`, whose attention is as wide as the model
        s.architecture = "bitnet";
        s.heads = s.n_embd / s.head_dim;
        if (o.outputs() > s.n_embd)
          throw InputError("more outputs with a factor than a small model can hold");
      }
      break;
    case OperationKind::rope:
      add_heads(o, o.head_dim, s);
      if (o.pairing == bitnet::RopePairing::neox) {
        s.architecture = o.n_rot == o.head_dim ? "bitnet-b1.58" : "bitnet";
        s.n_embd = s.q_width();
      }
      s.n_rot = o.n_rot;
      break;
    case OperationKind::scores:
    case OperationKind::softmax:
      add_heads(o, o.head_dim, s);
      break;
    case OperationKind::context:
      add_heads(o, rounded_up(o.head_dim, 16), s);
      break;
    case OperationKind::activation:  // the architecture's own: the emulator reads no other from a file
      if (o.activation == bitnet::Activation::relu_squared) s.architecture = "bitnet-b1.58";
      s.n_ff = rounded_up(o.outputs(), kBlock);
      break;
    case OperationKind::product:
      s.n_ff = rounded_up(o.outputs(), kBlock);
      break;
    case OperationKind::sum:
      s.n_embd = rounded_up(o.outputs(), kBlock);
      break;
  }
  return s;
}

// The divisor that a file states where a model multiplies angles with `scale`: 1 / divisor is `scale` again.
float divisor_of(float scale) {
  const float near = 1.0f / scale;
  for (const float toward : {0.0f, std::numeric_limits<float>::infinity()}) {
    float divisor = near;
    for (int k = 0; k < 4; ++k, divisor = std::nextafter(divisor, toward))
      if (1.0f / divisor == scale) return divisor;
  }
  throw InputError("RoPE's scale has no divisor in binary32");
}

void add_keys(const SmallOperation& o, const Shape& s, bitnet::gguf::Writer& writer) {
  const std::string& a = s.architecture;
  const auto number = [&](const char* key, std::int64_t value) {
    writer.add(a + "." + key, static_cast<std::uint32_t>(value));
  };
  writer.add("general.architecture", a);
  number("context_length", s.n_ctx);
  number("embedding_length", s.n_embd);
  number("block_count", 1);
  number("feed_forward_length", s.n_ff);
  number("attention.head_count", s.heads);
  number("attention.head_count_kv", s.kv_heads);
  number("attention.key_length", s.head_dim);
  number("attention.value_length", s.head_dim);
  number("rope.dimension_count", s.n_rot);
  writer.add(a + ".attention.layer_norm_rms_epsilon", o.epsilon);
  const bool turns = operation_kind(o.tap.tap) == OperationKind::rope;
  writer.add(a + ".rope.freq_base", turns ? o.rope_base : 10000.0f);
  if (turns && o.rope_scale != 1) writer.add(a + ".rope.scaling.factor", divisor_of(o.rope_scale));
  writer.add(a + ".hidden_activation",
             std::string(o.activation == bitnet::Activation::silu ? "silu" : "relu2"));

  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  for (std::int64_t i = 0; i < s.n_vocab; ++i) {
    tokens.push_back(i < 256 ? std::string(bitnet::byte_symbol(static_cast<std::uint8_t>(i)))
                             : "<" + std::to_string(i) + ">");
    types.push_back(i < 256 ? 1 : 3);
  }
  writer.add("tokenizer.ggml.model", std::string("gpt2"));
  writer.add("tokenizer.ggml.pre", std::string("default"));
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.token_type", types);
  writer.add("tokenizer.ggml.merges", std::vector<std::string>{});
  writer.add("tokenizer.ggml.bos_token_id", std::uint32_t{256});
  writer.add("tokenizer.ggml.eos_token_id", std::uint32_t{257});
}

// Tensors, of which those that are not filled are zeros.
class Tensors {
 public:
  void add(const std::string& name, std::int64_t columns, std::int64_t rows, TensorType type) {
    const auto bytes =
        bitnet::tensor_bytes(type, static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows));
    if (!bytes)
      throw InputError("rows of " + std::to_string(columns) + " values cannot be of type " +
                       std::string(bitnet::type_name(type)));
    tensors_.push_back({name, columns, rows, type, *bytes, {}});
    total_ += *bytes;
    if (total_ > kMostBytes)
      throw InputError("a model for the operation would be larger than " + std::to_string(kMostBytes >> 20) +
                       " MiB");
  }
  void add(const std::string& name, std::int64_t n) { add(name, n, 1, TensorType::f32); }

  void fill(const std::string& name, std::span<const std::byte> bytes) {
    std::vector<std::byte>& all = bytes_of(name);
    std::copy(bytes.begin(), bytes.end(), all.begin());
  }
  void fill(const std::string& name, std::span<const float> values) { fill(name, std::as_bytes(values)); }
  // The first rows; the others are zeros.
  void fill(const std::string& name, std::span<const std::int8_t> weights, float scale) {
    const Tensor& t = find(name);
    std::vector<std::int8_t> all(static_cast<std::size_t>(t.columns * t.rows));
    std::ranges::copy(weights, all.begin());
    bitnet::i2s::pack(all, scale, bytes_of(name));
  }

  void write(bitnet::gguf::Writer& writer) {
    for (const Tensor& t : tensors_) {
      std::vector<std::uint64_t> ne{static_cast<std::uint64_t>(t.columns)};
      if (t.rows > 1) ne.push_back(static_cast<std::uint64_t>(t.rows));
      writer.add_tensor(t.name, ne, t.type);
    }
    writer.begin();
    for (Tensor& t : tensors_) writer.append(bytes_of(t.name));
    writer.finish();
  }

 private:
  struct Tensor {
    std::string name;
    std::int64_t columns, rows;
    TensorType type;
    std::uint64_t size;
    std::vector<std::byte> bytes;
  };
  Tensor& find(const std::string& name) { return *std::ranges::find(tensors_, name, &Tensor::name); }
  std::vector<std::byte>& bytes_of(const std::string& name) {
    Tensor& t = find(name);
    t.bytes.resize(t.size);
    return t.bytes;
  }

  std::vector<Tensor> tensors_;
  std::uint64_t total_ = 0;
};

void add_tensors(const SmallOperation& o, const Shape& s, Tensors& tensors) {
  const OperationKind kind = operation_kind(o.tap.tap);
  const bool tabled = kind == OperationKind::embedding || kind == OperationKind::head;
  tensors.add("token_embd.weight", s.n_embd, s.n_vocab, tabled ? o.table_type : TensorType::f16);
  tensors.add("blk.0.attn_norm.weight", s.n_embd);
  const auto matrix = [&](const char* name, std::int64_t columns, std::int64_t rows) {
    tensors.add("blk.0." + std::string(name) + ".weight", columns, rows, TensorType::i2_s);
  };
  matrix("attn_q", s.n_embd, s.q_width());
  matrix("attn_k", s.n_embd, s.kv_width());
  matrix("attn_v", s.n_embd, s.kv_width());
  matrix("attn_output", s.q_width(), s.n_embd);
  matrix("ffn_gate", s.n_embd, s.n_ff);
  matrix("ffn_up", s.n_embd, s.n_ff);
  matrix("ffn_down", s.n_ff, s.n_embd);
  tensors.add("blk.0.ffn_norm.weight", s.n_embd);
  tensors.add("output_norm.weight", s.n_embd);
  if (s.sub_norms()) {
    tensors.add("blk.0.attn_sub_norm.weight", s.q_width());
    tensors.add("blk.0.ffn_sub_norm.weight", s.n_ff);
  }
  switch (kind) {
    case OperationKind::embedding:
    case OperationKind::head:
      if (o.table_type == TensorType::i2_s)
        tensors.fill("token_embd.weight", o.ternary, o.scale);
      else
        tensors.fill("token_embd.weight", o.table);
      break;
    case OperationKind::norm:
      tensors.fill("blk.0.attn_norm.weight", o.weight);
      break;
    case OperationKind::projection:
      tensors.fill("blk.0.attn_q.weight", o.ternary, o.scale);
      if (o.factor != 1) {
        tensors.add("blk.0.attn_q.scale", 1);
        tensors.fill("blk.0.attn_q.scale", std::span(&o.factor, 1));
      }
      if (!o.bias.empty()) {
        tensors.add("blk.0.attn_q.bias", s.q_width());
        tensors.fill("blk.0.attn_q.bias", o.bias);
      }
      break;
    case OperationKind::rope:
      if (o.weight.empty()) break;
      tensors.add("rope_freqs.weight", s.n_rot / 2);
      tensors.fill("rope_freqs.weight", o.weight);
      break;
    default:
      break;
  }
}

// Rows of `from` values each, padded with zeros to `to`.
std::vector<float> widened(std::span<const float> values, std::int64_t from, std::int64_t to) {
  std::vector<float> wide(values.size() / static_cast<std::size_t>(from) * static_cast<std::size_t>(to));
  for (std::size_t i = 0; i < values.size(); ++i)
    wide[i / static_cast<std::size_t>(from) * static_cast<std::size_t>(to) +
         i % static_cast<std::size_t>(from)] = values[i];
  return wide;
}

}  // namespace

SmallModel::SmallModel(const SmallOperation& o) {
  std::string pattern = (std::filesystem::temp_directory_path() / "crossval-replay-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr)
    throw bitnet::SystemError(pattern + ": a folder for temporary files cannot be made");
  folder_ = pattern;
  path_ = folder_ / "small.gguf";
  try {
    make(o);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    throw;
  }
}

SmallModel::~SmallModel() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SmallModel::make(const SmallOperation& o) {
  const Shape s = shape_of(o);
  Tensors tensors;
  add_tensors(o, s, tensors);
  {
    bitnet::gguf::Writer writer(path_);
    add_keys(o, s, writer);
    tensors.write(writer);
  }

  const std::int64_t cells = o.cells();
  outputs_ = o.outputs();
  a_ = o.a;
  b_ = o.b;
  const auto set = [&](Tap tap, std::int64_t row) {
    tap_ = {tap, bitnet::has_layer(tap) ? 0 : -1};
    row_ = row;
    kept_ = wide_ = row;
  };
  switch (operation_kind(o.tap.tap)) {
    case OperationKind::embedding:
      set(Tap::inp_embd, s.n_embd);
      break;
    case OperationKind::norm:
      set(Tap::attn_norm, s.n_embd);
      break;
    case OperationKind::projection:
      set(Tap::q_proj, s.q_width());
      break;
    case OperationKind::rope:
      set(Tap::q_rope, s.q_width());
      position_ = static_cast<std::int32_t>(o.position);
      a_.resize(static_cast<std::size_t>(row_));
      break;
    case OperationKind::scores:
      set(Tap::kq, s.heads * cells);
      position_ = static_cast<std::int32_t>(o.position);
      a_.resize(static_cast<std::size_t>(s.q_width()));
      history_ = widened(o.history, o.heads * o.head_dim, s.kv_width());
      break;
    case OperationKind::softmax:
      set(Tap::kq_soft_max, s.heads * cells);
      position_ = static_cast<std::int32_t>(o.position);
      a_.resize(static_cast<std::size_t>(row_));
      break;
    case OperationKind::context:
      set(Tap::attn_ctx, s.q_width());
      position_ = static_cast<std::int32_t>(o.position);
      kept_ = o.head_dim;
      wide_ = s.head_dim;
      a_.resize(static_cast<std::size_t>(s.heads * cells));
      history_ = widened(widened(o.history, o.head_dim, s.head_dim), o.heads * s.head_dim, s.kv_width());
      break;
    case OperationKind::activation:
      set(Tap::ffn_act, s.n_ff);
      a_.resize(static_cast<std::size_t>(row_));
      break;
    case OperationKind::product:
      set(Tap::ffn_par, s.n_ff);
      a_.resize(static_cast<std::size_t>(row_));
      b_.resize(static_cast<std::size_t>(row_));
      break;
    case OperationKind::sum:
      set(Tap::ffn_inp, s.n_embd);
      a_.resize(static_cast<std::size_t>(row_));
      b_.resize(static_cast<std::size_t>(row_));
      break;
    case OperationKind::head:
      set(Tap::result_output, s.n_vocab);
      break;
  }
}

bitnet::Operation SmallModel::operation() const {
  const auto data = [](const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); };
  return {.output = tap_,
          .positions = {&position_, 1},
          .tokens = {&token_, 1},
          .a = data(a_),
          .b = data(b_),
          .history = data(history_)};
}

std::vector<float> SmallModel::outputs(std::span<const float> row) const {
  std::vector<float> some;
  some.reserve(static_cast<std::size_t>(outputs_));
  for (std::int64_t i = 0; i < outputs_; ++i)
    some.push_back(row[static_cast<std::size_t>(i / kept_ * wide_ + i % kept_)]);
  return some;
}

std::vector<float> SmallModel::padded(std::span<const float> outputs) const {
  std::vector<float> row(static_cast<std::size_t>(row_));
  for (std::int64_t i = 0; i < outputs_; ++i)
    row[static_cast<std::size_t>(i / kept_ * wide_ + i % kept_)] = outputs[static_cast<std::size_t>(i)];
  return row;
}

}  // namespace crossval
