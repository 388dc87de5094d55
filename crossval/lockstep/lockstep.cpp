#include "crossval/lockstep/lockstep.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "crossval/errors.h"

namespace crossval {
namespace {

using bitnet::Tap;

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Both sides must show the same rows of the same widths; nothing is ever cut to the shorter one.
void check_shape(const Tensor& got, const Tensor& expected) {
  if (got.offsets == expected.offsets) return;
  const auto shape = [](const Tensor& t) {
    return std::to_string(t.rows()) + " rows, " + std::to_string(t.values.size()) + " values";
  };
  throw Incomparable("tap " + bitnet::to_string(got.id) + ": the candidate shows " + shape(got) +
                     ", the reference " + shape(expected));
}

bool any_nonzero(const Tensor& t) {
  return std::any_of(t.values.begin(), t.values.end(), [](float x) { return x != 0; });
}

}  // namespace

void SelfNoise::merge(const SelfNoise& other) {
  for (std::size_t i = 0; i < taps.size(); ++i) {
    taps[i].cosine = std::max(taps[i].cosine, other.taps[i].cosine);
    taps[i].norm = std::max(taps[i].norm, other.taps[i].norm);
  }
  logit = std::max(logit, other.logit);
  measured = measured || other.measured;
}

Lockstep::Lockstep(const Sides& sides, const LockstepPlan& plan)
    : sides_(sides),
      plan_(plan),
      gates_(plan.gates),
      candidate_evaluates_(sides.candidate.can_evaluate()),
      local_((sides.candidate.can_evaluate() ? sides.reference_model : sides.candidate_model).config()) {
  std::size_t at = 0;
  for (const TapId tap : plan.taps) {
    index_[tap] = at;
    at += plan.local ? 2 : 1;
    nonzero_[tap] = false;
  }
}

void Lockstep::reset(const GateSet* gates) {
  gates_ = gates ? gates : plan_.gates;
  sides_.candidate.reset();
  sides_.reference.reset();
  if (sides_.noise) sides_.noise->reset();
  local_.reset();
  noise_ = {};
}

std::int64_t Lockstep::comparisons_per_step() const {
  return static_cast<std::int64_t>(plan_.taps.size()) * (plan_.local ? 2 : 1);
}

Lockstep::Step Lockstep::step(std::span<const Token> tokens, std::int64_t step) {
  step_ = step;
  Step out;
  for (const TapId tap : plan_.taps) {
    if (plan_.local) out.comparisons.push_back({.tap = tap, .mode = Mode::local});
    out.comparisons.push_back({.tap = tap, .mode = Mode::free});
  }
  const auto n = static_cast<std::size_t>(std::max<std::int64_t>(1, plan_.evaluation_tokens));
  for (std::size_t at = 0; at < tokens.size(); at += n)
    evaluate(tokens.subspan(at, std::min(n, tokens.size() - at)), static_cast<std::int64_t>(at), out);
  for (const Comparison& c : out.comparisons)
    if (c.rows != static_cast<std::int64_t>(tokens.size()))
      throw Incomparable("tap " + bitnet::to_string(c.tap) + ": " + std::to_string(c.rows) +
                         " rows compared of " + std::to_string(tokens.size()));
  return out;
}

void Lockstep::evaluate(std::span<const Token> tokens, std::int64_t first_row, Step& out) {
  const TapId logits{Tap::result_output, -1};
  const auto compared = [this](TapId id) { return index_.contains(id); };
  const auto shown = [&](TapId id) { return compared(id) || id == logits; };
  // The side that is fed the other's inputs needs only what is compared; the feeding side shows the inputs
  // too.
  const auto feeding = [&](TapId id) {
    return shown(id) || (plan_.local && plan_.extra_inputs.contains(id));
  };

  Stream reference(sides_.reference, tokens,
                   candidate_evaluates_ ? std::function<bool(TapId)>(feeding) : shown);
  Stream candidate(sides_.candidate, tokens,
                   candidate_evaluates_ ? std::function<bool(TapId)>(shown) : feeding);
  std::optional<Stream> noise;
  if (sides_.noise) noise.emplace(*sides_.noise, tokens, shown);

  // The feeding side leads; the others' tensors are taken as they are needed.
  Stream& leader = candidate_evaluates_ ? reference : candidate;
  Stream& follower = candidate_evaluates_ ? candidate : reference;
  if (plan_.local) local_.begin(tokens);

  std::size_t seen = 0;
  while (auto fed = leader.next()) {
    const TapId id = fed->id;
    if (shown(id)) {
      const Tensor other = follower.take(id);
      const Tensor& got = candidate_evaluates_ ? other : *fed;
      const Tensor& expected = candidate_evaluates_ ? *fed : other;
      check_shape(got, expected);
      if (id == logits) {
        const auto last = got.row(got.rows() - 1), want = expected.row(expected.rows() - 1);
        out.candidate_logits.assign(last.begin(), last.end());
        out.reference_logits.assign(want.begin(), want.end());
      }
      if (compared(id)) {
        ++seen;
        std::size_t at = index_[id];
        if (!nonzero_[id]) nonzero_[id] = any_nonzero(got) || any_nonzero(expected);
        if (plan_.local) compare_local(*fed, first_row, out.comparisons[at++]);
        compare(out.comparisons[at], got, expected, first_row, nullptr, nullptr);
      }
      if (noise) note_noise(expected, noise->take(id));
    }
    if (plan_.local) local_.add(*fed);
  }
  if (seen != plan_.taps.size())
    throw Incomparable("only " + std::to_string(seen) + " of " + std::to_string(plan_.taps.size()) +
                       " promised taps were shown");
  candidate.finish();
  reference.finish();
  seconds_.candidate += candidate.seconds();
  seconds_.reference += reference.seconds();
  if (noise) {
    noise->finish();
    seconds_.noise += noise->seconds();
    noise_.measured = true;
  }
}

void Lockstep::compare(Comparison& into, const Tensor& got, const Tensor& expected, std::int64_t first_row,
                       const std::vector<std::vector<std::int64_t>>* got_integers,
                       const std::vector<std::vector<std::int64_t>>* expected_integers) {
  for (std::int64_t i = 0; i < got.rows(); ++i) {
    Measured m;
    m.row = compare_rows(got.row(i), expected.row(i));
    if (got_integers) {
      const auto& a = (*got_integers)[static_cast<std::size_t>(i)];
      const auto& b = (*expected_integers)[static_cast<std::size_t>(i)];
      std::int64_t differing = 0;
      for (std::size_t k = 0; k < a.size(); ++k) differing += a[k] != b[k];
      m.integers_differing = differing;
    }
    std::optional<LogitMetrics> logits;
    if (into.tap.tap == Tap::result_output && into.mode == Mode::free) {
      logits = compare_logits(got.row(i), expected.row(i));
      m.kl = logits->kl;
    }
    into.bits += m.row.bits;
    into.count += static_cast<std::int64_t>(got.row(i).size());
    const Judgement j = judge(*gates_, into.mode, into.tap, step_, m);
    // A failing row stands before any passing one, then the one that used up most of what is allowed; between
    // rows that are equal in that, the one with more differing values.
    const auto weight = [](const Judgement& judgement, const Measured& measured) {
      return std::tuple(!judgement.pass, judgement.severity, measured.row.bits);
    };
    if (into.rows == 0 || weight(j, m) > weight(into.judgement, into.worst)) {
      into.row = first_row + i;
      into.worst = m;
      into.logits = logits;
      into.judgement = j;
    }
    ++into.rows;
  }
}

void Lockstep::compare_local(const Tensor& fed, std::int64_t first_row, Comparison& into) {
  // `fed` belongs to the side whose inputs are used; the other side evaluates the operation on them. The
  // candidate's figure is always `got`.
  const auto start = std::chrono::steady_clock::now();
  const auto operation = local_.operation(fed.id);
  if (!operation)
    throw Incomparable("tap " + bitnet::to_string(fed.id) +
                       ": its inputs were not shown, so its local error is unknown");
  Participant& evaluator = candidate_evaluates_ ? sides_.candidate : sides_.reference;
  Tensor evaluated{.id = fed.id, .offsets = fed.offsets, .values = evaluator.evaluate(*operation)};
  seconds_.local += since(start);
  if (evaluated.values.size() != fed.values.size()) check_shape(evaluated, fed);
  const Tensor& got = candidate_evaluates_ ? evaluated : fed;
  const Tensor& expected = candidate_evaluates_ ? fed : evaluated;

  const bitnet::Config& config = sides_.candidate_model.config();
  if (!bitnet::inputs_of(config, fed.id).integer_product) {
    compare(into, got, expected, first_row, nullptr, nullptr);
    return;
  }
  const float candidate_scale = projection_scale(sides_.candidate_model.weights(), fed.id);
  const float reference_scale = projection_scale(sides_.reference_model.weights(), fed.id);
  std::vector<std::vector<std::int64_t>> got_integers, expected_integers;
  const auto rows = static_cast<std::size_t>(fed.rows());
  const bitnet::OperationInputs needed = bitnet::inputs_of(config, fed.id);
  const std::int64_t width = bitnet::tap_width(config, needed.a->tap, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    const std::span<const float> input(operation->a + static_cast<std::int64_t>(i) * width,
                                       static_cast<std::size_t>(width));
    got_integers.push_back(integer_products(got.row(static_cast<std::int64_t>(i)), input, candidate_scale));
    expected_integers.push_back(
        integer_products(expected.row(static_cast<std::int64_t>(i)), input, reference_scale));
  }
  compare(into, got, expected, first_row, &got_integers, &expected_integers);
}

void Lockstep::note_noise(const Tensor& reference, const Tensor& again) {
  check_shape(again, reference);
  Noise& noise = noise_.taps[static_cast<std::size_t>(reference.id.tap)];
  for (std::int64_t i = 0; i < reference.rows(); ++i) {
    const RowMetrics m = compare_rows(again.row(i), reference.row(i));
    // NaN is no noise: it would excuse everything.
    if (std::isnan(m.cosine)) continue;
    noise.cosine = std::max(noise.cosine, 1 - m.cosine);
    noise.norm = std::max(noise.norm, std::abs(m.norm_ratio - 1));
    if (reference.id.tap == Tap::result_output) noise_.logit = std::max(noise_.logit, m.max_abs);
  }
}

std::vector<TapId> Lockstep::always_zero() const {
  std::vector<TapId> zero;
  for (const auto& [tap, nonzero] : nonzero_)
    if (!nonzero) zero.push_back(tap);
  return zero;
}

}  // namespace crossval
