#include "crossval/run/record.h"

#include <map>

#include "crossval/participants/spec.h"
#include "crossval/records/sha256.h"
#include "crossval/run/answer.h"
#include "crossval/run/progress.h"
#include "engine/error.h"
#include "engine/generate/sampling.h"
#include "nlohmann/json.hpp"
#include "reference/trace/trace_writer.h"

namespace crossval {
namespace {

using nlohmann::json;

// Rows of one tap, gathered over the evaluations of a step.
struct Rows {
  std::vector<std::int64_t> offsets{0};
  std::vector<float> values;
};

}  // namespace

void record(const RunOptions& options) {
  const Suite suite = load_suite(options.prompts);
  const std::vector<Case> cases = select_cases(suite, options.filter, options.shard);
  const ParticipantSpec spec = parse_participant(options.reference);
  const auto model = std::make_shared<const bitnet::Model>(bitnet::Model::load(options.model));
  const auto participant =
      make_participant(spec, model, options.model, {.isa = options.isa, .threads = options.threads});
  check_tap_list(options.taps, bitnet::canonical_taps(model->config()));
  std::vector<PlannedCase> planned;
  for (Case c : cases) {
    if (options.max_tokens >= 0) c.max_tokens = options.max_tokens;
    planned.push_back(plan_case(c, *model, suite.path));
  }

  TraceWriter writer(options.out);
  const TapId logits{bitnet::Tap::result_output, -1};
  const auto wanted = [&](TapId id) { return id == logits || tap_selected(options.taps, id); };
  json fed_ids = json::object();
  Progress progress(static_cast<std::int64_t>(planned.size()), options.quiet);
  for (const PlannedCase& c : planned) {
    progress.start_case(c.spec.id);
    participant->reset();
    bitnet::Sampler sampler(c.spec.sampling);
    Answer answer(c.spec, model->tokenizer());
    std::vector<Token> fed = c.tokens, history = c.tokens;
    json steps = json::array();
    for (std::int64_t step = 0;; ++step) {
      std::map<TapId, Rows> rows;
      std::vector<float> last;
      const auto n = static_cast<std::size_t>(options.reference_batch);
      for (std::size_t at = 0; at < fed.size(); at += n) {
        const std::span<const Token> part(fed.data() + at, std::min(n, fed.size() - at));
        participant->eval(part, wanted, [&](Tensor&& t) {
          Rows& r = rows[t.id];
          for (std::size_t i = 1; i < t.offsets.size(); ++i)
            r.offsets.push_back(r.offsets.back() + t.offsets[i] - t.offsets[i - 1]);
          r.values.insert(r.values.end(), t.values.begin(), t.values.end());
          if (t.id == logits) {
            const auto row = t.row(t.rows() - 1);
            last.assign(row.begin(), row.end());
          }
        });
      }
      for (const auto& [tap, r] : rows) writer.add(c.spec.id, step, tap, r.offsets, r.values);
      steps.push_back(fed);
      Token next = sampler.sample(last, history);
      if (!c.spec.continuation.empty()) {
        if (step >= static_cast<std::int64_t>(c.spec.continuation.size())) break;
        next = c.spec.continuation[static_cast<std::size_t>(step)];
      } else {
        if (answer.done()) break;
        answer.add(next);
        if (answer.done()) break;
      }
      history.push_back(next);
      fed.assign(1, next);
    }
    fed_ids[c.spec.id] = steps;
    progress.finish_case(c.spec.id, "PASS");
  }
  const Identity id = participant->identity();
  // What may differ between two ways of computing the same values (ISA, threads) stays out: equal traces are
  // equal files.
  writer.finish({{"schema", "crossval.trace/1"},
                 {"model_sha256", sha256_file(options.model)},
                 {"suite_sha256", suite.sha256},
                 {"participant", id.name},
                 {"version", id.version},
                 {"build", id.build},
                 {"tokens", fed_ids.dump()}});
}

}  // namespace crossval
