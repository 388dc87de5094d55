#include "crossval/run/record.h"

#include <algorithm>

#include "crossval/errors.h"
#include "crossval/lockstep/self_noise.h"
#include "crossval/participants/spec.h"
#include "crossval/records/sha256.h"
#include "crossval/run/drive_case.h"
#include "crossval/run/noise_json.h"
#include "crossval/run/progress.h"
#include "crossval/run/trace_rope.h"
#include "engine/base64.h"
#include "engine/error.h"
#include "nlohmann/json.hpp"
#include "reference/trace/trace_reader.h"
#include "reference/trace/trace_writer.h"

namespace crossval {
namespace {

using nlohmann::json;

constexpr TapId kLogits{bitnet::Tap::result_output, -1};

// Drives one participant through cases and writes what it shows.
class Recorder {
 public:
  Recorder(const RunOptions& options, const bitnet::Model& model, Participant& participant, Participant* twin)
      : options_(options), model_(model), participant_(participant), twin_(twin), writer_(options.out) {
    check_tap_list(options.taps, bitnet::canonical_taps(model.config()));
    const std::vector<TapId> shown = participant.taps();
    for (const TapId id : bitnet::canonical_taps(model.config()))
      if ((id == kLogits || tap_selected(options.taps, id)) && std::ranges::find(shown, id) != shown.end())
        taps_.push_back(id);
    if (taps_.empty() || taps_.back() != kLogits)
      throw Incomparable(participant.identity().name + " shows no logits; nothing can be recorded");
  }

  void record(const PlannedCase& c) {
    for (Participant* p : {&participant_, twin_}) {
      if (!p) continue;
      p->begin_case(c.spec.id);
      p->reset();
    }
    if (const auto outside = check_tokenization(c, model_, participant_, "participant"))
      notes_.push_back(*outside);
    json& steps = tokens_[c.spec.id] = json::array();
    const auto show = [&](std::int64_t step, std::span<const Token> tokens, bool last_of_step) {
      evaluate(c.spec.id, step, tokens, last_of_step);
      return std::span<const float>(logits_);
    };
    const auto note = [&](const std::vector<Token>& fed) {
      steps.push_back(fed);
      for (const Token token : fed)
        if (const std::string id = std::to_string(token); !pieces_.contains(id))
          pieces_[id] = bitnet::base64_encode(participant_.piece(token));
    };
    positions_ =
        std::max(positions_, drive_case(c, model_.tokenizer(), options_.reference_batch, show, note));
  }

  void finish(std::map<std::string, std::string> metadata, std::optional<bitnet::RopeMath> rope) {
    json names = json::array();
    for (const TapId id : taps_) names.push_back(bitnet::to_string(id));
    metadata["taps"] = names.dump();
    metadata["tokens"] = tokens_.dump();
    metadata["pieces"] = pieces_.dump();
    if (!notes_.empty()) metadata["notes"] = notes_.dump(-1, ' ', false, json::error_handler_t::replace);
    if (noise_.measured) metadata["self_noise"] = to_json(noise_).dump();
    if (rope) {
      const bitnet::RecordedRope table = rope_rows(model_, *rope, positions_);
      metadata["rope"] = *rope == bitnet::RopeMath::libm ? "libm" : "own";
      metadata["rope_positions"] = std::to_string(positions_);
      const auto coded = [](const std::vector<float>& values) {
        return bitnet::base64_encode(
            {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
      };
      metadata["rope_cos"] = coded(table.cos);
      metadata["rope_sin"] = coded(table.sin);
    }
    writer_.finish(metadata);
  }

 private:
  void evaluate(const std::string& id, std::int64_t step, std::span<const Token> tokens, bool last_of_step) {
    const auto wanted = [this](TapId tap) { return std::ranges::find(taps_, tap) != taps_.end(); };
    Stream shown(participant_, tokens, wanted);
    std::optional<Stream> again;
    if (twin_) again.emplace(*twin_, tokens, wanted);
    std::size_t seen = 0;
    while (const auto tensor = shown.next()) {
      if (tensor->rows() != std::ssize(tokens))
        throw Incomparable("tap " + bitnet::to_string(tensor->id) + ": " + std::to_string(tensor->rows()) +
                           " rows shown of " + std::to_string(tokens.size()));
      ++seen;
      if (again) note_noise(noise_, *tensor, again->take(tensor->id));
      keep(id, step, *tensor, last_of_step);
      if (tensor->id == kLogits) {
        const auto row = tensor->row(tensor->rows() - 1);
        logits_.assign(row.begin(), row.end());
      }
    }
    if (again) again->finish();
    if (seen != taps_.size())
      throw Incomparable("only " + std::to_string(seen) + " of " + std::to_string(taps_.size()) +
                         " promised taps were shown");
  }

  void keep(const std::string& id, std::int64_t step, const Tensor& tensor, bool last_of_step) {
    if (options_.trace_values == TraceValues::full) {
      writer_.add(id, step, tensor.id, tensor.offsets, tensor.values);
      return;
    }
    std::vector<Sha256> hashes;
    for (std::int64_t i = 0; i < tensor.rows(); ++i) hashes.push_back(sha256_of(tensor.row(i)));
    writer_.add_hashes(id, step, tensor.id, hashes);
    if (!last_of_step || !keeps_last_row(tensor.id)) return;
    const auto row = tensor.row(tensor.rows() - 1);
    writer_.add(id, step, tensor.id, std::vector<std::int64_t>{0, std::ssize(row)}, row);
  }

  const RunOptions& options_;
  const bitnet::Model& model_;
  Participant& participant_;
  Participant* twin_;
  TraceWriter writer_;
  std::vector<TapId> taps_;
  std::vector<float> logits_;  // of the last row evaluated
  json tokens_ = json::object();
  json pieces_ = json::object();
  json notes_ = json::array();
  SelfNoise noise_;
  std::int64_t positions_ = 0;  // of the longest case
};

std::map<std::string, std::string> metadata_of(const RunOptions& options, const Suite& suite,
                                               const Participant& participant) {
  const Identity id = participant.identity();
  json details = json::object();
  // What may differ between two ways of computing the same values stays out: equal traces are equal files.
  for (const auto& [key, value] : id.details)
    if (key != "isa" && key != "threads") details[key] = value;
  return {{"schema", "crossval.trace/1"},
          {"model_sha256", sha256_file(options.model)},
          {"suite_sha256", suite.sha256},
          {"participant", id.name},
          {"version", id.version},
          {"build", id.build},
          {"details", details.dump(-1, ' ', false, json::error_handler_t::replace)},
          {"values", options.trace_values == TraceValues::full ? "full" : "sha256"},
          {"reference_batch", std::to_string(options.reference_batch)},
          {"n_vocab", std::to_string(participant.n_vocab())}};
}

}  // namespace

void record(const RunOptions& options) {
  const Suite suite = load_suite(options.prompts);
  const Selection selection = select_cases(suite, options.filter, options.shard);
  const ParticipantSpec spec = parse_participant(options.reference);
  if (spec.kind == "trace")
    throw bitnet::InputError("--reference " + options.reference.substr(0, 60) +
                             ": is a trace already; record a participant that computes");
  const auto model =
      std::make_shared<const bitnet::Model>(bitnet::Model::load(options.model, {}, ternary_options(spec)));
  const ParticipantDefaults defaults{
      .isa = options.isa, .threads = options.threads, .timeout = options.timeout};
  const auto participant = make_participant(spec, model, options.model, defaults);
  const auto twin = make_noise_twin(spec, model, options.model, defaults, options.reference_batch);
  const std::vector<PlannedCase> planned =
      plan_cases(selection.cases, options.max_tokens, *model, suite.path);
  say(remarks_of(planned));

  Recorder recorder(options, *model, *participant, twin.get());
  Progress progress(std::ssize(planned), options.quiet);
  for (const PlannedCase& c : planned) {
    progress.start_case(c.spec.id);
    recorder.record(c);
    progress.finish_case(c.spec.id, "PASS");
  }
  recorder.finish(metadata_of(options, suite, *participant), rope_math_of(spec));
}

}  // namespace crossval
