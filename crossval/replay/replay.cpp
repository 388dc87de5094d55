#include "crossval/replay/replay.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <nlohmann/json.hpp>

#include "crossval/lockstep/local.h"
#include "crossval/lockstep/local_bounds.h"
#include "crossval/lockstep/local_rounding.h"
#include "crossval/records/record_file.h"
#include "crossval/replay/small_model.h"
#include "engine/error.h"
#include "engine/kernels/kernels.h"
#include "engine/model/context.h"
#include "reference/emulator/participant.h"
#include "reference/oracle/participant.h"
#include "reports/failure_text.h"

namespace crossval {
namespace {

using bitnet::InputError;

std::int64_t differing_bits(std::span<const float> a, std::span<const float> b) {
  std::int64_t n = 0;
  for (std::size_t k = 0; k < a.size(); ++k)
    n += std::bit_cast<std::uint32_t>(a[k]) != std::bit_cast<std::uint32_t>(b[k]);
  return n;
}

bool runs_here(std::string_view isa) {
  return std::ranges::any_of(bitnet::compiled_kernels(), [&](const bitnet::Kernels* kernels) {
    return kernels->name == isa && bitnet::supported(*kernels);
  });
}

std::string recorded_isa(const Bundle& bundle) {
  const auto it = bundle.participant.details.find("isa");
  return bundle.participant.name == "engine" && it != bundle.participant.details.end() ? it->second : "";
}

// The operation in a model of its own, with all who can compute it.
class Bench {
 public:
  explicit Bench(const Bundle& bundle)
      : bundle_(bundle), small_(bundle.operation), model_(bitnet::Model::load(small_.path())) {}

  std::vector<float> engine(const std::string& isa) const {
    bitnet::ContextOptions options;
    options.isa = isa;
    options.threads = 1;
    return small_.outputs(bitnet::OperationEvaluator(model_, options).evaluate(small_.operation()));
  }
  // One of ours by its name; nothing for another.
  std::optional<std::vector<float>> evaluate(const std::string& who) const {
    if (who == "engine") return engine({});
    std::unique_ptr<Participant> participant;
    if (who == "emulator") {
      EmulatorOptions options;
      options.rope = emulation::Rope::own;
      options.threads = 1;
      participant = make_emulator(small_.path(), options);
    } else if (who == "oracle") {
      OracleOptions options;
      options.threads = 1;
      participant = make_oracle(small_.path(), options);
    } else {
      return std::nullopt;
    }
    return small_.outputs(participant->evaluate(small_.operation()));
  }

  Held hold(std::span<const float> got, std::span<const float> expected, const GateSet& gates) const {
    const SmallOperation& o = bundle_.operation;
    Held held;
    held.measured.row = compare_rows(got, expected);
    if (bundle_.integers) {
      const bitnet::Projection& p = model_.weights().layers.front().attn_q;
      const auto a = integer_products(got, o.a, p), b = integer_products(expected, o.a, p);
      std::int64_t n = 0;
      for (std::size_t k = 0; k < a.size(); ++k) n += a[k] != b[k];
      held.measured.integers_differing = n;
    }
    const auto rounding = foreign_rounding(bundle_.participant, model_.weights());
    const auto figures = explain_rounding(rounding, small_.operation(), small_.input_width(),
                                          tensor(expected), tensor(got), model_.weights());
    if (!figures.empty()) {
      held.measured.rounding = figures.front();
    } else if (const auto bounds = hold_to_bounds(model_, small_.operation(), tensor(got), tensor(expected));
               !bounds.empty()) {
      held.measured.bound = bounds.front();
    }
    held.judgement = judge(gates, Mode::local, o.tap, bundle_.step, held.measured);
    return held;
  }

 private:
  Tensor tensor(std::span<const float> outputs) const {
    std::vector<float> row = small_.padded(outputs);
    const auto n = std::ssize(row);
    return {.id = small_.operation().output, .offsets = {0, n}, .values = std::move(row)};
  }

  const Bundle& bundle_;
  SmallModel small_;
  bitnet::Model model_;
};

// As a run decides it: both sides against the third, or the arbiter with the accused against the third, and
// nobody can tell.
Blame blame_of(const Bundle& bundle, bool bears_out_held, bool bears_out_evaluator) {
  if (bundle.both_failed || (bears_out_held && !bears_out_evaluator)) return Blame::unclear;
  return bundle.side == Side::candidate ? Blame::candidate : Blame::reference;
}

Replayed replay_on(const Bench& bench, const Bundle& bundle, const std::string& isa) {
  Replayed r;
  const std::string own = recorded_isa(bundle);
  const std::string chosen = isa.empty() && runs_here(own) ? own : isa;
  r.isa = bitnet::select_kernels(chosen).name;
  const std::vector<float> evaluated = *bench.evaluate(bundle.evaluator);
  r.evaluator_bits = differing_bits(evaluated, bundle.evaluated);
  const std::vector<float> engine = bench.engine(chosen);
  r.engine = bench.hold(engine, evaluated, bundle.gates);
  r.engine_shown_bits = differing_bits(engine, bundle.shown);

  // On other kernels than those that were wrong the engine's result proves nothing, unless they were asked
  // for.
  r.rerun = bundle.reproduced && (r.isa == own || !isa.empty());
  const std::vector<float>& held = r.rerun ? engine : bundle.shown;
  r.held = bench.hold(held, evaluated, bundle.gates);
  r.verdict = r.held.judgement.pass ? Verdict::pass : Verdict::fail;

  bool bears_out_held = false, bears_out_evaluator = false;
  const GateSet usual = default_gates(0.999);
  const auto opinion = bundle.arbiter.empty() ? std::nullopt : bench.evaluate(bundle.arbiter);
  if (opinion) {
    r.arbiter = bench.hold(held, *opinion, usual);
    r.arbiter->judgement.gate = nullptr;  // of gates that are gone with this function
    bears_out_held = r.arbiter->judgement.pass;
    bears_out_evaluator = bench.hold(evaluated, *opinion, usual).judgement.pass;
  }
  if (r.verdict == Verdict::fail) r.who = to_string(blame_of(bundle, bears_out_held, bears_out_evaluator));
  return r;
}

std::string figures_of(const Held& held) {
  const RowMetrics& m = held.measured.row;
  return "cosine " + reports::value_figure(m.cosine) + ", NMSE " + reports::error_figure(m.nmse) +
         ", norm ratio " + reports::figure(m.norm_ratio) + ", " + std::to_string(m.bits) +
         (m.bits == 1 ? " value differs" : " values differ");
}

nlohmann::json json_of(const Held& held) {
  const RowMetrics& m = held.measured.row;
  return {{"cosine", json_number(m.cosine)},
          {"nmse", json_number(m.nmse)},
          {"norm_ratio", json_number(m.norm_ratio)},
          {"max_abs", json_number(m.max_abs)},
          {"bits", m.bits},
          {"pass", held.judgement.pass},
          {"why", held.judgement.why}};
}

// The column of the whole row where the difference is greatest.
std::int64_t column_of(const Bundle& bundle, const Held& held) {
  return bundle.operation.columns[static_cast<std::size_t>(held.measured.row.at)];
}

std::string participant_text(const Bundle& bundle) {
  std::string text = bundle.participant.name + " " + bundle.participant.version;
  for (const auto& [key, value] : bundle.participant.details) text += ", " + key + " " + value;
  return text;
}

}  // namespace

Replayed replay(const Bundle& bundle, const std::string& isa) {
  if (!isa.empty()) (void)bitnet::select_kernels(isa);
  try {
    return replay_on(Bench(bundle), bundle, isa);
  } catch (const InputError& e) {
    throw InputError("the bundle's operation cannot be computed: " + std::string(e.what()));
  }
}

std::string text_of(const Bundle& b, const Replayed& r) {
  const std::string tap = bitnet::to_string(b.operation.tap);
  const std::string here = b.evaluator + " here";
  const RowMetrics& m = r.held.measured.row;
  std::string text = std::string(to_string(r.verdict)) + ": ";
  text +=
      r.verdict == Verdict::pass ? tap + " agrees with the " + b.evaluator + " now" : r.who + " in " + tap;
  text +=
      ", step " + std::to_string(b.step) + ", row " + std::to_string(b.row) + " of case " + b.case_id + "\n";
  text += "recorded: " + b.who + ": " + b.why + (b.likeness.empty() ? "" : "; " + b.likeness) + "\n";
  text += "held: " +
          (r.rerun ? "what the engine (" + r.isa + ") computes here"
                   : "what was recorded of the " + std::string(to_string(b.side)) + " (" +
                         participant_text(b) + ")") +
          ", " + std::to_string(b.operation.outputs()) + " of its columns, against the " + here + "\n";
  text += "  " + figures_of(r.held) + (r.held.judgement.pass ? "" : "; " + r.held.judgement.why);
  if (const Gate* gate = r.held.judgement.gate)
    text += "\n  gate " + gate->name + (gate->source.empty() ? "" : ", from " + gate->source);
  if (m.bits > 0)
    text += "\n  greatest difference " + reports::error_figure(m.max_abs) + " at column " +
            std::to_string(column_of(b, r.held)) + ": got " +
            reports::value_figure(static_cast<double>(m.got)) + ", expected " +
            reports::value_figure(static_cast<double>(m.expected));
  text += "\nevaluator: the " + here + " makes " +
          (r.evaluator_bits == 0 ? "just what was recorded of it"
                                 : std::to_string(r.evaluator_bits) + " values otherwise than recorded") +
          "\n";
  text += "engine here (" + r.isa + "), against the " + here + ": " + figures_of(r.engine) +
          (r.engine.judgement.pass ? "" : "; " + r.engine.judgement.why) + "\n";
  if (r.arbiter)
    text += "arbiter: what is held, against the " + b.arbiter + " here: " + figures_of(*r.arbiter) +
            (r.arbiter->judgement.pass ? "" : "; " + r.arbiter->judgement.why) + "\n";
  if (!b.command.empty()) text += "the case again, where its model is: " + b.command + "\n";
  return text;
}

nlohmann::json to_json(const Bundle& b, const Replayed& r) {
  nlohmann::json record = {{"verdict", to_string(r.verdict)},
                           {"exit", static_cast<int>(exit_code(r.verdict))},
                           {"who", r.who.empty() ? nlohmann::json() : nlohmann::json(r.who)},
                           {"tap", bitnet::to_string(b.operation.tap)},
                           {"case", b.case_id},
                           {"step", b.step},
                           {"row", b.row},
                           {"columns", b.operation.columns},
                           {"held", r.rerun ? "engine" : "recorded"},
                           {"figures", json_of(r.held)},
                           {"at", column_of(b, r.held)},
                           {"got", json_number(static_cast<double>(r.held.measured.row.got))},
                           {"expected", json_number(static_cast<double>(r.held.measured.row.expected))},
                           {"recorded", {{"who", b.who}, {"why", b.why}, {"likeness", b.likeness}}},
                           {"evaluator", {{"name", b.evaluator}, {"bits", r.evaluator_bits}}},
                           {"engine", json_of(r.engine)},
                           {"arbiter", nullptr},
                           {"command", b.command}};
  record["engine"]["isa"] = r.isa;
  if (r.arbiter) record["arbiter"] = json_of(*r.arbiter);
  if (const Gate* gate = r.held.judgement.gate) record["gate"] = to_json(*gate);
  return record;
}

}  // namespace crossval
