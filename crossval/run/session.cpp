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

  // Local comparisons need one side that evaluates, and the other side's inputs of everything compared.
  const bool candidate_evaluates = s.candidate->can_evaluate();
  const auto& feeding = candidate_evaluates ? reference : candidate;
  s.plan.local = options.taps != "none" && (candidate_evaluates || s.reference->can_evaluate());
  for (const TapId id : s.plan.taps) {
    const bitnet::OperationInputs inputs = bitnet::inputs_of(s.model->config(), id);
    for (const auto& input : {inputs.a, inputs.b, inputs.history}) {
      if (!input) continue;
      if (!shows(feeding, *input)) s.plan.local = false;
      s.plan.extra_inputs.insert(*input);
    }
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
  return s;
}

}  // namespace crossval
