#include "crossval/replay/shrink.h"

#include <algorithm>
#include <exception>

#include "crossval/lockstep/local_bounds.h"
#include "crossval/replay/replay.h"
#include "crossval/version.h"
#include "engine/error.h"

namespace crossval {
namespace {

// A failure that needs more tries to be cut further stays as it is.
constexpr int kMostTries = 400;

// Row `row` of an operation by itself.
bitnet::Operation row_of(const bitnet::Config& config, const bitnet::Operation& o, std::size_t row) {
  const bitnet::OperationInputs inputs = bitnet::inputs_of(config, o.output);
  const auto skip = [&](const std::optional<TapId>& id, const float*& at) {
    for (std::size_t t = 0; t < row && id; ++t) at += bitnet::tap_width(config, id->tap, o.positions[t]);
  };
  bitnet::Operation alone = o;
  alone.positions = o.positions.subspan(row, 1);
  if (!o.tokens.empty()) alone.tokens = o.tokens.subspan(row, 1);
  skip(inputs.a, alone.a);
  skip(inputs.b, alone.b);
  return alone;
}

// One row of the failed comparison, of which parts can be judged.
class FailedRow {
 public:
  FailedRow(const LocalFailure& failure, const BundleSource& source, std::size_t row)
      : source_(source),
        operation_(row_of(source.model.config(), failure.operation, row)),
        got_(tensor(failure.shown.row(static_cast<std::int64_t>(row)))),
        expected_(tensor(failure.evaluated.row(static_cast<std::int64_t>(row)))) {
    const bitnet::Model& model = source.model;
    const TapId tap = operation_.output;
    const auto inputs = bitnet::inputs_of(model.config(), tap);
    const std::int64_t width = inputs.a ? bitnet::tap_width(model.config(), inputs.a->tap, 0) : 0;
    const ForeignRounding foreign = foreign_rounding(source.participant, model.weights());
    if (foreign.of(tap)) {
      const auto figures = explain_rounding(foreign, operation_, width, expected_, got_, model.weights());
      if (!figures.empty()) rounding_ = figures.front();
      return;
    }
    bound_ = bound_of(got_);
    if (inputs.integer_product) {
      const bitnet::Projection& p = projection_of(model.weights(), tap);
      const std::span<const float> input{operation_.a, static_cast<std::size_t>(width)};
      got_integers_ = integer_products(got(), input, p);
      expected_integers_ = integer_products(expected(), input, p);
    }
  }

  bool has_integers() const { return !got_integers_.empty(); }
  bool rounds_otherwise() const { return rounding_.has_value(); }
  std::span<const float> got() const { return got_.values; }
  std::span<const float> expected() const { return expected_.values; }

  // Where the difference is greatest, as the gates see it.
  std::int64_t worst() const {
    if (rounding_) return rounding_->at;
    return bound_ && bound_->share > 1 ? bound_->at : compare_rows(got(), expected()).at;
  }

  Judgement judged() const {
    Measured m;
    m.row = compare_rows(got(), expected());
    if (has_integers()) m.integers_differing = differing([](std::size_t k) { return k; }, got().size());
    m.rounding = rounding_;
    m.bound = bound_;
    return judge(source_.gates, Mode::local, operation_.output, source_.step, m);
  }

  bool fails(const std::vector<std::int64_t>& columns) const {
    Measured m;
    m.row = compare_rows(pick(got(), columns), pick(expected(), columns));
    if (bound_) {  // the other columns as they should be
      Tensor some = expected_;
      for (const std::int64_t c : columns)
        some.values[static_cast<std::size_t>(c)] = got()[static_cast<std::size_t>(c)];
      m.bound = bound_of(some);
    }
    if (has_integers())
      m.integers_differing =
          differing([&](std::size_t k) { return static_cast<std::size_t>(columns[k]); }, columns.size());
    return !judge(source_.gates, Mode::local, operation_.output, source_.step, m).pass;
  }

  static std::vector<float> pick(std::span<const float> row, const std::vector<std::int64_t>& columns) {
    std::vector<float> some;
    some.reserve(columns.size());
    for (const std::int64_t c : columns) some.push_back(row[static_cast<std::size_t>(c)]);
    return some;
  }

 private:
  Tensor tensor(std::span<const float> values) const {
    return {.id = operation_.output,
            .offsets = {0, std::ssize(values)},
            .values = {values.begin(), values.end()}};
  }
  std::optional<BoundFigures> bound_of(const Tensor& got) const {
    const auto bounds = hold_to_bounds(source_.model, operation_, got, expected_);
    return bounds.empty() ? std::nullopt : std::optional(bounds.front());
  }
  template <class Column>
  std::int64_t differing(Column&& column, std::size_t n) const {
    std::int64_t count = 0;
    for (std::size_t k = 0; k < n; ++k) count += got_integers_[column(k)] != expected_integers_[column(k)];
    return count;
  }

  const BundleSource& source_;
  bitnet::Operation operation_;
  Tensor got_, expected_;
  std::vector<std::int64_t> got_integers_, expected_integers_;
  std::optional<RoundingFigures> rounding_;
  std::optional<BoundFigures> bound_;
};

// Heads first, then values of those that are left.
Part smallest_part(const FailedRow& row, OperationKind kind, Part part, std::int64_t width) {
  const std::int64_t worst = row.worst();
  if (row.rounds_otherwise()) {  // what rounding explains of some columns only, each of them alone tells
    part.values = {worst};
    return part;
  }
  if (heads_part(kind))
    part.heads = fewest(part.heads, worst / width, [&](const std::vector<std::int64_t>& heads) {
      return row.fails(columns_of({heads, part.values}, width));
    });
  if (values_part(kind))
    part.values = fewest(part.values, worst % width, [&](const std::vector<std::int64_t>& values) {
      return row.fails(columns_of({part.heads, values}, width));
    });
  return part;
}

// Those that have a say in this operation: what a bundle is judged by must not be lost among others.
GateSet covering(const GateSet& gates, TapId tap, std::int64_t step) {
  GateSet some{.source = gates.source, .sha256 = gates.sha256, .gates = {}};
  for (const Gate& gate : gates.gates)
    if (gate.covers(Mode::local, tap, step)) some.gates.push_back(gate);
  return some;
}

}  // namespace

std::vector<std::int64_t> fewest(std::vector<std::int64_t> units, std::int64_t likely,
                                 const std::function<bool(const std::vector<std::int64_t>&)>& fails) {
  if (units.size() > 1 && std::ranges::find(units, likely) != units.end() && fails({likely})) return {likely};
  std::size_t parts = 2;
  int tries = 0;
  while (units.size() >= 2 && tries < kMostTries) {
    parts = std::min(parts, units.size());
    bool smaller = false;
    for (const bool keep : {true, false}) {
      if (!keep && parts == 2) continue;  // each half is what the other leaves
      for (std::size_t i = 0; i < parts && !smaller && tries < kMostTries; ++i, ++tries) {
        const auto begin = units.begin() + static_cast<std::ptrdiff_t>(units.size() * i / parts);
        const auto end = units.begin() + static_cast<std::ptrdiff_t>(units.size() * (i + 1) / parts);
        std::vector<std::int64_t> some;
        if (keep) {
          some.assign(begin, end);
        } else {
          some.assign(units.begin(), begin);
          some.insert(some.end(), end, units.end());
        }
        if (!fails(some)) continue;
        units = std::move(some);
        parts = keep ? 2 : std::max<std::size_t>(parts - 1, 2);
        smaller = true;
      }
    }
    if (smaller) continue;
    if (parts == units.size()) break;
    parts *= 2;
  }
  return units;
}

std::variant<Bundle, std::string> shrink(const LocalFailure& failure, const BundleSource& source) {
  const bitnet::Operation& o = failure.operation;
  const bitnet::Config& config = source.model.config();
  const TapId tap = o.output;
  const auto rows = static_cast<std::size_t>(failure.shown.rows());
  for (std::size_t t = 0; t < rows; ++t) {
    const FailedRow row(failure, source, t);
    if (row.judged().pass) continue;
    const std::int64_t position = o.positions[t], width = head_width(config, tap.tap, position);
    const OperationKind kind = operation_kind(tap.tap);
    const Part part = smallest_part(row, kind, whole(config, tap.tap, position), width);
    Bundle b;
    b.operation = cut(source.model, o, t, part);
    b.shown = FailedRow::pick(row.got(), b.operation.columns);
    b.evaluated = FailedRow::pick(row.expected(), b.operation.columns);
    b.step = source.step;
    b.row = failure.first_row + static_cast<std::int64_t>(t);
    b.side = failure.side;
    b.participant = source.participant;
    b.evaluator = source.evaluator;
    b.arbiter = source.arbiter;
    b.gates = covering(source.gates, tap, source.step);
    b.integers = row.has_integers();
    b.model_sha256 = source.model_sha256;
    b.program = std::string(kVersion) + " (" + std::string(kBuild) + "), " + std::string(kCompiler);
    return b;
  }
  return "no row fails by itself";
}

std::string check_replay(Bundle& b) {
  b.reproduced = false;
  try {
    const Replayed replayed = replay(b);
    if (replayed.evaluator_bits != 0)
      return "the " + b.evaluator + " makes other bits of the operation alone";
    if (replayed.verdict != Verdict::fail || replayed.who != b.who)
      return "by itself the operation shows " + (replayed.who.empty() ? "no failure" : replayed.who);
    const auto isa = b.participant.details.find("isa");
    b.reproduced = b.participant.name == "engine" && replayed.engine_shown_bits == 0 &&
                   isa != b.participant.details.end() && isa->second == replayed.isa;
  } catch (const std::exception& e) {  // the run's verdict does not hang on it
    return e.what();
  }
  const std::size_t bytes = encode_bundle(b).size();
  if (bytes > kMostBundleBytes)
    return "it would have " + std::to_string(bytes) + " bytes, more than " + std::to_string(kMostBundleBytes);
  return {};
}

}  // namespace crossval
