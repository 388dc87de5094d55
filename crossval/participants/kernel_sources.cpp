#include "crossval/participants/kernel_sources.h"

#include "crossval/lockstep/operation_kind.h"
#include "engine/model/taps.h"

namespace crossval {
namespace {

using bitnet::Tap;
using bitnet::TensorType;

struct Entry {
  std::string_view isa, operation, function;
};
constexpr Entry kEntries[] = {
#define CROSSVAL_KERNEL(isa, operation, function) {#isa, #operation, #function},
#include "engine/kernels/kernels.inc"
};

struct Base {
  std::string_view isa, base;
};
constexpr Base kBases[] = {
#define CROSSVAL_ISA(isa, base, runs, description) {#isa, #base},
#include "engine/kernels/kernels.inc"
};

struct Definition {
  std::string_view isa, function, file;
  int line;
};
constexpr Definition kDefinitions[] = {
#include "kernel_definitions.inc"
};

std::string_view base_of(std::string_view isa) {
  for (const Base& b : kBases)
    if (b.isa == isa) return b.base;
  return isa;
}

// The product of a head, or (decoding) the rows of an embedding.
std::string_view float_operation(TensorType type, bool decoding) {
  switch (type) {
    case TensorType::f32:
      return decoding ? "" : "matmul_f32";
    case TensorType::f16:
      return decoding ? "to_f32" : "matmul_f16";
    case TensorType::bf16:
      return decoding ? "decode_bf16" : "matmul_bf16";
    case TensorType::q8_0:
      return decoding ? "decode_q8_0" : "matmul_q8_0";
    case TensorType::q6_k:
      return decoding ? "decode_q6_k" : "matmul_q6_k";
    case TensorType::q5_0:
      return decoding ? "decode_q5_0" : "matmul_q5_0";
    case TensorType::q4_k:
      return decoding ? "decode_q4_k" : "matmul_q4_k";
    case TensorType::q4_0:
      return decoding ? "decode_q4_0" : "matmul_q4_0";
    case TensorType::i2_s:
      return decoding ? "" : "ternary_matmul";
    default:
      return "";
  }
}

std::string_view operation_of(const bitnet::Model& model, Tap tap) {
  switch (operation_kind(tap)) {
    case OperationKind::embedding:
      return float_operation(model.weights().token_embd.type(), true);
    case OperationKind::norm:
      return "rms_norm";
    case OperationKind::projection:
      return "ternary_matmul";
    case OperationKind::rope:
      return "rope";
    case OperationKind::scores:
      return "attn_scores";
    case OperationKind::softmax:
      return "softmax";
    case OperationKind::context:
      return "attn_context";
    case OperationKind::sum:
      return "add";
    case OperationKind::activation:
      return model.config().activation == bitnet::Activation::silu ? "silu" : "relu_squared";
    case OperationKind::product:
      return "mul";
    case OperationKind::head:
      return float_operation(model.weights().output.type(), false);
  }
  return "";
}

}  // namespace

std::optional<SourceLine> kernel_source(std::string_view isa, std::string_view operation) {
  for (;;) {
    for (const Entry& e : kEntries) {
      if (e.isa != isa || e.operation != operation) continue;
      for (const Definition& d : kDefinitions)
        if (d.isa == isa && d.function == e.function)
          return SourceLine{std::string(isa) + "::" + std::string(d.function), std::string(d.file), d.line};
    }
    const std::string_view base = base_of(isa);
    if (base == isa) return std::nullopt;
    isa = base;
  }
}

std::map<std::string, SourceLine> engine_sources(const bitnet::Model& model, std::string_view isa) {
  std::map<std::string, SourceLine> sources;
  for (const bitnet::TapId id : bitnet::canonical_taps(model.config())) {
    const std::string name(bitnet::base_name(id.tap));
    if (sources.contains(name)) continue;
    if (const auto source = kernel_source(isa, operation_of(model, id.tap))) sources[name] = *source;
  }
  return sources;
}

}  // namespace crossval
