// Whole models, design section 9: what a token's logits are depends on the tokens before it in its sequence
// and on nothing else; not on the instruction set, the number of threads, how tokens are shared out over
// calls and batches, what other sequences are evaluated beside them, or what was evaluated and forgotten.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "engine/kernels/test_values.h"
#include "engine/model/context.h"
#include "engine/model/test_model.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

using namespace testing_support;

constexpr int kSequences = 3;
constexpr std::int64_t kLength = 80;  // more than a page of the KV cache

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

/// A model, a text for each sequence, and the logits by the specification: scalar, one thread, one batch.
struct Subject {
  explicit Subject(const SynthShape& shape) : model(test::make_model(shape)) {
    Random random(2);
    Context context(model, {.isa = "scalar", .threads = 1, .n_ctx = kLength, .sequences = kSequences});
    for (int s = 0; s < kSequences; ++s) {
      std::vector<BatchRow> rows;
      for (std::int64_t i = 0; i < kLength; ++i)
        rows.push_back({static_cast<std::int32_t>(random.below(model.config().n_vocab)), s});
      const auto shown = context.forward(rows);
      logits.emplace_back(shown.begin(), shown.end());
      texts.push_back(std::move(rows));
    }
  }

  const float* logits_of(int sequence, std::int64_t position) const {
    return &logits[size(sequence)][size(position * model.config().n_vocab)];
  }

  Model model;
  std::vector<std::vector<BatchRow>> texts;
  std::vector<std::vector<float>> logits;
};

/// Every architecture, type of head, and size of a head of attention that takes a way of its own.
const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = [] {
    std::vector<SynthShape> shapes(7, test::smallest_shape(kLength));
    shapes[0].n_layer = 2;
    shapes[1].architecture = "bitnet-25";
    shapes[1].embedding = TensorType::q6_k;
    shapes[1].n_embd = 256;
    shapes[1].head_dim = 96;
    shapes[2].architecture = "bitnet";
    shapes[2].embedding = TensorType::bf16;
    shapes[2].n_embd = 256;
    shapes[2].n_ff = 384;
    shapes[3].n_head = 8;
    shapes[3].head_dim = 80;
    shapes[3].embedding = TensorType::f32;
    shapes[4].untied = true;
    shapes[4].head = TensorType::q8_0;
    shapes[4].n_head = 2;
    shapes[4].n_head_kv = 1;
    shapes[4].head_dim = 128;
    shapes[5].architecture = "llama";
    shapes[5].untied = true;
    shapes[5].biases = true;
    shapes[5].rope_freqs = true;
    shapes[6].architecture = "llama";
    shapes[6].factors = true;
    shapes[6].n_head = 2;
    shapes[6].n_head_kv = 1;
    shapes[6].head_dim = 256;
    std::vector<Subject> made;
    for (const SynthShape& shape : shapes) made.emplace_back(shape);
    return made;
  }();
  return all;
}

/// Neighbouring rows of one sequence.
struct Portion {
  int sequence;
  std::int64_t rows;
  std::int64_t forgotten;  // this many tokens before them are evaluated again
  bool logits;
  bool ends_the_call;
};

std::ostream& operator<<(std::ostream& out, const Portion& p) {
  return out << p.rows << " of sequence " << p.sequence << (p.logits ? "" : " unwanted")
             << (p.forgotten == 0 ? "" : " from " + std::to_string(p.forgotten) + " back")
             << (p.ends_the_call ? ";" : ",");
}

rc::Gen<Portion> portions() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::inRange(0, kSequences), rc::gen::inRange<std::int64_t>(1, 24),
                     rc::gen::weightedElement<std::int64_t>({{6, 0}, {1, 1}, {1, 7}, {1, kLength}}),
                     rc::gen::weightedElement<bool>({{1, false}, {4, true}}), rc::gen::arbitrary<bool>()),
      [](const auto& drawn) {
        const auto& [sequence, rows, forgotten, logits, ends] = drawn;
        return Portion{sequence, rows, forgotten, logits, ends};
      });
}

const Kernels& any_kernels() {
  std::vector<const Kernels*> tables;
  for (const Kernels* kernels : compiled_kernels())
    if (supported(*kernels)) tables.push_back(kernels);
  return **rc::gen::elementOf(tables);
}

/// Evaluates the portions and compares what each row got, by `compare(row, its number among the call's,
/// sequence, position)`.
template <class Evaluate, class Compare>
void evaluate(const Subject& subject, Context& context, const std::vector<Portion>& plan, Evaluate call,
              Compare compare) {
  struct Place {
    int sequence;
    std::int64_t position;
  };
  std::vector<BatchRow> rows;
  std::vector<Place> wanted;
  std::array<std::int64_t, kSequences> at = {};
  const auto finish = [&] {
    if (rows.empty()) return;
    const auto shown = call(rows);
    for (std::size_t i = 0; i < wanted.size(); ++i) compare(shown, i, wanted[i].sequence, wanted[i].position);
    rows.clear();
    wanted.clear();
  };
  for (const Portion& p : plan) {
    std::int64_t& position = at[size(p.sequence)];
    if (p.forgotten > 0) {
      finish();
      position = std::max<std::int64_t>(0, position - p.forgotten);
      context.truncate(p.sequence, position);
    }
    for (const std::int64_t end = std::min(position + p.rows, kLength); position < end; ++position) {
      rows.push_back(subject.texts[size(p.sequence)][size(position)]);
      rows.back().logits = p.logits;
      if (p.logits) wanted.push_back({p.sequence, position});
    }
    if (p.ends_the_call) finish();
  }
  finish();
}

/// What a case runs on.
ContextOptions any_options() {
  ContextOptions options;
  options.isa = any_kernels().name;
  options.threads = *rc::gen::inRange(1, 9);
  options.batch = *rc::gen::weightedOneOf<std::int64_t>(
      {{2, rc::gen::inRange<std::int64_t>(1, 70)}, {1, rc::gen::just<std::int64_t>(256)}});
  options.n_ctx = kLength;
  options.sequences = kSequences;
  RC_LOG() << options.isa << ", " << options.threads << " threads, batches of " << options.batch << "\n";
  return options;
}

std::vector<Portion> any_plan() {
  return *rc::gen::container<std::vector<Portion>>(*rc::gen::inRange<std::size_t>(1, 7), portions());
}

CROSSVAL_PROPERTY(ModelProperties, logits_are_a_function_of_the_text, ()) {
  const Subject& subject = subjects()[*rc::gen::inRange<std::size_t>(0, subjects().size())];
  Context context(subject.model, any_options());
  const std::int64_t n_vocab = subject.model.config().n_vocab;
  evaluate(
      subject, context, any_plan(), [&](const std::vector<BatchRow>& rows) { return context.forward(rows); },
      [&](std::span<const float> logits, std::size_t i, int sequence, std::int64_t position) {
        const std::string text = difference("logits", subject.logits_of(sequence, position),
                                            logits.data() + static_cast<std::int64_t>(i) * n_vocab, n_vocab);
        if (!text.empty())
          RC_FAIL("sequence " + std::to_string(sequence) + ", position " + std::to_string(position) + ": " +
                  text);
      });
}

CROSSVAL_PROPERTY(ModelProperties, greedy_picks_are_a_function_of_the_text, ()) {
  const Subject& subject = subjects()[*rc::gen::inRange<std::size_t>(0, subjects().size())];
  ContextOptions options = any_options();
  options.screen_after = *rc::gen::element<std::int64_t>(-1, 0, 20);
  options.screen_min_bytes = 0;
  Context context(subject.model, options);
  const std::int64_t n_vocab = subject.model.config().n_vocab;
  evaluate(
      subject, context, any_plan(),
      [&](const std::vector<BatchRow>& rows) { return context.forward_greedy(rows); },
      [&](std::span<const Pick> picks, std::size_t i, int sequence, std::int64_t position) {
        const float* logits = subject.logits_of(sequence, position);
        const std::int64_t best = select_kernels("scalar").argmax(logits, n_vocab);
        RC_ASSERT(picks[i].token == best);
        RC_ASSERT(same_bits(picks[i].logit, logits[best]));
      });
}

}  // namespace
}  // namespace bitnet
