#include "crossval/receipt/check_records.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>

#include "crossval/baseline/baseline.h"
#include "crossval/compare/gates.h"
#include "crossval/receipt/read_records.h"
#include "crossval/run/case_runner.h"
#include "crossval/run/noise_json.h"
#include "crossval/run/totals.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "engine/kernels/counted_kernels.h"

namespace crossval {
namespace {

using nlohmann::json;
using Recorded = reports::Comparison;

constexpr std::size_t kMostComplaints = 50;
// So many figures that are all the same were not measured.
constexpr std::int64_t kConstants = 16;

std::string shown(const std::string& text) {
  return bitnet::gguf::printable(text, 80);
}

std::string number(double value) {
  return json(value).dump();
}

std::string place(const Recorded& c) {
  return shown(c.tap) + (c.mode == reports::Mode::kLocal ? " (local)" : " (free)") + " at step " +
         std::to_string(c.step) + " of case " + shown(c.case_id);
}

// What the figures of one row must be to one another (compare/metrics.cpp makes them). Empty: they hang
// together.
std::string contradiction(const Recorded& c) {
  // Rows of two traces may be known by their hashes alone: then no values were compared.
  if (c.rows < 1 || c.row < 0 || (c.count > 0 && c.bits > c.count)) return "its counts cannot be";
  if (!std::isfinite(c.cosine) || !std::isfinite(c.nmse) || !std::isfinite(c.norm_ratio)) return "";
  const double got = c.got.value_or(std::nan("")), expected = c.expected.value_or(std::nan(""));
  if (c.bits == 0) {
    const bool same = c.cosine == 1 && c.nmse == 0 && c.norm_ratio == 1 && c.max_abs == 0 && got == expected;
    return same ? "" : "no bit differs, but its figures do";
  }
  if (std::abs(c.cosine) > 1 + 1e-9) return "its cosine is " + number(c.cosine);
  if (c.max_abs != std::abs(got - expected))
    return "its greatest difference is given as " + number(c.max_abs) + ", but " + number(got) + " and " +
           number(expected) + " are " + number(std::abs(got - expected)) + " apart";
  // |g - e|² = |g|² + |e|² - 2 g.e, over |e|². Sums in double round.
  const double r = c.norm_ratio, nmse = (r - 1) * (r - 1) + 2 * r * (1 - c.cosine);
  if (c.cosine == 0 || r == 0) return "";  // a side is zero
  if (!(std::abs(nmse - c.nmse) <= 1e-11 + 1e-7 * c.nmse))
    return "its NMSE is given as " + number(c.nmse) + ", but cosine and norm ratio make it " + number(nmse);
  return "";
}

// All the gates of a run record, or of a case.
GateSet gates_in(const json& list, const std::string& where) {
  json gates = json::array();
  for (json gate : list) {
    if (gate.value("metric", "") == "top1") continue;  // of picks, not of values
    gate.erase("limit");
    gates.push_back(std::move(gate));
  }
  return parse_gates(gates, where);
}

class RecordCheck {
 public:
  explicit RecordCheck(std::filesystem::path results) : results_(std::move(results)) {}

  std::vector<std::string> check() {
    // Gates of cases and the self-noise stand behind what they judge.
    read_records(results_, {.other = [this](const json& record) { prepare(record); }});
    if (run_.is_null() || summary_.is_null())
      throw bitnet::InputError(results_.string() + ": is no crossval.results/1 file of a finished run");
    gates_ = gates_in(run_.at("gates").at("list"), "gates");
    if (gates_.sha256 != run_.at("gates").at("sha256"))
      complain("the gates are not those whose SHA-256 is given");
    read_records(results_, {.comparison = [this](const Recorded& c, std::string_view line) { on(c, line); },
                            .other = [this](const json& record) { on(record); }});
    check_constants();
    for (const auto& [id, state] : cases_) check_steps(id, state);
    check_plan();
    check_summary();
    check_kernels();
    if (left_out_ > 0) complaints_.push_back("and " + std::to_string(left_out_) + " more");
    return std::move(complaints_);
  }

 private:
  struct CaseState {
    std::int64_t made = 0, failed = 0, explained = 0, unexplained = 0;
    std::vector<std::int64_t> comparisons;  // by step
    std::int64_t tokens = 0;                // records
    json record;
  };

  void complain(std::string what) {
    if (complaints_.size() < kMostComplaints)
      complaints_.push_back(std::move(what));
    else
      ++left_out_;
  }

  void prepare(const json& record) {
    const std::string type = record.at("type");
    if (type == "run") {
      if (!run_.is_null()) complain("there is more than one run record");
      run_ = record;
    } else if (type == "summary") {
      if (!summary_.is_null()) complain("there is more than one summary record");
      summary_ = record;
    } else if (type == "plan") {
      plan_ = record.at("cases").get<std::vector<std::string>>();
    } else if (type == "case" && record.contains("gates")) {
      case_gates_[record.at("id")] = gates_in(record.at("gates"), "gates of case " + record.at("id").dump());
    }
  }

  void on(const Recorded& c, std::string_view line) {
    CaseState& state = cases_[c.case_id];
    ++state.made;
    state.failed += !c.passed();
    if (c.step < 0 || c.step > 100'000'000) return complain(place(c) + ": there is no such step");
    if (std::ssize(state.comparisons) <= c.step)
      state.comparisons.resize(static_cast<std::size_t>(c.step) + 1);
    ++state.comparisons[static_cast<std::size_t>(c.step)];
    const std::string kind = c.tap + "|" + (c.mode == reports::Mode::kLocal ? "local|" : "free|") + c.side;
    kinds_.insert(kind);
    if (!seen_.insert(std::hash<std::string>()(c.case_id + "|" + std::to_string(c.step) + "|" + kind)).second)
      complain(place(c) + ": stands there twice");
    if (const std::string what = contradiction(c); !what.empty()) complain(place(c) + ": " + what);
    note_constants(c);
    judge_anew(c, line);
  }

  void note_constants(const Recorded& c) {
    ++comparisons_;
    if (got_.size() < 2 && c.got) got_.insert(*c.got);
    if (c.bits == 0 || !std::isfinite(c.nmse)) return;
    ++differing_;
    if (nmse_.size() < 2) nmse_.insert(c.nmse);
    if (max_abs_.size() < 2) max_abs_.insert(c.max_abs);
  }

  void check_constants() {
    const auto of_trace = [&](const char* side) { return run_.at(side).value("kind", "") == "trace"; };
    // Of rows that a trace keeps as hashes no value is known.
    if (comparisons_ >= kConstants && got_.size() < 2 && !of_trace("candidate") && !of_trace("reference"))
      complain("all " + std::to_string(comparisons_) +
               " comparisons show the same value: nothing was measured");
    if (differing_ >= kConstants && (nmse_.size() < 2 || max_abs_.size() < 2))
      complain("all " + std::to_string(differing_) +
               " comparisons that differ do so by the very same figure: nothing was measured");
  }

  // By the gates in force, as judge() did it when the values were there.
  void judge_anew(const Recorded& c, std::string_view line) {
    const auto tap = bitnet::parse_tap(c.tap);
    if (!tap) return complain(place(c) + ": there is no such tap");
    const auto own = case_gates_.find(c.case_id);
    const GateSet& gates = own == case_gates_.end() ? gates_ : own->second;
    Measured measured;
    measured.row = {.cosine = c.cosine, .nmse = c.nmse, .norm_ratio = c.norm_ratio};
    // Of this row alone they are not known, but at least its share, since it is the worst.
    const auto bits = static_cast<std::int64_t>(c.bits);
    measured.row.bits = (bits + c.rows - 1) / std::max<std::int64_t>(c.rows, 1);
    if (c.integers_differing) measured.integers_differing = static_cast<std::int64_t>(*c.integers_differing);
    measured.kl = c.kl;
    const Mode mode = c.mode == reports::Mode::kLocal ? Mode::local : Mode::free;
    if (mode == Mode::local && c.bits > 0)
      if (const json record = json::parse(line); record.contains("bound")) {
        const json& share = record.at("bound").at("share");
        measured.bound = BoundFigures{};
        measured.bound->share = share.is_number() ? share.get<double>() : std::nan("");
      }
    Judgement judgement = judge(gates, mode, *tap, c.step, measured);
    const bool fails_here = !judgement.pass;
    if (fails_here && c.passed()) {
      const json record = json::parse(line);
      if (record.contains("rounding")) {
        const json& r = record.at("rounding");
        measured.rounding = RoundingFigures{};
        measured.rounding->share = r.at("share").is_number() ? r.at("share").get<double>() : std::nan("");
        judgement = judge(gates, mode, *tap, c.step, measured);
      }
      if (!judgement.pass && judgement.excusable && record.contains("noise")) {
        const Noise noise{record.at("noise").at(0), record.at("noise").at(1)};
        judgement.pass = within_noise(measured.row, noise) && is_measured(*tap, noise);
      }
      if (!judgement.pass)
        complain(place(c) + ": passed, but fails gate " + judgement.gate->name + ": " + judgement.why);
    } else if (!fails_here && !c.passed() && std::isfinite(c.cosine)) {
      measured.row.bits = bits;  // or all
      if (judge(gates, mode, *tap, c.step, measured).pass)
        complain(place(c) + ": failed, but its figures pass every gate");
    }
  }

  // The self-noise of the run, by which a comparison was excused.
  bool is_measured(TapId tap, const Noise& noise) const {
    const json all = summary_.value("self_noise", json::object());
    const auto it = all.find(std::string(bitnet::base_name(tap.tap)));
    return it != all.end() && it->at(0) == noise.cosine && it->at(1) == noise.norm;
  }

  void on(const json& record) {
    const std::string type = record.at("type");
    if (type == "tokens") {
      on_tokens(record);
    } else if (type == "case") {
      CaseState& state = cases_[record.at("id")];
      if (!state.record.is_null())
        complain("case " + shown(record.at("id")) + " has more than one record");
      else
        totals_.add(record);
      state.record = record;
      if (record.contains("self_noise")) {
        noise_.merge(noise_from_json(record.at("self_noise")));
        noise_measured_ = true;
      }
    } else if (type == "skip") {
      const auto count = record.at("count").get<std::int64_t>();
      skipped_ += count;
      complaints_recorded_ += count == 0;
    } else if (type == "canary") {
      if (!record.at("caught").get<bool>()) worst_ = worse(worst_, Verdict::invalid);
    } else if (type == "perplexity") {
      worst_ = worse(worst_, verdict_from(record.at("verdict")));
    } else if (type == "baseline") {
      worst_ = worse(worst_, verdict_from(record.at("verdict")));
      for (const std::string& what : check_baseline_record(record)) complain("baseline: " + what);
    } else if (type == "perf") {
      if (record.contains("kernels") && record.at("participant") == "candidate")
        performance_.push_back(record);
      if (!(record.at("seconds").is_number() && record.at("seconds").get<double>() >= 0))
        complain("the time of the " + shown(record.at("participant")) + " cannot be");
    }
  }

  void on_tokens(const json& record) {
    CaseState& state = cases_[record.at("case")];
    const std::string verdict = record.at("verdict");
    const auto where =
        "the picks at step " + record.at("step").dump() + " of case " + shown(record.at("case"));
    ++state.tokens;
    const bool same = record.at("candidate") == record.at("reference");
    const json& margin = record.at("margin");
    const bool excused = margin.is_number() && margin.get<double>() <= 2 * summary_.value("logit_noise", 0.0);
    state.explained += verdict == "EXPLAINED";
    state.unexplained += verdict == "FAIL";
    if (margin.is_number() && margin.get<double>() < 0) complain(where + ": the margin cannot be negative");
    if (same != (verdict == "PASS") || (verdict == "EXPLAINED" && !excused))
      complain(where + ": " + record.at("candidate").dump() + " against " + record.at("reference").dump() +
               " is not " + shown(verdict));
  }

  void check_steps(const std::string& id, const CaseState& state) {
    const auto where = "case " + shown(id);
    const json& r = state.record;
    if (r.is_null()) return complain(where + ": has comparisons, but no record of its own");
    const auto differs = [&](const std::string& what, std::int64_t said, std::int64_t counted) {
      if (said != counted)
        complain(where + ": says " + std::to_string(said) + " " + what + ", its records hold " +
                 std::to_string(counted));
    };
    differs("comparisons", r.at("comparisons"), state.made);
    differs("failed comparisons", r.at("failed"), state.failed);
    differs("explained flips", r.at("flips").at("explained"), state.explained);
    differs("unexplained flips", r.at("flips").at("unexplained"), state.unexplained);
    if (r.at("planned").get<std::int64_t>() !=
        r.at("comparisons").get<std::int64_t>() + r.at("skipped").get<std::int64_t>())
      complain(where + ": planned is not made and skipped together");
    const Verdict said = verdict_from(r.at("verdict"));
    if (said > Verdict::fail) return;  // it did not come to its end
    const bool met = r.at("expect").is_null() || r.at("expect").at("met").get<bool>();
    if (said != case_verdict(state.failed, state.unexplained, met))
      complain(where + ": its verdict " + std::string(to_string(said)) + " does not follow from its records");
    if (state.tokens != std::ssize(state.comparisons))
      complain(where + ": " + std::to_string(state.tokens) + " steps have picks, " +
               std::to_string(state.comparisons.size()) + " comparisons");
    for (std::size_t step = 0; step < state.comparisons.size(); ++step)
      if (state.comparisons[step] != std::ssize(kinds_))
        complain(where + ": step " + std::to_string(step) + " has " +
                 std::to_string(state.comparisons[step]) + " comparisons, " + std::to_string(kinds_.size()) +
                 " different ones are in these records");
    check_answer(where, r);
  }

  // An expectation that is met by what is said to be the answer.
  void check_answer(const std::string& where, const json& r) {
    const json& e = r.at("expect");
    if (e.is_null() || !e.contains("want") || !r.contains("answer")) return;
    Expectation expectation;
    const auto tokens = r.at("tokens").get<std::vector<bitnet::Token>>();
    bool any = false;
    for (const auto kind :
         {Expectation::Kind::equals, Expectation::Kind::contains, Expectation::Kind::token_ids})
      if (e.at("kind") == to_string(kind)) {
        expectation.kind = kind;
        any = true;
      }
    if (!any) return;  // several texts, or a pattern, stand there as people read them
    if (expectation.kind == Expectation::Kind::token_ids)
      expectation.token_ids = e.at("want").get<std::vector<bitnet::Token>>();
    else
      expectation.texts = {e.at("want").get<std::string>()};
    if (meets(expectation, r.at("answer").get<std::string>(), tokens) != e.at("met").get<bool>())
      complain(where + ": whether its answer is as expected does not follow from the answer");
  }

  void check_plan() {
    for (const std::string& id : plan_)
      if (const auto it = cases_.find(id); it == cases_.end() || it->second.record.is_null())
        complain("case " + shown(id) + " is planned, but has no record");
    const std::set<std::string> planned(plan_.begin(), plan_.end());
    for (const auto& [id, state] : cases_)
      if (!planned.contains(id)) complain("case " + shown(id) + " is not planned");
  }

  void check_summary() {
    SelfNoise noise = noise_;
    noise.measured = noise_measured_;
    const json anew = summary_record(totals_, noise);
    for (const char* key : {"planned", "made", "skipped", "failed", "flips", "answers_wrong", "cases"})
      if (summary_.value(key, json()) != anew.at(key))
        complain(std::string("the summary says ") + key + " " + summary_.value(key, json()).dump() +
                 ", its cases make it " + anew.at(key).dump());
    if (noise_measured_)
      for (const char* key : {"self_noise", "logit_noise"})
        if (summary_.value(key, json()) != anew.at(key))
          complain(std::string("the summary's ") + key + " is not that of its cases");
    if (summary_.at("skipped") != skipped_)
      complain("the summary says that " + summary_.at("skipped").dump() + " comparisons were skipped, " +
               std::to_string(skipped_) + " are recorded");
    const Verdict said = verdict_from(summary_.at("verdict")), least = worse(totals_.verdict, worst_);
    if (said < least || (said > least && complaints_recorded_ == 0))
      complain("the verdict " + std::string(to_string(said)) +
               " does not follow from the records: they make " + std::string(to_string(least)));
    if (summary_.at("exit") != static_cast<int>(exit_code(said)))
      complain("exit code " + summary_.at("exit").dump() + " does not go with " +
               std::string(to_string(said)));
    if (!summary_.value("headline", "").starts_with(std::string(to_string(said)) + ": "))
      complain("the headline says another verdict than the summary");
    if (said == Verdict::pass && totals_.tally.made == 0) complain("nothing was compared");
  }

  // Only of our engine is known what it counts, and of an instruction set that this build has.
  void check_kernels() {
    const json& candidate = run_.at("candidate");
    if (candidate.value("kind", "") != "engine") return;
    if (performance_.empty()) return complain("the engine's kernels were not counted");
    const std::string isa = candidate.value("isa", "");
    std::set<std::string> known;
    for (const bitnet::Kernels* table : bitnet::compiled_kernels())
      if (table->name == isa)
        for (const std::string_view name : bitnet::kernel_names(*table)) known.insert(std::string(name));
    const auto layers = run_.at("model").at("n_layer").get<std::int64_t>();
    std::int64_t counted = 0, all = 0;
    bool resumed = false;  // then they are those of the last part
    for (const auto& [id, state] : cases_)
      if (!state.record.is_null() && verdict_from(state.record.at("verdict")) <= Verdict::fail)
        all += std::ssize(state.comparisons);
    for (const json& performance : performance_) {
      const json& kernels = performance.at("kernels");
      const auto steps = performance.at("steps").get<std::int64_t>();
      counted += steps;
      resumed = resumed || performance.value("resumed", false);
      if (!known.empty())
        for (const auto& [name, n] : kernels.items())
          if (!known.contains(name)) complain("kernel " + shown(name) + " is none of " + shown(isa) + "'s");
      // A step evaluates every layer at least once; where logits alone are compared, up to 32 cases together.
      const std::int64_t least = layers * ((steps + 31) / 32);
      for (const char* operation :
           {"ternary_matmul", "quantize_row", "rms_norm", "rope", "attn_scores", "softmax", "attn_context"}) {
        std::int64_t n = 0;
        for (const auto& [name, count] : kernels.items())
          if (name.ends_with(std::string("::") + operation)) n += count.get<std::int64_t>();
        if (n < least)
          complain(std::string(operation) + " was taken " + std::to_string(n) + " times for " +
                   std::to_string(steps) + " steps of " + std::to_string(layers) + " layers");
      }
    }
    if (counted != all && !(resumed && counted < all))
      complain("kernels were counted in " + std::to_string(counted) + " of " + std::to_string(all) +
               " steps");
  }

  std::filesystem::path results_;
  std::vector<std::string> complaints_;
  std::int64_t left_out_ = 0;
  json run_, summary_;
  std::vector<std::string> plan_;
  GateSet gates_;
  std::map<std::string, GateSet> case_gates_;
  std::map<std::string, CaseState> cases_;
  std::set<std::string> kinds_;           // tap, mode and side of all comparisons
  std::unordered_set<std::size_t> seen_;  // hashes of case, step and kind
  std::int64_t comparisons_ = 0, differing_ = 0;
  std::set<double> got_, nmse_, max_abs_;  // up to two different ones
  Totals totals_;
  SelfNoise noise_;
  bool noise_measured_ = false;
  std::int64_t skipped_ = 0, complaints_recorded_ = 0;
  Verdict worst_ = Verdict::pass;
  std::vector<json> performance_;  // of the candidate, with its kernels
};

}  // namespace

std::vector<std::string> check_records(const std::filesystem::path& results) {
  try {
    return RecordCheck(results).check();
  } catch (const json::exception& e) {
    throw bitnet::InputError(results.string() + ": a record lacks what every run writes: " + e.what());
  }
}

}  // namespace crossval
