#include "crossval/run/noise_gates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "crossval/errors.h"
#include "crossval/lockstep/self_noise.h"
#include "crossval/participants/spec.h"
#include "crossval/run/drive_case.h"
#include "crossval/run/host.h"
#include "crossval/run/progress.h"
#include "engine/error.h"
#include "engine/kernels/topology.h"
#include "reports/atomic_file.h"

namespace crossval {
namespace {

using bitnet::InputError;
using nlohmann::json;

constexpr TapId kLogits{bitnet::Tap::result_output, -1};

// The greatest distances of one tap, over all layers, cases and steps.
struct Distance {
  Noise noise;
  double kl = 0;
  std::int64_t bits = 0;
  std::int64_t rows = 0;
};

// One way in which the reference may compute.
struct Way {
  std::string name;
  std::unique_ptr<Participant> participant;
};

class NoiseRecorder {
 public:
  NoiseRecorder(Participant& first, std::vector<Way> ways, const bitnet::Model& model,
                std::int64_t tokens_per_evaluation)
      : first_(first),
        ways_(std::move(ways)),
        model_(model),
        tokens_per_evaluation_(tokens_per_evaluation),
        taps_(shown_by_all()) {}

  void measure(const PlannedCase& c) {
    const auto begin = [&](Participant& p) {
      p.begin_case(c.spec.id);
      p.reset();
    };
    begin(first_);
    for (const Way& way : ways_) begin(*way.participant);
    drive_case(
        c, model_.tokenizer(), tokens_per_evaluation_,
        [this](std::int64_t, std::span<const Token> tokens, bool) { return evaluate(tokens); },
        [](const std::vector<Token>&) {});
  }

  const Distance& of(bitnet::Tap tap) const { return distances_[static_cast<std::size_t>(tap)]; }

 private:
  std::vector<TapId> shown_by_all() const {
    std::vector<TapId> taps = first_.taps();
    for (const Way& way : ways_) {
      const std::vector<TapId> also = way.participant->taps();
      std::erase_if(taps, [&](TapId id) { return std::ranges::find(also, id) == also.end(); });
    }
    if (std::ranges::find(taps, kLogits) == taps.end())
      throw Incomparable("not all ways of computing show logits; no noise can be measured");
    return taps;
  }

  std::span<const float> evaluate(std::span<const Token> tokens) {
    const auto wanted = [this](TapId id) { return std::ranges::find(taps_, id) != taps_.end(); };
    Stream shown(first_, tokens, wanted);
    std::vector<std::unique_ptr<Stream>> again;
    for (const Way& way : ways_) again.push_back(std::make_unique<Stream>(*way.participant, tokens, wanted));
    while (const auto tensor = shown.next()) {
      for (const auto& stream : again) note(*tensor, stream->take(tensor->id));
      if (tensor->id != kLogits) continue;
      const auto row = tensor->row(tensor->rows() - 1);
      logits_.assign(row.begin(), row.end());
    }
    for (const auto& stream : again) stream->finish();
    return logits_;
  }

  void note(const Tensor& first, const Tensor& other) {
    Distance& d = distances_[static_cast<std::size_t>(first.id.tap)];
    compare_ways(first, other, [&](const RowMetrics& m) {
      if (!std::isfinite(m.cosine) || !std::isfinite(m.norm_ratio))
        throw Incomparable("tap " + bitnet::to_string(first.id) +
                           ": a value is not finite; that is no noise but a fault of the reference");
      d.noise.cosine = std::max(d.noise.cosine, 1 - m.cosine);
      d.noise.norm = std::max(d.noise.norm, std::abs(m.norm_ratio - 1));
      d.bits += m.bits;
      ++d.rows;
    });
    if (first.id != kLogits) return;
    const std::int64_t skipped = first.rows() - other.rows();
    for (std::int64_t i = 0; i < other.rows(); ++i)
      d.kl = std::max(d.kl, compare_logits(other.row(i), first.row(skipped + i)).kl);
  }

  Participant& first_;
  std::vector<Way> ways_;
  const bitnet::Model& model_;
  std::int64_t tokens_per_evaluation_;
  std::vector<TapId> taps_;
  std::vector<float> logits_;
  std::array<Distance, bitnet::kTapCount> distances_{};
};

Gate measured_gate(bitnet::Tap tap, Metric metric, double threshold, const std::string& source,
                   const std::string& date) {
  Gate gate;
  const std::string name(bitnet::base_name(tap));
  gate.name = "noise." + name + "." + std::string(to_string(metric));
  gate.mode = Mode::free;
  gate.metric = metric;
  gate.taps = {name};
  gate.threshold = threshold;
  gate.source = source;
  gate.date = date;
  return gate;
}

// Twice the noise: two computations, each as far from the true value as the reference is from itself.
std::vector<Gate> gates_of(bitnet::Tap tap, const Distance& d, const std::string& ways,
                           const std::string& date) {
  const std::string rows = std::to_string(d.rows) + " rows";
  if (d.bits == 0)
    return {measured_gate(tap, Metric::bits, 0, "no bit differed in " + rows + ": " + ways, date)};
  const std::string source = "twice the greatest of " + rows + ": " + ways;
  std::vector<Gate> gates = {measured_gate(tap, Metric::cosine, 1 - 2 * d.noise.cosine, source, date),
                             measured_gate(tap, Metric::norm_ratio_error, 2 * d.noise.norm, source, date)};
  if (tap == bitnet::Tap::result_output)
    gates.push_back(measured_gate(tap, Metric::kl, 2 * d.kl, source, date));
  return gates;
}

// As a gates file has it: `limit` is for records, where people read it.
json as_written(const Gate& gate) {
  json out = to_json(gate);
  out.erase("limit");
  return out;
}

std::string name_of(const Participant& participant) {
  const Identity id = participant.identity();
  std::string name = id.name;
  for (const std::string& part : {id.version, id.build})
    if (!part.empty()) name += " " + part;
  return name;
}

}  // namespace

void record_noise(const RunOptions& options, const std::vector<std::string>& builds) {
  const Suite suite = load_suite(options.prompts);
  const std::vector<Case> cases = select_cases(suite, options.filter, options.shard).cases;
  std::vector<ParticipantSpec> specs = {parse_participant(options.reference)};
  for (const std::string& build : builds) specs.push_back(parse_participant(build));
  for (const ParticipantSpec& spec : specs)
    if (spec.kind == "trace")
      throw InputError("--reference: a trace computes nothing; its self-noise stands in it");
  const ParticipantSpec& spec = specs.front();
  const auto model =
      std::make_shared<const bitnet::Model>(bitnet::Model::load(options.model, {}, ternary_options(spec)));
  const ParticipantDefaults defaults{
      .isa = options.isa, .threads = options.threads, .timeout = options.timeout};
  const auto first = make_participant(spec, model, options.model, defaults);

  std::vector<Way> ways;
  if (auto twin = make_noise_twin(spec, model, options.model, defaults, options.reference_batch))
    ways.push_back({spec.kind == "oracle" ? "every value rounded to binary32"
                    : options.reference_batch > 1
                        ? "one token per evaluation instead of " + std::to_string(options.reference_batch)
                        : "the kernels for several tokens",
                    std::move(twin)});
  // A program of others is not told how many threads to take.
  if (spec.kind != "exec" && !spec.options.contains("threads")) {
    const int threads = options.threads > 0 ? options.threads : bitnet::physical_cores();
    ParticipantDefaults other = defaults;
    other.threads = threads == 1 ? 2 : 1;
    ways.push_back({std::to_string(other.threads) + (other.threads == 1 ? " thread" : " threads") +
                        " instead of " + std::to_string(threads),
                    make_participant(spec, model, options.model, other)});
  }
  for (std::size_t i = 1; i < specs.size(); ++i) {
    auto build = make_participant(specs[i], model, options.model, defaults);
    std::string name = name_of(*build);
    ways.push_back({std::move(name), std::move(build)});
  }
  if (ways.empty())
    throw InputError("--reference " + options.reference.substr(0, 60) +
                     ": there is no second way of computing; name another build with a second --reference");

  std::string names;
  for (const Way& way : ways) names += (names.empty() ? "" : "; ") + way.name;
  const std::string source = name_of(*first) + " against " + names + "; on " + cpu_name();
  const std::vector<PlannedCase> planned = plan_cases(cases, options.max_tokens, *model, suite.path);
  say(remarks_of(planned));

  NoiseRecorder recorder(*first, std::move(ways), *model, options.reference_batch);
  Progress progress(std::ssize(planned), options.quiet);
  for (const PlannedCase& c : planned) {
    progress.start_case(c.spec.id);
    check_tokenization(c, *model, *first, "reference");
    recorder.measure(c);
    progress.finish_case(c.spec.id, "PASS");
  }

  json list = json::array();
  for (const Gate& gate : default_gates(0.999).gates)
    if (gate.mode == Mode::local) list.push_back(as_written(gate));
  const std::string date = now_utc().substr(0, 10);
  for (std::size_t i = 0; i < bitnet::kTapCount; ++i) {
    const auto tap = static_cast<bitnet::Tap>(i);
    if (recorder.of(tap).rows == 0) continue;
    for (const Gate& gate : gates_of(tap, recorder.of(tap), source, date)) list.push_back(as_written(gate));
  }
  reports::AtomicFile file(options.out);
  const json document = {{"schema", "crossval.gates/1"}, {"gates", list}};
  file.write(document.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  file.commit();
}

}  // namespace crossval
