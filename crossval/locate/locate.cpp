#include "crossval/locate/locate.h"

#include <algorithm>
#include <bit>
#include <set>
#include <variant>

#include "crossval/locate/locate_bundle.h"
#include "crossval/mistakes/planted.h"
#include "crossval/records/record_file.h"
#include "crossval/replay/shrink.h"

namespace crossval {
namespace {

// Columns are listed where there are few, and few of those that there are.
constexpr std::size_t kFewColumns = 4;
constexpr std::size_t kLeastWidth = 16 * kFewColumns;

// What is known of the first operation that failed on one side, gathered while its inputs are at hand.
struct Suspect {
  TapId tap;
  std::int64_t first_row = 0;
  std::set<std::int64_t> columns;  // that differ, a few
  bool few_columns = true;
  std::optional<Explanation> explanation;
  std::optional<WeightSuspicion> weights;
  std::variant<Bundle, std::string> bundle;  // or the reason why there is none
};

void note_columns(Suspect& suspect, const LocalFailure& failure) {
  for (std::int64_t t = 0; t < failure.shown.rows() && suspect.columns.size() <= kFewColumns; ++t) {
    const auto got = failure.shown.row(t), right = failure.evaluated.row(t);
    if (got.size() < kLeastWidth) suspect.few_columns = false;
    for (std::size_t k = 0; k < got.size() && suspect.columns.size() <= kFewColumns; ++k)
      if (std::bit_cast<std::uint32_t>(got[k]) != std::bit_cast<std::uint32_t>(right[k]))
        suspect.columns.insert(static_cast<std::int64_t>(k));
  }
}

// Where the first failures of either side come from.
class Suspects {
 public:
  Suspects(const Session& session, const GateSet& gates) : session_(session), gates_(gates) {}

  void note(const LocalFailure& failure, std::int64_t step) {
    if (!first_) first_ = failure.side;
    std::optional<Suspect>& suspect = failure.side == Side::candidate ? candidate_ : reference_;
    const TapId tap = failure.operation.output;
    if (!suspect) {
      suspect.emplace();
      suspect->tap = tap;
      suspect->first_row = failure.first_row;
      suspect->explanation =
          explain(bench(), failure.operation, failure.shown, failure.evaluated.values, failure.inputs);
      const bitnet::Model& model = *session_.reference_model;
      if (bitnet::inputs_of(model.config(), tap).integer_product) suspect->weights.emplace(model, tap);
      suspect->bundle = shrink(failure, source_of(failure.side, step));
    }
    if (suspect->tap != tap) return;
    note_columns(*suspect, failure);
    if (suspect->weights && !suspect->explanation)
      suspect->weights->add(failure.operation, failure.shown, failure.evaluated.values);
  }

  /// Failures are told in the order of evaluations, then of operations: the side of the first.
  std::optional<Side> first() const { return first_; }
  const std::optional<Suspect>& of(Side side) const {
    return side == Side::candidate ? candidate_ : reference_;
  }

 private:
  // Mistakes are made with what the evaluator takes for right.
  const Workbench& bench() {
    if (!bench_) bench_.emplace(make_workbench(session_.reference_model, session_.reference_path));
    return *bench_;
  }

  BundleSource source_of(Side side, std::int64_t step) const {
    const bool candidate = side == Side::candidate;
    return {.model = *session_.reference_model,
            .gates = gates_,
            .step = step,
            .participant = (candidate ? session_.candidate : session_.reference)->identity(),
            .evaluator = session_.evaluator->identity().name,
            .arbiter = session_.arbiter_spec ? session_.arbiter_spec->kind : "",
            .model_sha256 = session_.reference_model_sha256};
  }

  const Session& session_;
  const GateSet& gates_;
  std::optional<Workbench> bench_;
  std::optional<Side> first_;
  std::optional<Suspect> candidate_, reference_;
};

// Before `until` in the order of the forward pass, that one included.
bool comes_by(const bitnet::Config& config, TapId id, TapId until) {
  const auto place = [&](TapId tap) {
    if (bitnet::has_layer(tap.tap)) return tap.layer;
    return tap.tap == bitnet::Tap::inp_embd ? -1 : static_cast<int>(config.n_layer);
  };
  return place(id) <= place(until);
}

std::vector<TapErrors> errors_of(std::vector<Comparison>&& comparisons) {
  std::vector<TapErrors> all;
  for (Comparison& c : comparisons) {
    if (all.empty() || all.back().tap != c.tap)
      all.push_back({.tap = c.tap, .candidate = {}, .reference = {}, .free = {}});
    TapErrors& errors = all.back();
    if (c.mode == Mode::free)
      errors.free = std::move(c);
    else
      (c.side == Side::candidate ? errors.candidate : errors.reference) = std::move(c);
  }
  return all;
}

// The bundle that was cut when the operation failed, with what is known now; none where it shows something
// else by itself.
CutFailure take_bundle(const Suspect& suspect, const std::string& case_id, bool both_failed,
                       const Location::Guilty& guilty) {
  if (const auto* why_not = std::get_if<std::string>(&suspect.bundle)) return {{}, *why_not};
  Bundle bundle = std::get<Bundle>(suspect.bundle);
  bundle.case_id = case_id;
  bundle.both_failed = both_failed;
  bundle.who = to_string(guilty.blame);
  bundle.why = guilty.why;
  bundle.likeness = likeness_of(guilty);
  std::string why_not = check_replay(bundle);
  if (!why_not.empty()) return {{}, std::move(why_not)};
  return {std::move(bundle), {}};
}

Location::Guilty convict(const Suspects& suspects, Side side, const TapErrors& errors,
                         const std::string& case_id, CutFailure& cut) {
  const Suspect& suspect = *suspects.of(side);
  const Comparison& failed = side == Side::candidate ? *errors.candidate : *errors.reference;
  const auto& other = suspects.of(side == Side::candidate ? Side::reference : Side::candidate);
  Location::Guilty guilty{.blame = side == Side::candidate ? Blame::candidate : Blame::reference,
                          .tap = suspect.tap,
                          .row = failed.row,
                          .why = failed.judgement.why,
                          .columns = {},
                          .explanation = suspect.explanation,
                          .weights = {}};
  // Both sides against the third, or the arbiter with this side and against the third: nobody can tell. An
  // arbiter whose own bounds are too wide for the difference says nothing.
  const bool both = other && other->tap == suspect.tap && other->first_row == suspect.first_row;
  if (both) guilty.blame = Blame::unclear;
  if (failed.opinion && failed.opinion->bears_out_got && !failed.opinion->bears_out_expected)
    guilty.blame = Blame::unclear;
  if (suspect.few_columns && suspect.columns.size() <= kFewColumns)
    guilty.columns.assign(suspect.columns.begin(), suspect.columns.end());
  if (suspect.weights && !suspect.explanation) guilty.weights = suspect.weights->found();
  cut = take_bundle(suspect, case_id, both, guilty);
  return guilty;
}

}  // namespace

Location locate(Session& s, const GateSet& gates, const std::string& case_id,
                const std::vector<std::vector<Token>>& steps, std::optional<TapId> until) {
  CutFailure cut;
  return locate(s, gates, case_id, steps, until, cut);
}

Location locate(Session& s, const GateSet& gates, const std::string& case_id,
                const std::vector<std::vector<Token>>& steps, std::optional<TapId> until, CutFailure& cut) {
  if (!s.evaluator) s.evaluator = s.make_evaluator();
  // Gates that judge no operation leave that to the default ones.
  const bool judged =
      std::ranges::any_of(gates.gates, [](const Gate& gate) { return gate.mode == Mode::local; });
  const GateSet usual = default_gates(0.999);
  LockstepPlan plan;
  plan.gates = judged ? &gates : &usual;
  plan.evaluation_tokens = s.plan.evaluation_tokens;
  plan.rounding = s.plan.rounding;
  for (const TapId tap : s.plan.taps)
    if (!until || comes_by(s.model->config(), tap, *until)) plan.taps.push_back(tap);
  for (const Side side : {Side::candidate, Side::reference}) {
    LocalPlan local = plan_local(s, side);
    std::erase_if(local.taps, [&](TapId id) { return std::ranges::find(plan.taps, id) == plan.taps.end(); });
    if (!local.taps.empty()) plan.local.push_back(std::move(local));
  }

  Suspects suspects(s, *plan.gates);
  std::int64_t now = 0;
  Lockstep lockstep({.candidate = *s.candidate,
                     .reference = *s.reference,
                     .noise = nullptr,
                     .candidate_model = *s.model,
                     .reference_model = *s.reference_model,
                     .evaluator = s.evaluator.get(),
                     .arbiter = s.arbiter,
                     .on_local_failure = [&](const LocalFailure& failure) { suspects.note(failure, now); }},
                    plan);
  for (Participant* p : {s.candidate.get(), s.reference.get()}) p->begin_case(case_id);
  lockstep.reset();
  Location location{
      .case_id = case_id, .evaluator = s.evaluator->identity().name, .step = 0, .taps = {}, .guilty = {}};
  for (std::size_t step = 0; step < steps.size(); ++step) {
    now = location.step = static_cast<std::int64_t>(step);
    Lockstep::Step made = lockstep.step(steps[step], now);
    location.taps = errors_of(std::move(made.comparisons));
    const auto first = suspects.first();
    if (!first) continue;
    const auto errors = std::ranges::find(location.taps, suspects.of(*first)->tap, &TapErrors::tap);
    location.guilty = convict(suspects, *first, *errors, case_id, cut);
    break;
  }
  return location;
}

std::string likeness_of(const Location::Guilty& g) {
  if (g.explanation) {
    const Explanation& e = *g.explanation;
    std::string text = "differs as if " + e.as_if + ": ";
    if (e.bits == 0) return text + "0 bits left in " + std::to_string(e.values) + " values";
    return text + "roundings left in " + std::to_string(e.bits) + " of " + std::to_string(e.values) +
           " values";
  }
  std::string text;
  for (const WrongWeight& w : g.weights)
    text += (text.empty() ? "" : "; ") + w.tensor + " [" + std::to_string(w.row) + ", " +
            std::to_string(w.column) + "] is " + std::to_string(std::abs(w.off_by)) +
            (w.off_by > 0 ? " too great" : " too small");
  if (!text.empty() || g.columns.empty()) return text;
  for (const std::int64_t column : g.columns) text += (text.empty() ? "" : ", ") + std::to_string(column);
  return (g.columns.size() == 1 ? "only column " : "only the columns ") + text +
         (g.columns.size() == 1 ? " differs" : " differ");
}

nlohmann::json to_json(const Location& location) {
  nlohmann::json record = {{"case", location.case_id},
                           {"step", location.step},
                           {"evaluator", location.evaluator},
                           {"who", nullptr},
                           {"tap", nullptr}};
  if (!location.guilty) return record;
  const Location::Guilty& g = *location.guilty;
  record["who"] = to_string(g.blame);
  record["tap"] = bitnet::to_string(g.tap);
  record["row"] = g.row;
  record["why"] = g.why;
  if (const std::string likeness = likeness_of(g); !likeness.empty()) record["likeness"] = likeness;
  if (g.explanation)
    record["explanation"] = {{"mistake", g.explanation->mistake},
                             {"bits", g.explanation->bits},
                             {"values", g.explanation->values},
                             {"nmse", json_number(g.explanation->nmse)}};
  for (const WrongWeight& w : g.weights)
    record["weights"].push_back(
        {{"tensor", w.tensor}, {"row", w.row}, {"column", w.column}, {"off_by", w.off_by}});
  return record;
}

}  // namespace crossval
