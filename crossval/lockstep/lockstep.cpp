#include "crossval/lockstep/lockstep.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "crossval/errors.h"
#include "crossval/lockstep/hashed_rows.h"
#include "crossval/lockstep/local_bounds.h"
#include "crossval/lockstep/self_noise.h"

namespace crossval {
namespace {

using bitnet::Tap;

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Both sides must show the same rows of the same widths; nothing is ever cut to the shorter one.
void check_shape(const Tensor& got, const Tensor& expected) {
  if (got.offsets == expected.offsets) return;
  // A row known by its hash alone has no width; equal hashes are of equal widths.
  bool same = got.rows() == expected.rows();
  for (std::int64_t i = 0; same && i < got.rows(); ++i)
    same = !got.known(i) || !expected.known(i) || got.row(i).size() == expected.row(i).size();
  if (same) return;
  const auto shape = [](const Tensor& t) {
    return std::to_string(t.rows()) + " rows, " + std::to_string(t.values.size()) + " values";
  };
  throw Incomparable("tap " + bitnet::to_string(got.id) + ": the candidate shows " + shape(got) +
                     ", the reference " + shape(expected));
}

// Questions put to the arbiter within one case: the first failures tell, what follows is inherited.
constexpr int kMaxQuestions = 16;

// Nothing can be said of the values then.
bool by_hash_alone(const Tensor& a, const Tensor& b) {
  return !a.hashes.empty() && !b.hashes.empty();
}

std::int64_t differing(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  std::int64_t n = 0;
  for (std::size_t k = 0; k < a.size(); ++k) n += a[k] != b[k];
  return n;
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

std::string_view to_string(Side side) {
  return side == Side::candidate ? "candidate" : "reference";
}

std::string_view to_string(Spoil spoil) {
  switch (spoil) {
    case Spoil::negated:
      return "signs turned";
    case Spoil::doubled:
      return "doubled";
    case Spoil::not_a_number:
      return "one value not a number";
  }
  return "";
}

std::string_view to_string(Blame blame) {
  switch (blame) {
    case Blame::candidate:
      return "candidate wrong";
    case Blame::reference:
      return "reference wrong";
    case Blame::unclear:
      return "cannot tell";
  }
  return "cannot tell";
}

Lockstep::Lockstep(const Sides& sides, const LockstepPlan& plan)
    : sides_(sides), plan_(plan), gates_(plan.gates), arbiter_gates_(default_gates(0.999)) {
  for (const LocalPlan& local : plan.local)
    fed_.push_back(
        {LocalInputs((local.fed == Side::candidate ? sides.candidate_model : sides.reference_model).config()),
         {}});
  std::size_t at = 0;
  for (const TapId tap : plan.taps) {
    index_[tap] = at++;
    for (const LocalPlan& local : plan.local) at += local.taps.contains(tap);
    nonzero_[tap] = false;
  }
}

void Lockstep::reset(const GateSet* gates) {
  gates_ = gates ? gates : plan_.gates;
  sides_.candidate.reset();
  sides_.reference.reset();
  if (sides_.noise) sides_.noise->reset();
  for (Fed& fed : fed_) fed.inputs.reset();
  asked_ = 0;
  for (auto& [tap, nonzero] : nonzero_) nonzero = false;
  noise_ = plan_.recorded_noise.value_or(SelfNoise{});
}

std::int64_t Lockstep::comparisons_per_step() const {
  std::size_t n = plan_.taps.size();
  for (const LocalPlan& local : plan_.local) n += local.taps.size();
  return static_cast<std::int64_t>(n);
}

Lockstep::Step Lockstep::step(std::span<const Token> tokens, std::int64_t step) {
  step_ = step;
  Step out;
  for (const TapId tap : plan_.taps) {
    for (const LocalPlan& local : plan_.local)
      if (local.taps.contains(tap))
        out.comparisons.push_back({.tap = tap,
                                   .mode = Mode::local,
                                   .side = sides_.evaluator ? std::optional(local.fed) : std::nullopt});
    out.comparisons.push_back({.tap = tap, .mode = Mode::free});
  }
  const auto n = static_cast<std::size_t>(std::max<std::int64_t>(1, plan_.evaluation_tokens));
  for (std::size_t at = 0; at < tokens.size(); at += n)
    evaluate(tokens.subspan(at, std::min(n, tokens.size() - at)), static_cast<std::int64_t>(at), out);
  for (const Comparison& c : out.comparisons)
    if (c.rows != static_cast<std::int64_t>(tokens.size()))
      throw Incomparable("tap " + bitnet::to_string(c.tap) + ": " + std::to_string(c.rows) +
                         " rows compared of " + std::to_string(tokens.size()));
  if (out.candidate_logits.empty() || out.reference_logits.empty())
    throw Incomparable(
        "step " + std::to_string(step) +
        ": the trace has the logits of its last row as SHA-256 only; was it recorded with other "
        "steps?");
  return out;
}

void Lockstep::evaluate(std::span<const Token> tokens, std::int64_t first_row, Step& out) {
  const TapId logits{Tap::result_output, -1};
  const auto compared = [this](TapId id) { return index_.contains(id); };
  const auto shown = [&](TapId id) { return compared(id) || id == logits; };
  // A side that is fed from shows the inputs too.
  const auto wanted = [&](Side side) {
    return [this, &shown, side](TapId id) {
      return shown(id) || std::any_of(plan_.local.begin(), plan_.local.end(), [&](const LocalPlan& local) {
               return local.fed == side && local.inputs.contains(id);
             });
    };
  };
  Stream reference(sides_.reference, tokens, wanted(Side::reference));
  Stream candidate(sides_.candidate, tokens, wanted(Side::candidate));
  std::optional<Stream> noise;
  if (sides_.noise) noise.emplace(*sides_.noise, tokens, shown);

  // A side that is fed from leads; the other's tensors are taken as they are needed.
  const Side leading = plan_.local.empty() ? Side::reference : plan_.local.front().fed;
  Stream& leader = leading == Side::candidate ? candidate : reference;
  Stream& follower = leading == Side::candidate ? reference : candidate;
  for (Fed& fed : fed_) {
    fed.inputs.begin(tokens);
    fed.seen.clear();
  }
  const auto remember = [&](Side side, const Tensor& tensor) {
    for (std::size_t k = 0; k < fed_.size(); ++k) {
      if (plan_.local[k].fed != side) continue;
      fed_[k].inputs.add(tensor);
      fed_[k].seen.insert(tensor.id);
    }
  };

  std::size_t seen = 0;
  while (auto led = leader.next()) {
    const TapId id = led->id;
    if (!shown(id)) {
      remember(leading, *led);
      continue;
    }
    const Tensor followed = follower.take(id);
    const Tensor& got = leading == Side::candidate ? *led : followed;
    const Tensor& expected = leading == Side::candidate ? followed : *led;
    check_shape(got, expected);
    check_hashes(got);
    check_hashes(expected);
    if (id == logits) {
      const auto last = got.row(got.rows() - 1), want = expected.row(expected.rows() - 1);
      out.candidate_logits.assign(last.begin(), last.end());
      out.reference_logits.assign(want.begin(), want.end());
    }
    if (compared(id)) {
      ++seen;
      std::size_t at = index_[id];
      if (!nonzero_[id])
        nonzero_[id] = any_nonzero(got) || any_nonzero(expected) || by_hash_alone(got, expected);
      for (std::size_t k = 0; k < plan_.local.size(); ++k) {
        const LocalPlan& local = plan_.local[k];
        if (!local.taps.contains(id)) continue;
        if (local.fed != leading) {
          // What the follower shows beyond the compared taps waits in its stream.
          for (const TapId input : bitnet::inputs_of(sides_.candidate_model.config(), id).taps())
            if (!fed_[k].seen.contains(input)) remember(local.fed, follower.take(input));
        }
        compare_local(k, local.fed == leading ? *led : followed, first_row, out.comparisons[at++]);
      }
      compare(out.comparisons[at], got, expected, first_row);
      if (canary_ && canary_->tap == id && (expected.known(0) || got.known(0)))
        out.canary = compare_canary(expected.known(0) ? expected : got);
    }
    if (noise) note_noise(noise_, expected, noise->take(id));
    remember(leading, *led);
    remember(leading == Side::candidate ? Side::reference : Side::candidate, followed);
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

bool Lockstep::compare(Comparison& into, const Tensor& got, const Tensor& expected, std::int64_t first_row,
                       const Known* known) {
  bool all_pass = true;
  for (std::int64_t i = 0; i < got.rows(); ++i) {
    const bool by_hash = !got.known(i) || !expected.known(i);
    const bool same = by_hash && same_by_hash(got, expected, i);
    Measured m;
    if (by_hash)
      m = measured_by_hash(same);
    else
      m.row = compare_rows(got.row(i), expected.row(i));
    const auto at = static_cast<std::size_t>(i);
    if (known && !known->got.empty()) m.integers_differing = differing(known->got[at], known->expected[at]);
    if (known && !known->rounding.empty()) m.rounding = known->rounding[at];
    if (known && !known->bounds.empty()) m.bound = known->bounds[at];
    std::optional<LogitMetrics> logits;
    if (into.tap.tap == Tap::result_output && into.mode == Mode::free && !by_hash) {
      logits = compare_logits(got.row(i), expected.row(i));
      m.kl = logits->kl;
    }
    into.bits += m.row.bits;
    into.count += static_cast<std::int64_t>(std::max(got.row(i).size(), expected.row(i).size()));
    Judgement j = judge(*gates_, into.mode, into.tap, step_, m);
    if (by_hash) judge_by_hash(same, j);
    all_pass = all_pass && j.pass;
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
  return all_pass;
}

Comparison Lockstep::compare_canary(const Tensor& tensor) {
  const auto row = tensor.row(0);
  const Tensor sound{.id = tensor.id, .offsets = {0, std::ssize(row)}, .values = {row.begin(), row.end()}};
  Tensor spoiled = sound;
  switch (canary_->spoil) {
    case Spoil::negated:
      for (float& x : spoiled.values) x = -x;
      break;
    case Spoil::doubled:
      for (float& x : spoiled.values) x *= 2;
      break;
    case Spoil::not_a_number:
      spoiled.values.front() = std::numeric_limits<float>::quiet_NaN();
      break;
  }
  Comparison comparison{.tap = tensor.id, .mode = canary_->mode};
  compare(comparison, spoiled, sound, 0);
  canary_.reset();
  return comparison;
}

Lockstep::Integers Lockstep::integers(const Tensor& output, const bitnet::Operation& operation,
                                      const bitnet::Model& model) const {
  const bitnet::Config& config = sides_.candidate_model.config();
  const bitnet::OperationInputs inputs = bitnet::inputs_of(config, output.id);
  if (!inputs.integer_product || rounds_otherwise(output.id)) return {};
  const std::int64_t width = bitnet::tap_width(config, inputs.a->tap, 0);
  const bitnet::Projection& projection = projection_of(model.weights(), output.id);
  Integers rows;
  for (std::int64_t i = 0; i < output.rows(); ++i)
    rows.push_back(integer_products(output.row(i), {operation.a + i * width, static_cast<std::size_t>(width)},
                                    projection));
  return rows;
}

// Integers of a row that was rounded otherwise are others.
bool Lockstep::rounds_otherwise(TapId tap) const {
  return std::ranges::any_of(plan_.rounding, [&](const auto& side) { return side.second.of(tap); });
}

std::vector<RoundingFigures> Lockstep::rounding(Side side, const bitnet::Operation& operation,
                                                const Tensor& own, const Tensor& foreign) const {
  const auto it = plan_.rounding.find(side);
  if (it == plan_.rounding.end()) return {};
  const bitnet::Model& model = side == Side::candidate ? sides_.candidate_model : sides_.reference_model;
  const auto input = bitnet::inputs_of(model.config(), operation.output).a;
  if (!input) return {};
  return explain_rounding(it->second, operation, bitnet::tap_width(model.config(), input->tap, 0), own,
                          foreign, model.weights());
}

void Lockstep::compare_local(std::size_t which, const Tensor& fed, std::int64_t first_row, Comparison& into) {
  // The operation is evaluated on the inputs of the side that `fed` belongs to. `got` is the candidate's
  // figure, but with a third evaluator that of the side it is held against.
  const Side side = plan_.local[which].fed;
  const bool third_party = sides_.evaluator != nullptr;
  const bool fed_is_got = third_party || side == Side::candidate;
  const bitnet::Model& fed_model = side == Side::candidate ? sides_.candidate_model : sides_.reference_model;
  const bitnet::Model& other_model =
      side == Side::candidate || third_party ? sides_.reference_model : sides_.candidate_model;
  Participant& evaluator = third_party               ? *sides_.evaluator
                           : side == Side::candidate ? sides_.reference
                                                     : sides_.candidate;

  const auto start = std::chrono::steady_clock::now();
  const auto operation = fed_[which].inputs.operation(fed.id);
  if (!operation) {
    std::string names;
    for (const TapId input : bitnet::inputs_of(fed_model.config(), fed.id).taps())
      names += (names.empty() ? "" : ", ") + bitnet::to_string(input);
    throw Incomparable("tap " + bitnet::to_string(fed.id) + " came, but not all that it is made of (" +
                       names + "), though it is listed, so its local error is unknown");
  }
  const Tensor evaluated{.id = fed.id, .offsets = fed.offsets, .values = evaluator.evaluate(*operation)};
  if (evaluated.values.size() != fed.values.size()) check_shape(evaluated, fed);
  const Shown given{fed, side, integers(fed, *operation, fed_model)};
  const Shown made{
      evaluated,
      third_party ? std::nullopt : std::optional(side == Side::candidate ? Side::reference : Side::candidate),
      integers(evaluated, *operation, other_model)};
  const Shown& got = fed_is_got ? given : made;
  const Shown& expected = fed_is_got ? made : given;

  const auto explained = rounding(side, *operation, evaluated, fed);
  // Where the input is rounded otherwise, that is the bound. The evaluated tensor tells the magnitudes: a
  // faulty one may hold anything.
  const auto bounds =
      explained.empty() ? hold_to_bounds(fed_model, *operation, fed, evaluated) : std::vector<BoundFigures>{};
  const Known known{got.integers, expected.integers, explained, bounds};
  if (!compare(into, got.tensor, expected.tensor, first_row, &known)) {
    if (!into.opinion && into.row >= first_row)
      into.opinion = ask(*operation, got, expected, into.row - first_row);
    if (sides_.on_local_failure)
      sides_.on_local_failure({.side = side,
                               .operation = *operation,
                               .shown = fed,
                               .evaluated = evaluated,
                               .inputs = fed_[which].inputs,
                               .first_row = first_row});
  }
  seconds_.local += since(start);
}

std::optional<Opinion> Lockstep::ask(const bitnet::Operation& operation, const Shown& got,
                                     const Shown& expected, std::int64_t row) {
  if (!sides_.arbiter || asked_ >= kMaxQuestions) return std::nullopt;
  Participant* arbiter = sides_.arbiter();
  if (!arbiter) return std::nullopt;
  ++asked_;
  const TapId tap = got.tensor.id;
  const Tensor opinion{.id = tap, .offsets = got.tensor.offsets, .values = arbiter->evaluate(operation)};
  if (opinion.values.size() != got.tensor.values.size()) check_shape(opinion, got.tensor);
  const auto at = static_cast<std::size_t>(row);
  const Integers wanted = integers(opinion, operation, sides_.reference_model);

  Opinion out;
  const auto holds = [&](const Shown& shown) {
    Measured m;
    m.row = compare_rows(shown.tensor.row(row), opinion.row(row));
    if (shown.side) (*shown.side == Side::candidate ? out.candidate : out.reference) = m.row;
    if (!wanted.empty()) m.integers_differing = differing(shown.integers[at], wanted[at]);
    if (shown.side)
      if (const auto explained = rounding(*shown.side, operation, opinion, shown.tensor); !explained.empty())
        m.rounding = explained[at];
    if (!m.rounding)
      if (const auto bounds = hold_to_bounds(sides_.reference_model, operation, shown.tensor, opinion);
          !bounds.empty())
        m.bound = bounds[at];
    return judge(arbiter_gates_, Mode::local, tap, step_, m).pass;
  };
  out.bears_out_got = holds(got);
  out.bears_out_expected = holds(expected);
  const auto& guilty = out.bears_out_got ? expected.side : got.side;
  out.blame = out.bears_out_got == out.bears_out_expected || !guilty ? Blame::unclear
              : *guilty == Side::candidate                           ? Blame::candidate
                                                                     : Blame::reference;
  return out;
}

std::vector<TapId> Lockstep::always_zero() const {
  std::vector<TapId> zero;
  for (const auto& [tap, nonzero] : nonzero_)
    if (!nonzero) zero.push_back(tap);
  return zero;
}

}  // namespace crossval
