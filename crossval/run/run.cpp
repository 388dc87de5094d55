#include "crossval/run/run.h"

#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <tuple>

#include "crossval/baseline/baseline.h"
#include "crossval/locate/locate_bundle.h"
#include "crossval/participants/ahead.h"
#include "crossval/participants/kernel_sources.h"
#include "crossval/receipt/receipt.h"
#include "crossval/records/record_file.h"
#include "crossval/records/sha256.h"
#include "crossval/run/canary.h"
#include "crossval/run/case_runner.h"
#include "crossval/run/coverage.h"
#include "crossval/run/host.h"
#include "crossval/run/noise_json.h"
#include "crossval/run/output.h"
#include "crossval/run/plan.h"
#include "crossval/run/progress.h"
#include "crossval/run/session.h"
#include "crossval/run/settle.h"
#include "crossval/run/totals.h"
#include "crossval/version.h"
#include "engine/error.h"
#include "engine/kernels/thread_pool.h"
#include "reference/process/mapped_files.h"
#include "reports/atomic_file.h"
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

// The files whose code was run, by their hashes.
json binaries_record(const std::vector<std::filesystem::path>& files) {
  json list = json::array();
  for (const auto& file : files) {
    json item;
    put_text(item, "path", file.string());
    try {
      item["sha256"] = sha256_file(file);
    } catch (const bitnet::InputError&) {
      item["sha256"] = nullptr;  // replaced or removed since it was started
    }
    list.push_back(std::move(item));
  }
  return list;
}

json own_binaries() {
  static const json list = binaries_record(mapped_files(0));  // they stay mapped as they are
  return list;
}

// `model` is what it computes with; where it is our engine, its record says where in the sources each tap is
// computed.
json identity_record(const ParticipantSpec& spec, const Participant& participant,
                     const bitnet::Model& model) {
  const Identity id = participant.identity();
  json details = json::object();
  for (const auto& [key, value] : id.details) details[key] = value;
  json record = {{"kind", spec.kind},
                 {"name", id.name},
                 {"version", id.version},
                 {"build", id.build},
                 {"details", details}};
  if (const auto files = participant.binaries(); !files.empty()) record["binaries"] = binaries_record(files);
  for (const char* key : {"isa", "threads"})
    if (details.contains(key)) record[key] = details[key];
  if (id.name == "engine")
    for (const auto& [tap, source] : engine_sources(model, details.value("isa", "")))
      record["sources"][tap] = {{"function", source.function}, {"file", source.file}, {"line", source.line}};
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

json run_record(const RunOptions& options, const Session& s, const Suite& suite, const Selection& selection,
                const GateSet& gates) {
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
      {"crossval",
       {{"version", kVersion}, {"build", kBuild}, {"compiler", kCompiler}, {"binaries", own_binaries()}}},
      {"model", model_record(options.model, s.model_sha256, *s.model)},
      {"reference_model", nullptr},
      {"suite", {{"path", suite.path}, {"sha256", suite.sha256}, {"cases", suite.cases.size()}}},
      {"gates", {{"sha256", gates.sha256}, {"source", gates.source}, {"list", gate_list}}},
      {"candidate", identity_record(s.candidate_spec, *s.candidate, *s.model)},
      {"reference", identity_record(s.reference_spec, *s.reference, *s.reference_model)},
      {"arbiter", nullptr},
      {"tokens_from", drivers[static_cast<int>(options.tokens_from)]},
      {"reference_batch", s.plan.evaluation_tokens},
      {"filter", options.filter},
      {"local", !s.plan.local.empty()},
      {"shard", to_json(options.shard)},
      {"plan", {{"cases", selection.planned}, {"sha256", selection.sha256}}},
      {"host", host()},
      {"taps", taps},
      {"skipped_taps", skipped},
      {"skipped_local", skipped_local},
      {"rounding", rounding_record(s)},
      {"reproduce", options.command_line}};
  if (options.max_tokens >= 0) record["max_tokens"] = options.max_tokens;
  if (!options.inject.empty()) record["inject"] = options.inject;
  if (s.arbiter_spec)
    record["arbiter"] = {{"name", s.arbiter_spec->kind}, {"details", s.arbiter_spec->options}};
  if (s.evaluator) record["evaluator"] = identity_record({.kind = "evaluator"}, *s.evaluator, *s.model);
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
  Settlement now;  // of the case at hand
  while (std::getline(in, line)) {
    json record = json::parse(line);
    const std::string type = record.at("type");
    if (type == "comparison") {
      now.judge_comparison(record, noise);
    } else if (type == "tokens") {
      now.judge_tokens(record, noise);
    } else if (type == "case") {
      now.apply(record);
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

// What both sides were fed in a case, step by step, as its records have it: of a resumed run too, and without
// keeping it of every case.
std::vector<std::vector<Token>> steps_of(const std::string& id, const std::filesystem::path& results) {
  std::map<std::int64_t, std::vector<Token>> steps;
  std::ifstream in(results);
  std::string line;
  while (std::getline(in, line)) {
    if (line.find("\"type\":\"tokens\"") == std::string::npos) continue;
    const json record = json::parse(line);
    if (record.at("case") == id)
      steps[record.at("step").get<std::int64_t>()] = record.at("fed").get<std::vector<Token>>();
  }
  std::vector<std::vector<Token>> in_order;
  in_order.reserve(steps.size());
  for (auto& [step, fed] : steps) in_order.push_back(std::move(fed));
  return in_order;
}

// The failed operation by itself, for those who have no model: a file below --out, named in the record.
void save_bundle(const RunOptions& options, CutFailure&& cut, json& located) {
  if (!cut.why_not.empty()) located["no_bundle"] = cut.why_not;
  if (!cut.bundle) return;
  Bundle& bundle = *cut.bundle;
  const bool one_case = options.command_line.find(" --filter") != std::string::npos ||
                        options.command_line.find(" --case") != std::string::npos;
  bundle.command =
      options.command_line + (one_case ? "" : " --filter " + reports::shell_quote(bundle.case_id));
  const std::filesystem::path name = std::filesystem::path(kBundleFolder) / bundle_name(bundle);
  std::error_code ignored;
  std::filesystem::create_directories(options.out / kBundleFolder, ignored);
  reports::AtomicFile file(options.out / name);
  file.write(encode_bundle(bundle));
  file.commit();
  located["bundle"] = name.string();
}

// Looks for the operation at fault where the first comparison failed. What goes wrong on the way is said, and
// changes no verdict.
std::optional<Location> locate_failure(const RunOptions& options, Session& s, const GateSet& gates,
                                       const std::string& first_case, Totals& totals, RecordFile& results) {
  const json& first = totals.tally.first_failure;
  if (options.arbiter == "none" && !options.always_locate) return std::nullopt;  // no third opinion is wanted
  if (options.taps == "none" || (first.is_null() && !options.always_locate)) return std::nullopt;
  const std::string id = first.is_null() ? first_case : first.at("case").get<std::string>();
  std::vector<std::vector<Token>> steps = steps_of(id, options.out / "results.jsonl");
  if (steps.empty()) return std::nullopt;
  std::optional<TapId> until;
  if (!first.is_null()) {
    steps.resize(std::min(steps.size(), first.at("step").get<std::size_t>() + 1));
    until = bitnet::parse_tap(first.at("tap").get<std::string>());
  }
  try {
    CutFailure cut;
    Location location = locate(s, gates, id, steps, until, cut);
    if (first.is_null()) return location;
    json located = to_json(location);
    save_bundle(options, std::move(cut), located);
    totals.locate(located);
    return location;
  } catch (const std::exception& e) {
    results.append({{"type", "skip"},
                    {"case", id},
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

struct BaselineCheck {
  BaselineIdentity identity;
  std::optional<Baseline> baseline;  // none: one is written, or nobody asked
  std::string why_no_speeds;         // empty: they are measured
};

// What is wrong with the baseline is said before anything is run.
BaselineCheck check_baseline(const RunOptions& options, const json& run,
                             const std::vector<PlannedCase>& planned, const Session& s) {
  BaselineCheck check;
  if (options.update_baseline && options.baseline.empty())
    throw bitnet::InputError("--update-baseline: name the file with --baseline");
  if (options.baseline.empty()) return check;
  check.identity = identity_of(run, planned);
  if (s.candidate_spec.kind == "trace") check.why_no_speeds = "a recorded trace has no speed";
  if (options.update_baseline) return check;
  check.baseline = Baseline::open(options.baseline);
  const std::string elsewhere = check.baseline->check(check.identity);
  if (elsewhere.empty()) return check;
  if (check.why_no_speeds.empty()) check.why_no_speeds = elsewhere;
  if (!options.silent)
    std::cerr << "crossval: speeds are not compared: " << reports::escape_terminal(elsewhere) << "\n";
  return check;
}

// How the run stands against its baseline, or the baseline made of it: after all cases, the candidate alone,
// on the tokens of the suite. What came out slower is measured twice more: a disturbance passes.
void settle_baseline(const RunOptions& options, Session& s, const std::vector<PlannedCase>& planned,
                     const BaselineCheck& check, Totals& totals, RecordFile& results) {
  if (totals.verdict > Verdict::fail) return;  // such figures say nothing
  std::vector<Token> tokens;
  for (const PlannedCase& p : planned) tokens.insert(tokens.end(), p.tokens.begin(), p.tokens.end());
  std::vector<Speed> speeds;
  const auto measure = [&] {
    if (check.why_no_speeds.empty())
      add_speeds(speeds, measure_speed(*s.candidate, tokens, s.model->config().n_ctx));
  };
  measure();
  const Figures figures = figures_of(options.out / "results.jsonl");
  json record;
  if (check.baseline) {
    record = check.baseline->compare(figures, speeds, check.why_no_speeds);
    for (int again = 0; again < 2 && is_slower(record); ++again) {
      measure();
      record = check.baseline->compare(figures, speeds, check.why_no_speeds);
    }
  }
  for (const Speed& speed : speeds)
    results.append({{"type", "perf"},
                    {"participant", "candidate"},
                    {"what", speed.phase + " of " + std::to_string(speed.tokens) + " tokens, alone"},
                    {"tokens", speed.processed},
                    {"seconds", speed.seconds},
                    {"tokens_per_second", speed.tokens_per_second}});
  if (check.baseline) {
    results.append(record);
    totals.hold_against(record);
  } else if (totals.verdict == Verdict::pass) {
    write_baseline(options.baseline, check.identity, figures, speeds, now_utc());
  } else if (!options.silent) {
    std::cerr << "crossval: the baseline was not written: the run did not pass\n";
  }
}

}  // namespace

RunResult run(const RunOptions& options) {
  const Suite suite = load_suite(options.prompts);
  std::optional<GateSet> named;  // read first: what is wrong with it is said before models are loaded
  if (!options.gates.empty()) named = load_gates(options.gates);
  const Selection selection = select_cases(suite, options.filter, options.shard);
  if (!options.silent && options.shard.count > 1) say({describe(options.shard, selection)});
  Session s = open_session(options, suite);
  const GateSet gates = named ? *std::move(named) : usual_gates(options, s);
  s.plan.gates = &gates;
  for (const Case& c : selection.cases)
    if (options.tokens_from == TokensFrom::suite && c.continuation.empty())
      throw bitnet::InputError(suite.path + ": case `" + c.id +
                               "`: --tokens-from suite needs `tokens` and `continuation` in every case");
  const std::vector<PlannedCase> planned =
      plan_cases(selection.cases, options.max_tokens, *s.model, suite.path);
  for (const std::string& warning : s.warnings)
    if (!options.silent) std::cerr << "crossval: warning: " << reports::escape_terminal(warning) << "\n";
  if (!options.silent) say(remarks_of(planned));

  Totals totals;
  SelfNoise noise;
  std::set<std::string> finished;
  std::optional<bool> canary_caught;  // in the run that is resumed
  const json first = run_record(options, s, suite, selection, gates);
  const BaselineCheck baseline = check_baseline(options, first, planned, s);

  const bool resume = prepare_output(options.out, options.resume);
  if (resume) {
    const Earlier earlier = resume_output(options.out);
    for (const char* pointer :
         {"/model/sha256", "/suite/sha256", "/gates/sha256", "/taps", "/shard/index", "/shard/count",
          "/filter", "/tokens_from", "/reference_batch", "/max_tokens", "/inject", "/crossval/version",
          "/crossval/build", "/candidate/name", "/candidate/build", "/reference/name", "/reference/build"}) {
      const json::json_pointer at{pointer};
      if (earlier.run.value(at, json()) != first.value(at, json()))
        throw bitnet::InputError(options.out.string() + ": --resume: the earlier run had another " +
                                 (pointer + 1) + "; run without --resume");
    }
    finished = earlier.finished;
    canary_caught = earlier.canary_caught;
    for (const json& record : earlier.cases) {
      totals.add(record);
      if (record.contains("self_noise")) noise.merge(noise_from_json(record.at("self_noise")));
    }
  }

  if (s.ahead) s.candidate = make_ahead(s.model, *s.ahead, ahead_cases(planned, finished));

  RecordFile results(options.out / "results.jsonl", resume);
  const std::filesystem::path pending_path = options.out / "pending.jsonl";
  RecordFile pending(pending_path, /*append=*/false);
  if (!resume) {
    json ids = json::array();
    for (const PlannedCase& c : planned) ids.push_back(c.spec.id);
    // Both at once: whatever kills the run, it has both or neither.
    results.append_lines(line_of(first) + line_of({{"type", "plan"}, {"cases", ids}}));
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
  std::int64_t steps = 0;  // of cases that came to their end
  const std::string seed = sha256_hex(s.model_sha256 + suite.sha256 + to_string(options.shard)).substr(0, 16);
  const auto canary = choose_canary(s.plan, gates, planned, seed);
  if (canary && !canary_caught) runner.carry(*canary, finished.contains(canary->case_id));
  {
    Progress progress(static_cast<std::int64_t>(planned.size() - finished.size()), options.quiet);
    for (const PlannedCase& c : planned) {
      if (finished.contains(c.spec.id)) continue;
      progress.start_case(c.spec.id);
      CaseRunner::Outcome outcome = runner.run(c, *s.reference);
      noise.merge(lockstep.noise());
      if (outcome.verdict <= Verdict::fail)
        steps += outcome.tally.planned / std::max<std::int64_t>(1, lockstep.comparisons_per_step());
      if (!outcome.pending) totals.add(outcome.record);
      if (!outcome.tokens_differ.is_null() && totals.located.is_null()) totals.locate(outcome.tokens_differ);
      progress.finish_case(c.spec.id, outcome.pending ? "PENDING" : std::string(to_string(outcome.verdict)));
    }
  }
  settle_pending(pending_path, noise, results, totals);
  const std::optional<Location> location =
      locate_failure(options, s, gates, planned.front().spec.id, totals, results);
  std::error_code ignored;
  std::filesystem::remove(pending_path, ignored);
  if (runner.canary_missed() || canary_caught == false) totals.verdict = Verdict::invalid;
  totals.coverage =
      coverage_of(s.plan, totals.tally.planned / std::max<std::int64_t>(1, lockstep.comparisons_per_step()));
  for (const auto& [verdict, reason] : coverage_complaints(totals, options.shard.count > 1)) {
    totals.verdict = worse(totals.verdict, verdict);
    results.append({{"type", "skip"}, {"count", 0}, {"reason", reason}});
    if (!options.silent) say({reason});
  }

  const Lockstep::Seconds& seconds = lockstep.seconds();
  const std::pair<const char*, double> spent[] = {{"candidate", seconds.candidate},
                                                  {"reference", seconds.reference},
                                                  {"self-noise", seconds.noise},
                                                  {"local evaluation", seconds.local}};
  for (const auto& [who, time] : spent) {
    json record = {
        {"type", "perf"}, {"participant", who}, {"seconds", time}, {"what", "evaluations, waits included"}};
    for (const auto& [side, spec, participant] :
         {std::tuple("candidate", &s.candidate_spec, s.candidate.get()),
          std::tuple("reference", &s.reference_spec, s.reference.get())}) {
      const bitnet::KernelCounts kernels = participant->kernels();
      if (who != std::string(side) || (kernels.empty() && spec->kind != "engine")) continue;
      record["kernels"] = kernels;
      record["steps"] = steps;
      if (resume) record["resumed"] = true;  // these are of the last part
    }
    results.append(record);
  }

  if (!options.baseline.empty()) settle_baseline(options, s, planned, baseline, totals, results);

  results.append(summary_record(totals, noise));
  const reports::Rendered rendered = reports::render(options.out / "results.jsonl", options.out);
  write_receipt(options.out);
  RunResult result = result_of(rendered, totals, first.at("claim"));
  result.located = totals.located;
  result.location = location;
  return result;
}

}  // namespace crossval
