#include "crossval/run/session.h"

#include <algorithm>
#include <future>
#include <set>
#include <tuple>

#include "crossval/errors.h"
#include "crossval/mistakes/catalogue.h"
#include "crossval/records/sha256.h"
#include "crossval/run/noise_json.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "engine/kernels/thread_pool.h"
#include "reference/trace/replay.h"

namespace crossval {
namespace {

void check_same_shape(const bitnet::Config& a, const bitnet::Config& b) {
  const auto same = [](const char* what, std::int64_t x, std::int64_t y) {
    if (x != y)
      throw Incomparable(std::string("the two models differ in ") + what + ": candidate " +
                         std::to_string(x) + ", reference " + std::to_string(y));
  };
  same("vocabulary", a.n_vocab, b.n_vocab);
  same("layers", a.n_layer, b.n_layer);
  same("width", a.n_embd, b.n_embd);
  same("FFN width", a.n_ff, b.n_ff);
  same("heads", a.n_head, b.n_head);
  same("KV heads", a.n_head_kv, b.n_head_kv);
  same("head size", a.head_dim, b.head_dim);
}

// The taps that both sides show and the list names; what one side lacks is said, with the reason.
void plan_taps(const RunOptions& options, Session& s) {
  const std::vector<TapId> canonical = bitnet::canonical_taps(s.model->config());
  check_tap_list(options.taps, canonical);
  const auto listed = [](const Participant& p) {
    auto taps = p.taps();
    std::sort(taps.begin(), taps.end());
    return taps;
  };
  const auto candidate = listed(*s.candidate), reference = listed(*s.reference);
  const auto shows = [](const std::vector<TapId>& taps, TapId id) {
    return std::binary_search(taps.begin(), taps.end(), id);
  };
  const TapId logits{bitnet::Tap::result_output, -1};
  if (!shows(candidate, logits) || !shows(reference, logits))
    throw Incomparable("a participant shows no logits; nothing can be compared");
  for (const TapId id : canonical) {
    if (!tap_selected(options.taps, id))
      s.skipped_taps.emplace_back(id, "not in --taps " + options.taps);
    else if (!shows(candidate, id))
      s.skipped_taps.emplace_back(id, "the candidate does not show it");
    else if (!shows(reference, id))
      s.skipped_taps.emplace_back(id, "the reference does not show it");
    else
      s.plan.taps.push_back(id);
  }

  if (options.taps == "none" || s.reference_spec.kind == "self") return;
  // Whose inputs operations are evaluated on: those of the side that cannot evaluate; where neither can, a
  // third party evaluates each side's own.
  if (s.candidate->can_evaluate())
    s.plan.local.push_back({.fed = Side::reference, .taps = {}, .inputs = {}});
  else if (s.reference->can_evaluate())
    s.plan.local.push_back({.fed = Side::candidate, .taps = {}, .inputs = {}});
  else
    for (const Side side : {Side::candidate, Side::reference})
      s.plan.local.push_back({.fed = side, .taps = {}, .inputs = {}});
  for (LocalPlan& local : s.plan.local)
    local = plan_local(s, local.fed, [&s](TapId id, std::string reason) {
      s.skipped_local.emplace_back(id, std::move(reason));
    });
  std::erase_if(s.plan.local, [](const LocalPlan& local) { return local.taps.empty(); });
}

// Candidate, reference and its twin evaluate at the same time. With as many threads each as there are cores
// they would wait for one another at every operation, spinning: on 2 cores a lockstep of three took 1.24
// times as long.
int threads_each(const RunOptions& options, const Session& s) {
  if (options.threads > 0) return options.threads;
  int computing = 0;
  if (s.candidate_spec.kind != "trace") ++computing;
  if (s.reference_spec.kind != "trace")
    computing += s.reference_spec.kind == "engine" || s.reference_spec.kind == "self" ? 1 : 2;
  return (bitnet::physical_cores() + computing - 1) / std::max(computing, 1);
}

// The oracle, unless it is a side itself.
std::string default_arbiter(const Session& s) {
  for (const char* kind : {"oracle", "emulator", "engine"})
    if (s.candidate_spec.kind != kind && s.reference_spec.kind != kind)
      return kind == std::string("emulator") ? "emulator:rope=own" : kind;
  return "none";
}

void choose_arbiter(const RunOptions& options, Session& s, const ParticipantDefaults& defaults) {
  const std::string name = options.arbiter == "auto" ? default_arbiter(s) : options.arbiter;
  if (name == "none") return;
  s.arbiter_spec = parse_participant(name);
  if (s.arbiter_spec->kind != "oracle" && s.arbiter_spec->kind != "emulator" &&
      s.arbiter_spec->kind != "engine")
    throw bitnet::InputError("--arbiter " + name.substr(0, 60) +
                             ": must evaluate single operations; there are oracle, emulator, engine, none");
  const auto& path = options.reference_model.empty() ? options.model : options.reference_model;
  s.arbiter = [made = std::shared_ptr<Participant>(), failed = false, spec = *s.arbiter_spec,
               model = s.reference_model, path, defaults]() mutable -> Participant* {
    if (!made && !failed) {
      try {
        made = make_participant(spec, model, path, defaults);
      } catch (const bitnet::InputError&) {
        failed = true;  // it does not run this model: it has no opinion
      }
    }
    return made.get();
  };
}

// Operations are evaluated by the emulator where neither side can, by the oracle where that cannot run the
// model.
std::unique_ptr<Participant> make_evaluator(const std::shared_ptr<const bitnet::Model>& model,
                                            const std::filesystem::path& path,
                                            const ParticipantDefaults& defaults) {
  try {
    return make_participant(parse_participant("emulator:rope=own"), model, path, defaults);
  } catch (const bitnet::InputError&) {
    return make_participant(parse_participant("oracle"), model, path, defaults);
  }
}

// --inject: the fault goes into one side, whatever of it is made.
void plant_fault(const RunOptions& options, const Session& s, ParticipantDefaults& candidate,
                 ParticipantDefaults& reference) {
  if (options.inject.empty()) return;
  constexpr std::string_view kReference = "reference:";
  const bool in_reference = options.inject.starts_with(kReference);
  const CatalogueEntry& entry =
      fault_named(in_reference ? std::string_view(options.inject).substr(kReference.size()) : options.inject);
  (in_reference ? reference : candidate).wrap =
      [fault = entry.fault, model = in_reference ? s.reference_model : s.model,
       path = in_reference ? s.reference_path : s.path](std::unique_ptr<Participant> participant) {
        return plant(fault, std::move(participant), model, path);
      };
}

using bitnet::InputError;

// Opens the trace that a participant names, if it does. A trace of another model or suite is refused.
void open_trace(const RunOptions& options, const Suite& suite, const std::string& model_sha256,
                ParticipantSpec& spec) {
  if (spec.kind != "trace") return;
  const auto trace = std::make_shared<const Trace>(Trace::open(spec.options.at("file")));
  const Identity& id = trace->identity();
  const auto generation = id.details.find("generation");
  spec.recorded = bitnet::gguf::printable(
      id.name + " (" + (generation == id.details.end() ? "" : "generation " + generation->second + ", ") +
          id.build + ")",
      300);
  const auto check = [&](const char* what, const std::string& recorded, const std::string& here) {
    if (recorded != here && !options.allow_other_model)
      throw Incomparable("the trace " + trace->name() + " was recorded with another " + what +
                         ": its SHA-256 is " + recorded + ", here it is " + here +
                         "; record it anew, or say --allow-other-model");
  };
  check("model", trace->model_sha256(), model_sha256);
  check("suite", trace->suite_sha256(), suite.sha256);
  spec.trace = trace;
}

std::optional<SelfNoise> recorded_noise(const Trace& trace) {
  if (trace.self_noise().empty()) return std::nullopt;
  try {
    return noise_from_json(nlohmann::json::parse(trace.self_noise()));
  } catch (const nlohmann::json::exception&) {
    trace.fail("metadata self_noise", "is no self-noise as records have it; copy or record the trace again");
  }
}

constexpr std::int64_t kSelfBatch = 32;

// How a trace was recorded decides how the other side is fed: bits depend on it.
std::int64_t evaluation_tokens(const RunOptions& options, const Session& s) {
  const auto& trace = s.reference_spec.trace ? s.reference_spec.trace : s.candidate_spec.trace;
  // One token at a time leaves nothing to split or to mix.
  if (s.reference_spec.kind == "self" && options.reference_batch == 1) return kSelfBatch;
  if (!trace) return options.reference_batch;
  if (options.reference_batch != 1 && options.reference_batch != trace->reference_batch())
    throw InputError("--reference-batch " + std::to_string(options.reference_batch) + ": the trace " +
                     trace->name() + " was recorded with " + std::to_string(trace->reference_batch()) +
                     "; leave the flag out or record the trace anew");
  return trace->reference_batch();
}

std::shared_ptr<const bitnet::Model> load_model(const std::filesystem::path& path,
                                                const bitnet::gguf::TernaryOptions& layout) {
  return std::make_shared<const bitnet::Model>(bitnet::Model::load(path, {}, layout));
}

}  // namespace

LocalPlan plan_local(const Session& s, Side side, const std::function<void(TapId, std::string)>& skip) {
  LocalPlan local{.fed = side, .taps = {}, .inputs = {}};
  const Participant& fed = side == Side::candidate ? *s.candidate : *s.reference;
  const std::vector<TapId> listed = fed.taps();
  const std::set<TapId> shown(listed.begin(), listed.end());
  const auto without = [&](TapId id, const std::string& reason) {
    if (skip) skip(id, "the " + std::string(to_string(side)) + reason);
  };
  for (const TapId id : s.plan.taps) {
    if (!fed.shows_values()) {
      without(id, " is a trace of SHA-256: it shows no inputs of operations");
      continue;
    }
    const std::vector<TapId> inputs = bitnet::inputs_of(s.model->config(), id).taps();
    const auto hidden = std::ranges::find_if(inputs, [&](TapId input) { return !shown.contains(input); });
    if (hidden != inputs.end()) {
      without(id, " does not show its input " + bitnet::to_string(*hidden));
      continue;
    }
    local.taps.insert(id);
    local.inputs.insert(inputs.begin(), inputs.end());
  }
  return local;
}

Session open_session(const RunOptions& options, const Suite& suite) {
  Session s;
  s.candidate_spec = parse_participant(options.candidate);
  s.reference_spec = parse_participant(options.reference);
  if (s.reference_spec.kind == "self") {
    if (s.candidate_spec.kind == "self" || s.candidate_spec.kind == "trace")
      throw InputError("--reference self: the candidate must compute, it cannot be `" +
                       s.candidate_spec.kind + "`");
    if (!options.reference_model.empty())
      throw InputError("--reference self: it has the candidate's model; leave --reference-model out");
    s.reference_spec.of = std::make_shared<const ParticipantSpec>(s.candidate_spec);
  }
  if (s.candidate_spec.kind == "self") throw InputError("--candidate self: only a reference can be `self`");
  // Files are hashed and the sides load their models beside one another: for a model of 1.2 GB one after the
  // other took 2.5 s.
  const auto beside = [](auto work) { return std::async(std::launch::async, std::move(work)); };
  const bool two_models = !options.reference_model.empty();
  const auto& reference_path = two_models ? options.reference_model : options.model;
  s.path = options.model;
  s.reference_path = reference_path;
  auto model_sha256 = beside([&] { return sha256_file(options.model); });
  std::future<std::string> reference_sha256;
  if (two_models) reference_sha256 = beside([&] { return sha256_file(reference_path); });
  const auto know_hashes = [&] {
    if (model_sha256.valid()) s.model_sha256 = s.reference_model_sha256 = model_sha256.get();
    if (reference_sha256.valid()) s.reference_model_sha256 = reference_sha256.get();
  };

  // Sides that share a file share its layout, whoever names it; one that names another has it loaded again.
  using Layout = bitnet::gguf::TernaryOptions;
  const Layout candidate_layout =
      ternary_options(s.candidate_spec, two_models ? Layout{} : ternary_options(s.reference_spec));
  const Layout reference_layout = ternary_options(s.reference_spec, two_models ? Layout{} : candidate_layout);
  s.model = load_model(options.model, candidate_layout);
  s.reference_model = s.model;
  if (two_models || reference_layout.layout != candidate_layout.layout) {
    s.reference_model = load_model(reference_path, reference_layout);
    check_same_shape(s.model->config(), s.reference_model->config());
  }
  s.warnings = s.model->weights().warnings;
  ParticipantDefaults defaults{
      .isa = options.isa, .threads = threads_each(options, s), .timeout = options.timeout};
  if (s.candidate_spec.kind == "trace" || s.reference_spec.kind == "trace") know_hashes();
  open_trace(options, suite, s.model_sha256, s.candidate_spec);
  open_trace(options, suite, s.reference_model_sha256, s.reference_spec);
  for (const auto& trace : {s.reference_spec.trace, s.candidate_spec.trace})
    if (trace && trace->rope() && !defaults.rope)
      defaults.rope = {.cos = trace->rope()->cosines, .sin = trace->rope()->sines};
  ParticipantDefaults candidate_defaults = defaults;
  candidate_defaults.ternary = candidate_layout;
  defaults.ternary = reference_layout;  // of those who judge too
  if (s.reference_spec.trace) s.plan.recorded_noise = recorded_noise(*s.reference_spec.trace);
  s.plan.evaluation_tokens = evaluation_tokens(options, s);

  ParticipantDefaults reference_defaults = defaults;
  plant_fault(options, s, candidate_defaults, reference_defaults);
  auto reference = beside([&] {
    return make_participant(s.reference_spec, s.reference_model, reference_path, reference_defaults);
  });
  auto noise = beside([&] {
    return make_noise_twin(s.reference_spec, s.reference_model, reference_path, reference_defaults,
                           s.plan.evaluation_tokens);
  });
  s.candidate = make_participant(s.candidate_spec, s.model, options.model, candidate_defaults);
  s.reference = reference.get();
  s.noise = noise.get();
  know_hashes();
  s.candidate_spec.probed = probed_by(s.candidate_spec, *s.candidate);
  s.reference_spec.probed = probed_by(s.reference_spec, *s.reference);
  if (s.candidate->n_vocab() != s.reference->n_vocab())
    throw Incomparable("the vocabularies differ: candidate " + std::to_string(s.candidate->n_vocab()) +
                       " tokens, reference " + std::to_string(s.reference->n_vocab()));
  plan_taps(options, s);
  s.make_evaluator = [model = s.reference_model, reference_path, defaults] {
    return make_evaluator(model, reference_path, defaults);
  };
  for (const auto& [side, participant, model] :
       {std::tuple(Side::candidate, s.candidate.get(), s.model.get()),
        std::tuple(Side::reference, s.reference.get(), s.reference_model.get())})
    if (auto rounding = foreign_rounding(participant->identity(), model->weights());
        rounding.products || rounding.head)
      s.plan.rounding.emplace(side, std::move(rounding));
  // Such a reference is off from any model of ours in every tap. How far is measured in this run: its
  // distance from our emulator of bitnet.cpp, which has one scale a row.
  if (const auto it = s.plan.rounding.find(Side::reference);
      it != s.plan.rounding.end() && it->second.products) {
    s.noise = s.make_evaluator();
    s.quantization_noise =
        "quantization noise, measured in this run: the reference, which rounds the inputs of "
        "ternary products to " +
        it->second.products->name + ", against our " + s.noise->identity().name +
        ", which rounds them to i8_s";
  }
  const auto is_logits = [](TapId id) { return id.tap == bitnet::Tap::result_output; };
  if (s.candidate_spec.kind == "engine" && !candidate_defaults.wrap && s.plan.local.empty() &&
      std::ranges::all_of(s.plan.taps, is_logits))
    s.ahead = engine_options(s.candidate_spec, candidate_defaults);
  if (!s.plan.local.empty() && !s.candidate->can_evaluate() && !s.reference->can_evaluate())
    s.evaluator = s.make_evaluator();
  choose_arbiter(options, s, defaults);
  return s;
}

}  // namespace crossval
