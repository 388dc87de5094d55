#include "crossval/run/case_runner.h"

#include <algorithm>
#include <limits>

#include "crossval/run/answer.h"
#include "crossval/run/noise_json.h"
#include "engine/error.h"
#include "engine/generate/sampling.h"

namespace crossval {
namespace {

using nlohmann::json;

// The record file failed: nothing after that can be trusted to be kept.
struct RecordFailure {
  std::exception_ptr error;
};

// Whether any token can be picked.
bool has_number(const std::vector<float>& logits) {
  return std::ranges::any_of(logits, [](float x) { return x > -std::numeric_limits<float>::infinity(); });
}

json comparison_record(const std::string& id, std::int64_t step, const Comparison& c) {
  const RowMetrics& m = c.worst.row;
  json r = {{"type", "comparison"},
            {"case", id},
            {"step", step},
            {"tap", bitnet::to_string(c.tap)},
            {"mode", to_string(c.mode)},
            {"row", c.row},
            {"rows", c.rows},
            {"cosine", json_number(m.cosine)},
            {"nmse", json_number(m.nmse)},
            {"norm_ratio", json_number(m.norm_ratio)},
            {"max_abs", json_number(m.max_abs)},
            {"at", {c.row, m.at}},
            {"got", json_number(m.got)},
            {"expected", json_number(m.expected)},
            {"bits", c.bits},
            {"count", c.count},
            {"cosine_trimmed", json_number(m.cosine_trimmed)},
            {"gate", c.judgement.gate ? c.judgement.gate->name : "none"},
            {"verdict", to_string(c.judgement.pass ? Verdict::pass : Verdict::fail)}};
  if (!c.judgement.pass) r["why"] = c.judgement.why;
  if (c.side) r["side"] = to_string(*c.side);
  if (c.opinion) {
    const auto figures = [](const RowMetrics& row) {
      return json{{"cosine", json_number(row.cosine)},
                  {"nmse", json_number(row.nmse)},
                  {"norm_ratio", json_number(row.norm_ratio)}};
    };
    r["blame"] = to_string(c.opinion->blame);
    json& arbiter = r["arbiter"] = json::object();
    if (c.opinion->candidate) arbiter["candidate"] = figures(*c.opinion->candidate);
    if (c.opinion->reference) arbiter["reference"] = figures(*c.opinion->reference);
  }
  if (c.worst.integers_differing) r["integers_differing"] = *c.worst.integers_differing;
  if (c.worst.rounding) {
    const RoundingFigures& f = *c.worst.rounding;
    r["rounding"] = {{"share", json_number(f.share)}, {"difference", json_number(f.difference)},
                     {"bound", json_number(f.bound)}, {"at", f.at},
                     {"gain", json_number(f.gain)},   {"gain_bound", json_number(f.gain_bound)}};
  }
  if (c.worst.bound && c.worst.row.bits > 0) {
    const BoundFigures& f = *c.worst.bound;
    r["bound"] = {{"share", json_number(f.share)},
                  {"difference", json_number(f.difference)},
                  {"bound", json_number(f.bound)},
                  {"at", f.at}};
  }
  if (c.logits) {
    r["kl"] = json_number(c.logits->kl);
    r["top1"] = c.logits->top1_got == c.logits->top1_expected;
    r["topk"] = c.logits->topk_overlap;
    r["margin"] = json_number(c.logits->margin);
  }
  return r;
}

}  // namespace

Verdict case_verdict(std::int64_t failed, std::int64_t flips_unexplained, bool expectation_met) {
  return failed == 0 && flips_unexplained == 0 && expectation_met ? Verdict::pass : Verdict::fail;
}

void CaseRunner::write(json&& record, bool pending) {
  try {
    (pending ? sinks_.pending : sinks_.results).append(record);
    sinks_.pending_records += pending;
  } catch (const bitnet::SystemError&) {
    throw RecordFailure{std::current_exception()};
  }
}

void CaseRunner::write_comparisons(const PlannedCase& planned, std::int64_t step,
                                   const Lockstep::Step& result, Outcome& outcome) {
  for (const Comparison& c : result.comparisons) {
    json record = comparison_record(planned.spec.id, step, c);
    // The self-noise of the whole run may excuse it, and that is known when all cases are through.
    const bool pending = c.judgement.excusable && lockstep_.noise().measured;
    ++outcome.tally.made;
    if (c.worst.rounding) {
      json figures = record["rounding"];
      figures.update({{"case", planned.spec.id}, {"step", step}, {"tap", record["tap"]}});
      merge_rounding(outcome.tally.rounding, {{std::string(bitnet::base_name(c.tap.tap)), figures}});
    }
    if (record["verdict"] == to_string(Verdict::fail) && !pending) {
      ++outcome.tally.failed;
      if (outcome.tally.first_failure.is_null())
        outcome.tally.first_failure = {{"step", step}, {"tap", record["tap"]}, {"mode", record["mode"]}};
      if (c.opinion && outcome.tally.guilty.is_null() && c.opinion->blame != Blame::unclear)
        outcome.tally.guilty = {{"who", to_string(c.opinion->blame)}, {"step", step}, {"tap", record["tap"]}};
    }
    outcome.pending = outcome.pending || pending;
    write(std::move(record), pending);
  }
}

void CaseRunner::write_tokens(const PlannedCase& planned, std::int64_t step, std::span<const Token> fed,
                              const Lockstep::Step& result, Outcome& outcome) {
  const LogitMetrics m = compare_logits(result.candidate_logits, result.reference_logits);
  const bool same = m.top1_got == m.top1_expected;
  const bool pending = !same && lockstep_.noise().measured;
  if (!same && !pending) ++outcome.tally.flips_unexplained;
  outcome.pending = outcome.pending || pending;
  write({{"type", "tokens"},
         {"case", planned.spec.id},
         {"step", step},
         {"fed", fed},
         {"candidate", m.top1_got},
         {"reference", m.top1_expected},
         {"margin", json_number(m.margin)},
         {"verdict", same ? "PASS" : "FAIL"}},
        pending);
}

void CaseRunner::write_canary(const std::string& id, const Comparison& c) {
  canary_out_ = true;
  canary_caught_ = !c.judgement.pass;
  write({{"type", "canary"},
         {"case", id},
         {"step", 0},
         {"tap", bitnet::to_string(c.tap)},
         {"mode", to_string(c.mode)},
         {"fault", to_string(canary_->probe.spoil)},
         {"seed", canary_->seed},
         {"caught", canary_caught_},
         {"why", c.judgement.why},
         {"verdict", to_string(canary_caught_ ? Verdict::pass : Verdict::invalid)}},
        false);
}

void CaseRunner::run_steps(const PlannedCase& planned, Outcome& outcome, std::string& answer,
                           std::vector<Token>& tokens) {
  const Case& spec = planned.spec;
  const bool forced = !spec.continuation.empty();
  bitnet::Sampler candidate_sampler(spec.sampling), reference_sampler(spec.sampling);
  Answer driver(spec, model_.tokenizer());
  Answer own(spec, model_.tokenizer());  // the candidate's picks
  std::vector<Token> fed = planned.tokens;
  std::vector<Token> history = planned.tokens;
  bool flipped = false;

  lockstep_.reset(spec.gates ? &*spec.gates : nullptr);
  for (std::int64_t step = 0;; ++step) {
    outcome.tally.planned += lockstep_.comparisons_per_step();
    if (step == 0 && canary_ && !canary_out_ && (canary_due_ = canary_due_ || canary_->case_id == spec.id))
      lockstep_.release(canary_->probe);
    const Lockstep::Step result = lockstep_.step(fed, step);
    if (result.canary) write_canary(spec.id, *result.canary);
    write_comparisons(planned, step, result, outcome);
    write_tokens(planned, step, fed, result, outcome);

    // Their comparisons have failed, and no token follows from such logits.
    if (!has_number(result.candidate_logits) || !has_number(result.reference_logits)) break;
    const Token candidate = candidate_sampler.sample(result.candidate_logits, history);
    const Token reference = reference_sampler.sample(result.reference_logits, history);
    Token next = tokens_from_ == TokensFrom::candidate ? candidate : reference;
    if (forced) {
      if (step >= static_cast<std::int64_t>(spec.continuation.size())) break;
      next = spec.continuation[static_cast<std::size_t>(step)];
      own.add(candidate);
    } else {
      if (driver.done()) break;  // max_tokens 0: the prompt alone
      driver.add(next);
      if (!flipped && !own.done()) own.add(candidate);
      flipped = flipped || candidate != next;
      if (driver.done()) break;
    }
    history.push_back(next);
    fed.assign(1, next);
  }

  // After its first flip the candidate goes on alone, so that what it would really have answered is judged.
  if (flipped && !forced && !own.done() && spec.expect) {
    history = planned.tokens;
    history.insert(history.end(), own.picks().begin(), own.picks().end());
    candidate_.reset();
    fed = history;
    const TapId logits{bitnet::Tap::result_output, -1};
    while (!own.done()) {
      std::vector<float> last;
      candidate_.eval(
          fed, [&](TapId id) { return id == logits; },
          [&](Tensor&& t) {
            const auto row = t.row(t.rows() - 1);
            last.assign(row.begin(), row.end());
          });
      if (!has_number(last)) break;
      const Token pick = candidate_sampler.sample(last, history);
      own.add(pick);
      history.push_back(pick);
      fed.assign(1, pick);
    }
  }
  answer = own.text();
  tokens = own.tokens();
}

CaseRunner::Outcome CaseRunner::run(const PlannedCase& planned, Participant& reference) {
  Outcome outcome;
  std::string answer;
  std::vector<Token> tokens;
  const Case& spec = planned.spec;
  try {
    try {
      candidate_.begin_case(spec.id);
      reference.begin_case(spec.id);
      for (const auto& [side, name] : {std::pair<Participant*, const char*>{&candidate_, "candidate"},
                                       std::pair<Participant*, const char*>{&reference, "reference"}})
        if (const auto outside = check_tokenization(planned, model_, *side, name))
          write({{"type", "skip"}, {"case", spec.id}, {"count", 0}, {"reason", *outside}}, false);
      run_steps(planned, outcome, answer, tokens);
    } catch (const TokensDiffer& e) {
      outcome.verdict = Verdict::incomparable;
      outcome.problem = e.what();
      outcome.tokens_differ = {
          {"case", spec.id}, {"step", 0}, {"who", e.side() + " wrong"}, {"tap", "tokens"}};
      if (!e.as_if().empty()) outcome.tokens_differ["likeness"] = "differ as if " + e.as_if();
    } catch (const Incomparable& e) {
      outcome.verdict = Verdict::incomparable;
      outcome.problem = e.what();
    } catch (const std::exception& e) {
      outcome.verdict = Verdict::invalid;
      outcome.problem = e.what();
    }
    json expect;
    bool met = true;
    if (outcome.verdict == Verdict::pass) {
      if (spec.expect) {
        met = meets(*spec.expect, answer, tokens);
        expect = {{"kind", to_string(spec.expect->kind)}, {"met", met}};
        if (spec.expect->kind == Expectation::Kind::token_ids) {
          expect["want"] = spec.expect->token_ids;
        } else {
          std::string want;
          for (const std::string& text : spec.expect->texts) want += (want.empty() ? "" : " | ") + text;
          put_text(expect, "want", want);
        }
      }
      outcome.verdict = case_verdict(outcome.tally.failed, outcome.tally.flips_unexplained, met);
    } else if (outcome.tally.planned > outcome.tally.made) {
      outcome.tally.skipped = outcome.tally.planned - outcome.tally.made;
      write({{"type", "skip"},
             {"case", spec.id},
             {"count", outcome.tally.skipped},
             {"reason", outcome.problem}},
            false);
    }
    json record = {
        {"type", "case"},
        {"id", spec.id},
        {"verdict", to_string(outcome.verdict)},
        {"tokens", tokens},
        {"expect", expect},
        {"flips",
         {{"explained", outcome.tally.flips_explained}, {"unexplained", outcome.tally.flips_unexplained}}},
        {"comparisons", outcome.tally.made},
        {"planned", outcome.tally.planned},
        {"skipped", outcome.tally.skipped},
        {"failed", outcome.tally.failed},
        {"first_failure", outcome.tally.first_failure},
        {"guilty", outcome.tally.guilty}};
    if (outcome.tally.made > 0)
      for (const TapId tap : lockstep_.always_zero()) record["zero_taps"].push_back(bitnet::to_string(tap));
    if (spec.gates) {
      json& list = record["gates"] = json::array();
      for (const Gate& gate : spec.gates->gates) list.push_back(to_json(gate));
    }
    if (!outcome.tally.rounding.empty()) record["rounding"] = outcome.tally.rounding;
    if (lockstep_.noise().measured) record["self_noise"] = to_json(lockstep_.noise());
    put_text(record, "answer", answer);
    put_text(record, "prompt", planned.prompt);
    if (!outcome.problem.empty()) put_text(record, "problem", outcome.problem);
    outcome.record = record;
    write(std::move(record), outcome.pending);
  } catch (const RecordFailure& e) {
    std::rethrow_exception(e.error);
  }
  return outcome;
}

}  // namespace crossval
