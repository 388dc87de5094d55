#include "crossval/run/session.h"

#include <algorithm>

#include "crossval/errors.h"
#include "crossval/records/sha256.h"
#include "engine/error.h"

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

  if (options.taps == "none") return;
  // Whose inputs operations are evaluated on: those of the side that cannot evaluate; where neither can, a
  // third party evaluates each side's own.
  if (s.candidate->can_evaluate())
    s.plan.local.push_back({.fed = Side::reference, .taps = {}, .inputs = {}});
  else if (s.reference->can_evaluate())
    s.plan.local.push_back({.fed = Side::candidate, .taps = {}, .inputs = {}});
  else
    for (const Side side : {Side::candidate, Side::reference})
      s.plan.local.push_back({.fed = side, .taps = {}, .inputs = {}});
  for (LocalPlan& local : s.plan.local) {
    const auto& fed = local.fed == Side::candidate ? candidate : reference;
    for (const TapId id : s.plan.taps) {
      const bitnet::OperationInputs inputs = bitnet::inputs_of(s.model->config(), id);
      std::optional<TapId> hidden;
      for (const auto& input : {inputs.a, inputs.b, inputs.history})
        if (input && !shows(fed, *input)) hidden = input;
      if (hidden) {
        s.skipped_local.emplace_back(id, "the " + std::string(to_string(local.fed)) +
                                             " does not show its input " + bitnet::to_string(*hidden));
        continue;
      }
      local.taps.insert(id);
      for (const auto& input : {inputs.a, inputs.b, inputs.history})
        if (input) local.inputs.insert(*input);
    }
  }
  std::erase_if(s.plan.local, [](const LocalPlan& local) { return local.taps.empty(); });
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
std::unique_ptr<Participant> make_evaluator(const Session& s, const std::filesystem::path& path,
                                            const ParticipantDefaults& defaults) {
  try {
    return make_participant(parse_participant("emulator:rope=own"), s.reference_model, path, defaults);
  } catch (const bitnet::InputError&) {
    return make_participant(parse_participant("oracle"), s.reference_model, path, defaults);
  }
}

}  // namespace

Session open_session(const RunOptions& options) {
  Session s;
  s.candidate_spec = parse_participant(options.candidate);
  s.reference_spec = parse_participant(options.reference);
  s.model = std::make_shared<const bitnet::Model>(bitnet::Model::load(options.model));
  s.model_sha256 = sha256_file(options.model);
  if (options.reference_model.empty()) {
    s.reference_model = s.model;
    s.reference_model_sha256 = s.model_sha256;
  } else {
    s.reference_model = std::make_shared<const bitnet::Model>(bitnet::Model::load(options.reference_model));
    s.reference_model_sha256 = sha256_file(options.reference_model);
    check_same_shape(s.model->config(), s.reference_model->config());
  }
  s.warnings = s.model->weights().warnings;
  const ParticipantDefaults defaults{.isa = options.isa, .threads = options.threads};
  const auto& reference_path = options.reference_model.empty() ? options.model : options.reference_model;
  s.candidate = make_participant(s.candidate_spec, s.model, options.model, defaults);
  s.reference = make_participant(s.reference_spec, s.reference_model, reference_path, defaults);
  s.noise = make_noise_twin(s.reference_spec, s.reference_model, reference_path, defaults);
  if (s.candidate->n_vocab() != s.reference->n_vocab())
    throw Incomparable("the vocabularies differ: candidate " + std::to_string(s.candidate->n_vocab()) +
                       " tokens, reference " + std::to_string(s.reference->n_vocab()));
  s.plan.evaluation_tokens = options.reference_batch;
  plan_taps(options, s);
  if (!s.plan.local.empty() && !s.candidate->can_evaluate() && !s.reference->can_evaluate())
    s.evaluator = make_evaluator(s, reference_path, defaults);
  choose_arbiter(options, s, defaults);
  return s;
}

}  // namespace crossval
