// The kernels that are counted are those that ran.

#include "engine/kernels/counted_kernels.h"

#include <gtest/gtest.h>

#include <atomic>

#include "engine/kernels/declare.h"
#include "engine/model/context.h"
#include "engine/model/test_model.h"
#include "engine/model/test_rows.h"

namespace bitnet {
namespace {

using namespace test;

// Stands in for one kernel of a table, and counts the calls itself.
template <auto Member>
struct Spy;
template <class R, class... A, R (*Kernels::*Member)(A...)>
struct Spy<Member> {
  static inline std::atomic<std::int64_t> calls;
  static inline R (*real)(A...);
  static R call(A... arguments) {
    ++calls;
    return real(arguments...);
  }
  static void stand_in(const Kernels& table, Kernels& spied) {
    calls = 0;
    real = table.*Member;
    spied.*Member = call;
  }
};

// Calls of each kernel, by name, where there were any.
std::map<std::string, std::int64_t> calls_of(const Kernels& table) {
  const auto names = kernel_names(table);
  std::map<std::string, std::int64_t> calls;
  const auto add = [&](std::size_t offset, std::int64_t n) {
    const std::size_t index = (offset - offsetof(Kernels, quantize_row)) / sizeof(void (*)());
    if (n > 0) calls[std::string(names[index])] = n;
  };
#define CROSSVAL_KERNEL(isa, operation, function) \
  add(offsetof(Kernels, operation), Spy<&Kernels::operation>::calls);
#include "engine/kernels/kernels.inc"
  return calls;
}

class Counted : public testing::TestWithParam<const Kernels*> {
 protected:
  void SetUp() override {
    if (!supported(*GetParam())) return;
    table_ = *GetParam();
#define CROSSVAL_KERNEL(isa, operation, function) Spy<&Kernels::operation>::stand_in(*GetParam(), table_);
#include "engine/kernels/kernels.inc"
  }
  Kernels table_;
};

TEST_P(Counted, WhatWasCalledIsCountedAndNothingElse) {
  if (!supported(*GetParam())) return;  // such kernels cannot run at all
  SynthShape q6_k = tiny_shape(), bf16 = q6_k, silu = q6_k;
  q6_k.untied = bf16.untied = true;
  q6_k.head = TensorType::q6_k;
  bf16.head = TensorType::bf16;
  silu.architecture = "bitnet";
  for (const SynthShape& shape : {tiny_shape(), q6_k, bf16, silu}) {
    SetUp();
    const Model model = make_model(shape);
    Operations op(model.config(), model.weights(), table_, 2,
                  RopeTable(model.config(), model.weights().rope_freqs, RopeMath::own));
    KernelCounts none;
    op.add_kernels(none);
    EXPECT_TRUE(none.empty());

    const std::int64_t rows = 3, d = model.config().n_embd, ff = model.config().n_ff;
    const LayerWeights& layer = model.weights().layers.front();
    const auto size = static_cast<std::size_t>(rows * std::max(ff, model.config().n_vocab));
    std::vector<float> x(size), y(size);
    op.embed(some_tokens(rows, 1, model.config().n_vocab), x.data());
    op.norm(x.data(), rows, layer.attn_norm, y.data());
    op.quantize(y.data(), rows, d);
    op.project(layer.ffn_gate, x.data(), Work::ffn_gate);
    op.project(layer.ffn_up, y.data(), Work::ffn_up);
    op.activate(x.data(), rows * ff, x.data());
    op.mul(x.data(), y.data(), rows * ff, x.data());
    op.add(x.data(), y.data(), rows * d, y.data());
    op.head(y.data(), rows, x.data());
    std::vector<Pick> picks(rows);
    op.screen_after(0, 0);
    op.head_argmax(y.data(), picks);

    KernelCounts counted;
    op.add_kernels(counted);
    const auto calls = calls_of(*GetParam());
    for (const auto& [name, n] : calls) EXPECT_GT(counted[name], 0) << name;
    for (const auto& [name, n] : counted) {
      ASSERT_TRUE(calls.contains(name)) << name;
      EXPECT_LE(n, calls.at(name)) << name;  // an operation may call its kernel for each part of its work
    }
    EXPECT_GE(calls.size(), 8u);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryTable, Counted, testing::ValuesIn(compiled_kernels()),
                         [](const auto& of) { return std::string(of.param->name); });

// Of a whole forward pass: what follows from the model's shape, for prompts as for tokens, however many
// threads there are and whether or not anybody looks on.
TEST(CountedKernels, AForwardPassTakesEachKernelOnceForEachOperation) {
  const Model model = make_model(tiny_shape());
  const std::int64_t layers = model.config().n_layer;
  for (const int threads : {1, 3}) {
    Context context(model, {.isa = "scalar", .threads = threads});
    context.forward(rows_of(some_tokens(40, 1, model.config().n_vocab)));
    context.forward(rows_of(some_tokens(1, 2, model.config().n_vocab)));
    KernelCounts counts;
    context.add_kernels(counts);
    EXPECT_EQ(counts["scalar::ternary_matmul"], 2 * 7 * layers);
    EXPECT_EQ(counts["scalar::quantize_row"], 2 * 4 * layers);
    EXPECT_EQ(counts["scalar::rms_norm"], 2 * (4 * layers + 1));
    EXPECT_EQ(counts["scalar::rope"], 2 * 2 * layers);
    for (const char* name : {"attn_scores", "softmax", "attn_context", "relu_squared", "mul"})
      EXPECT_EQ(counts[std::string("scalar::") + name], 2 * layers) << name;
    EXPECT_EQ(counts.count("scalar::silu"), 0u);
  }
}

}  // namespace
}  // namespace bitnet
