#include "crossval/run/run.h"
#include "crossval/participants/ahead.h"
#include "crossval/run/host.h"

#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <limits>

#include "crossval/participants/ahead.h"
#include "crossval/records/record_file.h"
#include "crossval/records/sha256.h"
#include "crossval/run/canary.h"
#include "crossval/run/case_runner.h"
#include "crossval/run/noise_json.h"
#include "crossval/run/output.h"
#include "crossval/run/plan.h"
#include "crossval/run/progress.h"
#include "crossval/run/session.h"
#include "crossval/run/totals.h"
#include "crossval/version.h"
#include "engine/error.h"
#include "engine/kernels/thread_pool.h"
#include "reports/escape.h"
#include "reports/render.h"

namespace crossval {
namespace {

using nlohmann::json;

json host() {
  utsname names{};
  ::uname(&names);
  return {{"cpu", cpu_name()},
          {"cores", bitnet::physical_cores()},
          {"os", std::string(names.sysname) + " " + names.release + " " + names.machine}};
}

json identity_record(const Participant& participant) {
  const Identity id = participant.identity();
  json details = json::object();
  for (const auto& [key, value] : id.details) details[key] = value;
  json record = {{"name", id.name}, {"version", id.version}, {"build", id.build}, {"details", details}};
  for (const char* key : {"isa", "threads"})
    if (details.contains(key)) record[key] = details[key];
  return record;
}

json model_record(const std::filesystem::path& path, const std::string& sha256, const bitnet::Model& model) {
  const bitnet::Config& c = model.config();
  json record = {{"sha256", sha256},   {"arch", c.architecture_name}, {"n_layer", c.n_layer},
                 {"n_embd", c.n_embd}, {"n_vocab", c.n_vocab},        {"warnings", model.weights().warnings}};
  put_text(record, "path", path.string());
  put_text(record, "name", c.name);
  return record;
}

// Where a side rounds the inputs of its products otherwise than we do: what is excused then, and why.
json rounding_record(const Session& s) {
  json list = json::array();
  for (const auto& [side, rounding] : s.plan.rounding) {
    json taps = json::array(), head = json::array();
    for (const LocalPlan& local : s.plan.local)
      for (const TapId tap : local.taps)
        if (local.fed == side && rounding.of(tap))
          (tap.tap == bitnet::Tap::result_output ? head : taps).push_back(bitnet::to_string(tap));
    for (const auto& [names, first] : {std::pair(taps, TapId{bitnet::Tap::q_proj, 0}),
                                       std::pair(head, TapId{bitnet::Tap::result_output, -1})}) {
      if (names.empty()) continue;
      const InputRounding &own = rounding.own_of(first), &theirs = *rounding.of(first);
      list.push_back({{"side", to_string(side)},
                      {"taps", names},
                      {"own", own.name},
                      {"input", theirs.name},
                      {"source", source_of_bound(own, theirs)}});
    }
  }
  return list;
}

json run_record(const RunOptions& options, const Session& s, const Suite& suite, const GateSet& gates) {
  json gate_list = json::array();
  for (const Gate& gate : gates.gates) gate_list.push_back(to_json(gate));
  gate_list.push_back(
      {{"name", "tokens.top1"},
       {"mode", "free"},
       {"metric", "top1"},
       {"taps", {"result_output"}},
       {"limit", "equal wherever the reference's top-2 margin exceeds twice the logits' self-noise"},
       {"source", "crossval's default gates"}});
  json taps = json::array(), skipped = json::array(), skipped_local = json::array();
  for (const TapId tap : s.plan.taps) taps.push_back(bitnet::to_string(tap));
  for (const auto& [tap, reason] : s.skipped_taps)
    skipped.push_back({{"tap", bitnet::to_string(tap)}, {"reason", reason}});
  for (const auto& [tap, reason] : s.skipped_local)
    skipped_local.push_back({{"tap", bitnet::to_string(tap)}, {"reason", reason}});
  const char* const drivers[] = {"reference", "candidate", "suite"};
  json record = {
      {"type", "run"},
      {"schema", "crossval.results/1"},
      {"time", now_utc()},
      {"claim",
       claim_of(s.candidate_spec, s.reference_spec) +
           (s.plan.taps == std::vector{TapId{bitnet::Tap::result_output, -1}} ? "; logits only" : "")},
      {"crossval", {{"version", kVersion}, {"build", kBuild}, {"compiler", kCompiler}}},
      {"model", model_record(options.model, s.model_sha256, *s.model)},
      {"reference_model", nullptr},
      {"suite", {{"path", suite.path}, {"sha256", suite.sha256}, {"cases", suite.cases.size()}}},
      {"gates", {{"sha256", gates.sha256}, {"source", gates.source}, {"list", gate_list}}},
      {"candidate", identity_record(*s.candidate)},
      {"reference", identity_record(*s.reference)},
      {"arbiter", nullptr},
      {"tokens_from", drivers[static_cast<int>(options.tokens_from)]},
      {"reference_batch", s.plan.evaluation_tokens},
      {"filter", options.filter},
      {"local", !s.plan.local.empty()},
      {"shard", {{"index", options.shard.index}, {"count", options.shard.count}}},
      {"host", host()},
      {"taps", taps},
      {"skipped_taps", skipped},
      {"skipped_local", skipped_local},
      {"rounding", rounding_record(s)},
      {"reproduce", options.command_line}};
  if (s.arbiter_spec)
    record["arbiter"] = {{"name", s.arbiter_spec->kind}, {"details", s.arbiter_spec->options}};
  if (s.evaluator) record["evaluator"] = identity_record(*s.evaluator);
  if (!options.reference_model.empty())
    record["reference_model"] =
        model_record(options.reference_model, s.reference_model_sha256, *s.reference_model);
  return record;
}

// What waited for the self-noise of the whole run is judged and written now.
void settle_pending(const std::filesystem::path& path, const SelfNoise& noise, RecordFile& results,
                    Totals& totals) {
  std::ifstream in(path);
  std::string line;
  struct {
    std::int64_t failed = 0, explained = 0, unexplained = 0;
    json first_failure;
  } now;  // of the case at hand
  while (std::getline(in, line)) {
    json record = json::parse(line);
    const std::string type = record.at("type");
    if (type == "comparison") {
      const auto tap = bitnet::parse_tap(record.at("tap").get<std::string>());
      const Noise& allowed = noise.taps[static_cast<std::size_t>(tap->tap)];
      RowMetrics row;
      const auto number = [&](const char* key) {
        return record.at(key).is_number() ? record.at(key).get<double>()
                                          : std::numeric_limits<double>::quiet_NaN();
      };
      row.cosine = number("cosine");
      row.norm_ratio = number("norm_ratio");
      if (within_noise(row, allowed)) {
        record["verdict"] = "PASS";
        record["noise"] = {allowed.cosine, allowed.norm};
        record.erase("why");
      } else {
        record["why"] = record.at("why").get<std::string>() + ", and beyond twice the self-noise";
        ++now.failed;
        if (now.first_failure.is_null())
          now.first_failure = {{"step", record["step"]}, {"tap", record["tap"]}, {"mode", record["mode"]}};
      }
    } else if (type == "tokens") {
      const bool explained =
          record.at("margin").is_number() && record.at("margin").get<double>() <= 2 * noise.logit;
      record["verdict"] = explained ? "EXPLAINED" : "FAIL";
      ++(explained ? now.explained : now.unexplained);
    } else if (type == "case") {
      record["failed"] = record.at("failed").get<std::int64_t>() + now.failed;
      record["flips"]["explained"] = record["flips"]["explained"].get<std::int64_t>() + now.explained;
      record["flips"]["unexplained"] = record["flips"]["unexplained"].get<std::int64_t>() + now.unexplained;
      // Steps are numbered; within one step the order of the records is lost, so the earlier step wins.
      json& first = record["first_failure"];
      if (!now.first_failure.is_null() && (first.is_null() || now.first_failure["step"] < first["step"]))
        first = now.first_failure;
      Verdict v = verdict_from(record.at("verdict"));
      if (v <= Verdict::fail) {
        const bool met = record["expect"].is_null() || record["expect"].at("met").get<bool>();
        v = case_verdict(record["failed"], record["flips"]["unexplained"], met);
        record["verdict"] = to_string(v);
      }
      totals.add(record);
      now = {};
    }
    results.append(record);
  }
}

// Where the user names none.
GateSet usual_gates(const RunOptions& options, const Session& s) {
  const bool engine_itself = s.reference_spec.kind == "self" && s.candidate_spec.kind == "engine";
  return engine_itself ? self_gates() : default_gates(options.min_cosine, s.quantization_noise);
}

// What the sides were fed, by case.
using Fed = std::map<std::string, std::vector<std::vector<Token>>>;

// Looks for the operation at fault where the first comparison failed. What goes wrong on the way is said, and
// changes no verdict.
std::optional<Location> locate_failure(const RunOptions& options, Session& s, const GateSet& gates,
                                       const Fed& fed, Totals& totals, RecordFile& results) {
  const json& first = totals.tally.first_failure;
  if (options.arbiter == "none" && !options.always_locate) return std::nullopt;  // no third opinion is wanted
  if (options.taps == "none" || fed.empty() || (first.is_null() && !options.always_locate))
    return std::nullopt;
  const auto c = first.is_null() ? fed.begin() : fed.find(first.at("case"));
  if (c == fed.end()) return std::nullopt;
  std::vector<std::vector<Token>> steps = c->second;
  std::optional<TapId> until;
  if (!first.is_null()) {
    steps.resize(std::min(steps.size(), first.at("step").get<std::size_t>() + 1));
    until = bitnet::parse_tap(first.at("tap").get<std::string>());
  }
  try {
    Location location = locate(s, gates, c->first, steps, until);
    if (!first.is_null()) totals.locate(to_json(location));
    return location;
  } catch (const std::exception& e) {
    results.append({{"type", "skip"},
                    {"case", c->first},
                    {"count", 0},
                    {"reason", "the operation at fault was not looked for: " + std::string(e.what())}});
    return std::nullopt;
  }
}

// Those that are still to be run, as the candidate will be asked.
std::vector<AheadCase> ahead_cases(const std::vector<PlannedCase>& planned,
                                   const std::set<std::string>& finished) {
  std::vector<AheadCase> cases;
  for (const PlannedCase& p : planned) {
    if (finished.contains(p.spec.id)) continue;
    AheadCase c{.id = p.spec.id, .prompt = p.tokens, .options = {}};
    if (p.spec.continuation.empty()) {
      c.options = {
          .sampling = p.spec.sampling,
          .stop = {.max_tokens = static_cast<int>(std::min<std::int64_t>(p.spec.max_tokens, 1 << 20)),
                   .strings = p.spec.stop}};
    } else {  // the answer is given; what would follow it does not matter
      c.prompt.insert(c.prompt.end(), p.spec.continuation.begin(), p.spec.continuation.end());
      c.options.stop.max_tokens = 1;
    }
    cases.push_back(std::move(c));
  }
  return cases;
}

// A run that compared less than its gates ask for has shown nothing.
Verdict coverage(const Totals& totals, const GateSet& gates, const Session& s, const Lockstep& lockstep,
                 RecordFile& results, bool silent) {
  Verdict verdict = Verdict::pass;
  const auto complain = [&](Verdict v, const std::string& reason) {
    verdict = worse(verdict, v);
    results.append({{"type", "skip"}, {"count", 0}, {"reason", reason}});
    if (!silent) std::cerr << "crossval: " << reason << "\n";
  };
  if (totals.tally.made + totals.tally.skipped != totals.tally.planned)
    complain(Verdict::invalid, "coverage: " + std::to_string(totals.tally.planned) +
                                   " comparisons were planned, but " + std::to_string(totals.tally.made) +
                                   " made and " + std::to_string(totals.tally.skipped) + " skipped");
  // Sides that do not line up in any case are just that.
  if (totals.tally.made == 0)
    complain(totals.verdict == Verdict::incomparable ? Verdict::incomparable : Verdict::invalid,
             "coverage: nothing was compared");
  if (totals.tally.made == 0) return verdict;
  const auto compared_steps =
      totals.tally.planned / std::max<std::int64_t>(1, lockstep.comparisons_per_step());
  for (const Gate& gate : gates.gates) {
    std::int64_t covered = 0;
    if (gate.mode == Mode::local)
      for (const LocalPlan& local : s.plan.local)
        for (const TapId tap : local.taps) covered += gate.covers(gate.mode, tap, gate.first_step);
    else
      for (const TapId tap : s.plan.taps) covered += gate.covers(gate.mode, tap, gate.first_step);
    // A gate none of whose taps was asked for (--taps) is not missed; one that has taps must have been used.
    if (covered > 0 && covered * compared_steps < gate.min_compared)
      complain(Verdict::invalid, "coverage: gate " + gate.name + " must compare " +
                                     std::to_string(gate.min_compared) + ", but compared " +
                                     std::to_string(covered * compared_steps));
  }
  for (const TapId tap : lockstep.always_zero())
    complain(Verdict::fail, "coverage: tap " + bitnet::to_string(tap) + " was zero everywhere on both sides");
  return verdict;
}

}  // namespace

RunResult run(const RunOptions& options) {
  const Suite suite = load_suite(options.prompts);
  std::optional<GateSet> named;  // read first: what is wrong with it is said before models are loaded
  if (!options.gates.empty()) named = load_gates(options.gates);
  std::vector<Case> cases = select_cases(suite, options.filter, options.shard);
  Session s = open_session(options, suite);
  const GateSet gates = named ? *std::move(named) : usual_gates(options, s);
  s.plan.gates = &gates;
  for (const Case& c : cases)
    if (options.tokens_from == TokensFrom::suite && c.continuation.empty())
      throw bitnet::InputError(suite.path + ": case `" + c.id +
                               "`: --tokens-from suite needs `tokens` and `continuation` in every case");
  const std::vector<PlannedCase> planned = plan_cases(cases, options.max_tokens, *s.model, suite.path);
  for (const std::string& warning : s.warnings)
    if (!options.silent) std::cerr << "crossval: warning: " << reports::escape_terminal(warning) << "\n";
  if (!options.silent) say(remarks_of(planned));

  prepare_output(options.out, options.resume);
  Totals totals;
  SelfNoise noise;
  std::set<std::string> finished;
  std::optional<bool> canary_caught;  // in the run that is resumed
  const json first = run_record(options, s, suite, gates);
  if (options.resume) {
    const Earlier earlier = resume_output(options.out);
    for (const char* key :
         {"model", "suite", "gates", "taps", "shard", "filter", "tokens_from", "reference_batch"}) {
      const auto pointer =
          key == std::string("model") || key == std::string("suite") || key == std::string("gates")
              ? json::json_pointer(std::string("/") + key + "/sha256")
              : json::json_pointer(std::string("/") + key);
      if (earlier.run.value(pointer, json()) != first.value(pointer, json()))
        throw bitnet::InputError(options.out.string() + ": --resume: the earlier run had another " + key +
                                 "; run without --resume");
    }
    finished = earlier.finished;
    canary_caught = earlier.canary_caught;
    for (const json& record : earlier.cases) {
      totals.add(record);
      if (record.contains("self_noise")) noise.merge(noise_from_json(record.at("self_noise")));
    }
  }

  if (s.ahead) s.candidate = make_ahead(s.model, *s.ahead, ahead_cases(planned, finished));

  RecordFile results(options.out / "results.jsonl", options.resume);
  const std::filesystem::path pending_path = options.out / "pending.jsonl";
  RecordFile pending(pending_path, /*append=*/false);
  if (!options.resume) {
    results.append(first);
    json ids = json::array();
    for (const PlannedCase& c : planned) ids.push_back(c.spec.id);
    results.append({{"type", "plan"}, {"cases", ids}});
  }

  Lockstep lockstep({.candidate = *s.candidate,
                     .reference = *s.reference,
                     .noise = s.noise.get(),
                     .candidate_model = *s.model,
                     .reference_model = *s.reference_model,
                     .evaluator = s.evaluator.get(),
                     .arbiter = s.arbiter},
                    s.plan);
  Sinks sinks{results, pending};
  CaseRunner runner(lockstep, *s.candidate, *s.model, options.tokens_from, sinks);
  Fed fed;
  const std::string shard = std::to_string(options.shard.index) + "/" + std::to_string(options.shard.count);
  const std::string seed = sha256_hex(s.model_sha256 + suite.sha256 + shard).substr(0, 16);
  const auto canary = choose_canary(s.plan, gates, planned, seed);
  if (canary && !canary_caught) runner.carry(*canary, finished.contains(canary->case_id));
  {
    Progress progress(static_cast<std::int64_t>(planned.size() - finished.size()), options.quiet);
    for (const PlannedCase& c : planned) {
      if (finished.contains(c.spec.id)) continue;
      progress.start_case(c.spec.id);
      CaseRunner::Outcome outcome = runner.run(c, *s.reference);
      noise.merge(lockstep.noise());
      if (!outcome.pending) totals.add(outcome.record);
      if (!outcome.tokens_differ.is_null() && totals.located.is_null()) totals.locate(outcome.tokens_differ);
      if (outcome.pending || outcome.verdict == Verdict::fail || (options.always_locate && fed.empty()))
        fed[c.spec.id] = std::move(outcome.steps);
      progress.finish_case(c.spec.id, outcome.pending ? "PENDING" : std::string(to_string(outcome.verdict)));
    }
  }
  settle_pending(pending_path, noise, results, totals);
  const std::optional<Location> location = locate_failure(options, s, gates, fed, totals, results);
  std::error_code ignored;
  std::filesystem::remove(pending_path, ignored);
  // A resumed run in which no case was left has nothing new to count.
  const bool nothing_left = finished.size() == planned.size();
  if (runner.canary_missed() || canary_caught == false) totals.verdict = Verdict::invalid;
  if (!nothing_left)
    totals.verdict = worse(totals.verdict, coverage(totals, gates, s, lockstep, results, options.silent));

  const Lockstep::Seconds& seconds = lockstep.seconds();
  const std::pair<const char*, double> spent[] = {{"candidate", seconds.candidate},
                                                  {"reference", seconds.reference},
                                                  {"self-noise", seconds.noise},
                                                  {"local evaluation", seconds.local}};
  for (const auto& [who, time] : spent)
    results.append(
        {{"type", "perf"}, {"participant", who}, {"seconds", time}, {"what", "evaluations, waits included"}});

  results.append(summary_record(totals, noise));
  const reports::Rendered rendered = reports::render(options.out / "results.jsonl", options.out);
  RunResult result = result_of(rendered, totals, first.at("claim"));
  result.located = totals.located;
  result.location = location;
  return result;
}

}  // namespace crossval
