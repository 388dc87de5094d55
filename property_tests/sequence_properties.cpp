// Sequences that are forked, freed, saved, restored and truncated while others go on, and requests that join
// and leave a running batch: each answers as if it were alone.

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <deque>
#include <map>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/generate/batcher.h"
#include "engine/kernels/test_values.h"
#include "engine/model/context.h"
#include "engine/model/test_model.h"
#include "property_tests/property.h"

namespace bitnet {
namespace {

using namespace testing_support;

constexpr std::int64_t kLength = 150;  // more than two pages of the KV cache
constexpr std::size_t kLive = 6;       // sequences at once

/// A head of attention in whole vectors, one that is none, and a head that greedy picks screen.
const std::vector<Model>& models() {
  static const std::vector<Model> all = [] {
    std::vector<SynthShape> shapes(3, test::smallest_shape(kLength));
    shapes[0].n_layer = 2;
    shapes[1].n_embd = 256;
    shapes[1].head_dim = 96;
    shapes[2].architecture = "llama";
    shapes[2].untied = true;
    std::vector<Model> made;
    for (const SynthShape& shape : shapes) made.push_back(test::make_model(shape));
    return made;
  }();
  return all;
}

ContextOptions any_options() {
  std::vector<std::string> isas;
  for (const Kernels* kernels : compiled_kernels())
    if (supported(*kernels)) isas.emplace_back(kernels->name);
  ContextOptions options;
  options.isa = *rc::gen::elementOf(isas);
  options.threads = *rc::gen::inRange(1, 4);
  options.batch = *rc::gen::element<std::int64_t>(1, 7, 256);
  options.n_ctx = kLength;
  options.sequences = 0;
  options.pool_tokens = 64 * *rc::gen::inRange<std::int64_t>(3, 14);
  options.idle_bytes = *rc::gen::element<std::size_t>(0, std::size_t{64} << 20);
  RC_LOG() << options.isa << ", " << options.threads << " threads, batches of " << options.batch << ", "
           << options.pool_tokens << " tokens in the pool\n";
  return options;
}

enum class Act : std::uint8_t { grow, acquire, fork, release, truncate, save, restore };

/// What to do with which of the live sequences (or saved ones), counted round; how much of it.
struct Move {
  Act act;
  std::size_t which;
  std::int64_t amount;
};

std::ostream& operator<<(std::ostream& out, const Move& m) {
  constexpr const char* kNames[] = {"grow", "acquire", "fork", "release", "truncate", "save", "restore"};
  return out << kNames[static_cast<std::size_t>(m.act)] << " " << m.which << " by " << m.amount;
}

rc::Gen<Move> moves() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::weightedElement<Act>({{5, Act::grow},
                                                    {2, Act::acquire},
                                                    {3, Act::fork},
                                                    {1, Act::release},
                                                    {2, Act::truncate},
                                                    {1, Act::save},
                                                    {1, Act::restore}}),
                     rc::gen::inRange<std::size_t>(0, kLive), rc::gen::inRange<std::int64_t>(0, 70)),
      [](const auto& drawn) {
        const auto& [act, which, amount] = drawn;
        return Move{act, which, amount};
      });
}

struct Live {
  int sequence;
  std::vector<Token> tokens;  // what should stand in it
};
struct Saved {
  std::vector<std::byte> bytes;
  std::vector<Token> tokens;
};

std::int64_t n_vocab(const Model& model) {
  return model.config().n_vocab;
}

/// One call, in which the sequence goes on by some tokens and every other by one; all of them must get the
/// logits of their tokens alone.
void grow(const Model& model, Context& context, std::vector<Live>& live, std::size_t which,
          std::int64_t amount, testing_support::Random& random) {
  std::vector<BatchRow> rows;
  for (std::size_t i = 0; i < live.size(); ++i) {
    const std::int64_t more = i == which ? amount : 1;
    for (std::int64_t k = 0; k < more; ++k)
      rows.push_back({.token = static_cast<Token>(random.below(n_vocab(model))),
                      .sequence = live[i].sequence,
                      .logits = k + 1 == more});
  }
  std::span<const float> logits;
  try {
    logits = context.forward(rows);
  } catch (const InputError&) {  // context or pool are full: nothing has changed
    for (const Live& l : live) RC_ASSERT(context.length(l.sequence) == std::ssize(l.tokens));
    return;
  }
  for (const BatchRow& row : rows)
    std::ranges::find(live, row.sequence, &Live::sequence)->tokens.push_back(row.token);
  Context lone(model, {.isa = "scalar", .threads = 1});
  std::size_t at = 0;
  for (const BatchRow& row : rows) {
    if (!row.logits) continue;
    const Live& l = *std::ranges::find(live, row.sequence, &Live::sequence);
    std::vector<BatchRow> all;
    for (const Token token : l.tokens) all.push_back({.token = token, .logits = false});
    all.back().logits = true;
    lone.truncate(0, 0);
    const std::string text =
        difference("logits", lone.forward(all).data(),
                   logits.data() + static_cast<std::int64_t>(at++) * n_vocab(model), n_vocab(model));
    if (!text.empty()) RC_FAIL("sequence " + std::to_string(l.sequence) + ": " + text);
  }
}

CROSSVAL_PROPERTY(SequenceProperties, a_sequence_is_its_tokens, ()) {
  const Model& model = models()[*rc::gen::inRange<std::size_t>(0, models().size())];
  Context context(model, any_options());
  const auto program = *rc::gen::container<std::vector<Move>>(*rc::gen::inRange<std::size_t>(1, 16), moves());
  testing_support::Random random(*rc::gen::arbitrary<std::uint64_t>());
  std::vector<Live> live;
  std::vector<Saved> saved;
  for (const Move& m : program) {
    if (live.empty() || m.act == Act::acquire) {
      if (live.size() < kLive) live.push_back({context.acquire(), {}});
      continue;
    }
    const std::size_t which = m.which % live.size();
    Live& l = live[which];
    const std::int64_t length = std::min<std::int64_t>(m.amount, std::ssize(l.tokens));
    const std::vector<Token> first(l.tokens.begin(), l.tokens.begin() + length);
    switch (m.act) {
      case Act::grow:
        grow(model, context, live, which, m.amount, random);
        break;
      case Act::fork:
        if (live.size() < kLive) live.push_back({context.fork(l.sequence, length), first});
        break;
      case Act::release:
        context.release(l.sequence);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
        break;
      case Act::truncate:
        context.truncate(l.sequence, length);
        l.tokens = first;
        break;
      case Act::save:
        saved.push_back({context.save(l.sequence), l.tokens});
        break;
      case Act::restore:
        if (saved.empty() || live.size() == kLive) break;
        try {
          const Saved& s = saved[m.which % saved.size()];
          live.push_back({context.restore(s.bytes), s.tokens});
        } catch (const InputError&) {  // the pool is full
        }
        break;
      case Act::acquire:
        break;
    }
    for (const Live& each : live) RC_ASSERT(std::ranges::equal(context.tokens(each.sequence), each.tokens));
  }
  if (!live.empty()) grow(model, context, live, 0, 3, random);
  for (const Live& l : live) context.release(l.sequence);
  RC_ASSERT(context.free_pages() == context.pages());
}

/// A request and the step before which it comes.
struct Arrival {
  std::int64_t prompt;
  std::int64_t common;  // of its tokens, those that all prompts begin with
  int max_tokens;
  bool sampled;
  int step;
};

std::ostream& operator<<(std::ostream& out, const Arrival& a) {
  return out << "at " << a.step << " a prompt of " << a.common << "+" << a.prompt << " and " << a.max_tokens
             << (a.sampled ? " sampled" : " greedy");
}

rc::Gen<Arrival> arrivals() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::inRange<std::int64_t>(1, 40), rc::gen::element<std::int64_t>(0, 10, 70),
                     rc::gen::inRange(0, 20), rc::gen::arbitrary<bool>(), rc::gen::inRange(0, 20)),
      [](const auto& drawn) {
        const auto& [prompt, common, max_tokens, sampled, step] = drawn;
        return Arrival{prompt, common, max_tokens, sampled, step};
      });
}

Request request_of(const Arrival& arrival, const Model& model, std::size_t number) {
  Request r;
  testing_support::Random common(1), own(number + 2);
  for (std::int64_t i = 0; i < arrival.common; ++i)
    r.prompt.push_back(static_cast<Token>(common.below(n_vocab(model))));
  for (std::int64_t i = 0; i < arrival.prompt; ++i)
    r.prompt.push_back(static_cast<Token>(own.below(n_vocab(model))));
  r.options.stop.max_tokens = arrival.max_tokens;
  r.options.sampling.temperature = arrival.sampled ? 1.0f : 0.0f;
  r.options.sampling.seed = number;
  return r;
}

Generation alone(const Model& model, const Request& request) {
  Context context(model, {.isa = "scalar", .threads = 1});
  std::vector<BatchRow> rows;
  return generate(
      model.tokenizer(),
      [&](std::span<const Token> tokens) {
        rows.clear();
        for (const Token token : tokens) rows.push_back({.token = token, .logits = false});
        rows.back().logits = true;
        return context.forward(rows);
      },
      request.prompt, request.options);
}

CROSSVAL_PROPERTY(SequenceProperties, a_request_in_a_batch_gets_what_it_gets_alone, ()) {
  const Model& model = models()[*rc::gen::inRange<std::size_t>(0, models().size())];
  ContextOptions options = any_options();
  options.screen_after = *rc::gen::element<std::int64_t>(-1, 0);
  options.screen_min_bytes = 0;
  Context context(model, options);
  const auto plan =
      *rc::gen::container<std::vector<Arrival>>(*rc::gen::inRange<std::size_t>(1, 7), arrivals());
  Batcher batcher(context,
                  {.running = *rc::gen::inRange(1, 5), .rows = *rc::gen::inRange<std::int64_t>(1, 90)});
  std::map<int, Generation> got;
  std::map<int, Request> requests;
  for (int step = 0; step < 20 || !batcher.idle(); ++step) {
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (plan[i].step != step) continue;
      const Request request = request_of(plan[i], model, i);
      requests.emplace(batcher.submit(request), request);
    }
    batcher.step();
    for (Finished& f : batcher.take_finished()) got.emplace(f.id, std::move(f.generation));
  }
  RC_ASSERT(got.size() == plan.size());
  for (const auto& [id, request] : requests) {
    const Generation expected = alone(model, request);
    RC_ASSERT(got.at(id).tokens == expected.tokens);
    RC_ASSERT(got.at(id).text == expected.text);
    RC_ASSERT(got.at(id).reason == expected.reason);
  }
  RC_ASSERT(context.free_pages() == context.pages());
}

}  // namespace
}  // namespace bitnet
