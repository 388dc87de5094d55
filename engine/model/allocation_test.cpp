// A generated token allocates nothing.

#include <gtest/gtest.h>

#include <new>
#include <vector>

#include "engine/model/context.h"
#include "engine/model/test_model.h"
#include "engine/test_allocations.h"

namespace bitnet {
namespace {

TEST(Allocation, TheCounterCounts) {
  const long before = test_allocations().count;
  void* const memory = ::operator new(10);  // as an expression, `new int` could be left out by the compiler
  EXPECT_GT(test_allocations().count, before);
  ::operator delete(memory);
}

void expect_no_allocation(const Model& model) {
  for (const int threads : {1, 2}) {
    Context context(model, {.threads = threads});
    Profile profile(threads);
    std::vector<BatchRow> rows(10, BatchRow{.token = 3});
    context.forward(rows);
    rows.resize(1);
    context.forward(rows);  // the first token of decoding may still grow a buffer
    const long before = test_allocations().count;
    // Far enough to need new pages of the KV cache and new rows of the RoPE table.
    for (int i = 0; i < 200; ++i) {
      if (i == 100) context.record(&profile);
      const auto logits = context.forward(rows);
      rows[0].token = static_cast<std::int32_t>(
          context.kernels().argmax(logits.data(), static_cast<std::int64_t>(logits.size())));
    }
    EXPECT_EQ(test_allocations().count - before, 0) << threads << " threads";
    EXPECT_EQ(profile[Work::head].calls, 100);
  }
}

TEST(Allocation, AGeneratedTokenAllocatesNothing) {
  SynthShape shape = test::tiny_shape();
  for (const auto head : {TensorType::f16, TensorType::f32, TensorType::bf16, TensorType::q8_0,
                          TensorType::q6_k, TensorType::q5_0, TensorType::q4_k, TensorType::q4_0}) {
    shape.embedding = head;
    expect_no_allocation(test::make_model(shape));
  }
}

TEST(Allocation, ATokenPickedByTheScreenedHeadAllocatesNothing) {
  SynthShape shape = test::tiny_shape();
  shape.untied = true;
  const Model model = test::make_model(shape);
  for (const int threads : {1, 2}) {
    for (const std::int64_t screen_after : {-1, 0}) {
      Context context(model, {.threads = threads, .screen_after = screen_after, .screen_min_bytes = 0});
      std::vector<BatchRow> rows(10, BatchRow{.token = 3, .logits = false});
      context.forward_greedy(rows);
      rows.assign(1, BatchRow{.token = 3});
      // The first tokens of decoding may still grow buffers, the full head's too.
      for (int i = 0; i < 3; ++i) rows[0].token = context.forward_greedy(rows).front().token;
      const long before = test_allocations().count;
      for (int i = 0; i < 200; ++i) rows[0].token = context.forward_greedy(rows).front().token;
      EXPECT_EQ(test_allocations().count - before, 0) << threads << " threads, screen after " << screen_after;
      EXPECT_EQ(context.head_work().screened > 0, screen_after == 0);
    }
  }
}

}  // namespace
}  // namespace bitnet
