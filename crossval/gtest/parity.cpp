#include "crossval/gtest/parity.h"

#include <bit>
#include <cmath>
#include <optional>
#include <sstream>

#include "crossval/compare/gates.h"
#include "engine/error.h"
#include "reports/failure_text.h"

namespace crossval {
namespace {

bitnet::TapId tap_named(std::string_view name) {
  for (int i = 0; i < bitnet::kTapCount; ++i) {
    const auto tap = static_cast<bitnet::Tap>(i);
    if (bitnet::base_name(tap) == name) return {tap, bitnet::has_layer(tap) ? 0 : -1};
  }
  if (const auto id = bitnet::parse_tap(name)) return *id;
  throw bitnet::InputError("there is no tap `" + std::string(name.substr(0, 60)) +
                           "`; taps are inp_embd, attn_norm, Qcur#1, ..., see docs/reference/taps.md");
}

Mode mode_of(const ParityGate& gate) {
  return gate.local ? Mode::local : Mode::free;
}

// Whether two sides of values are all that the metric needs; the others would hold unseen.
bool judges_values(Metric metric) {
  return metric == Metric::cosine || metric == Metric::nmse || metric == Metric::norm_ratio_error ||
         metric == Metric::bits;
}

// Those of `set` that can be judged here.
ParityGate gate_of(const GateSet& set, std::string_view tap, bool local) {
  const bitnet::TapId id = tap_named(tap);
  GateSet kept{.source = set.source, .sha256 = set.sha256, .gates = {}};
  for (const Gate& gate : set.gates)
    if (judges_values(gate.metric)) kept.gates.push_back(gate);
  ParityGate out{.gates = nullptr, .tap = bitnet::to_string(id), .local = local};
  for (const Gate& gate : kept.gates)
    if (gate.covers(mode_of(out), id, 0)) {
      out.gates = std::make_shared<const GateSet>(std::move(kept));
      return out;
    }
  throw bitnet::InputError(set.source + ": no " + std::string(to_string(mode_of(out))) + " gate covers " +
                           out.tap);
}

// The greatest difference of one kind, and where it is. NaN is greater than all.
struct Greatest {
  double value = -1;
  std::int64_t at = 0;

  void consider(double difference, std::int64_t where) {
    if (std::isnan(value) || !(std::isnan(difference) || difference > value)) return;
    value = difference;
    at = where;
  }
};

std::string percent(std::int64_t part, std::int64_t whole) {
  return reports::figure(100.0 * static_cast<double>(part) / static_cast<double>(whole)) + " %";
}

std::string counted(std::int64_t n) {
  return reports::grouped(static_cast<std::uint64_t>(n));
}

// `figure` puts a value into words; `columns` is 0 where there are no rows to tell.
template <class Value, class Figure>
std::string account(std::span<const Value> actual, std::span<const Value> expected, std::int64_t columns,
                    const Figure& figure) {
  const auto same = [](Value a, Value e) {
    if constexpr (std::is_floating_point_v<Value>)
      return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(e);
    else
      return a == e;
  };
  Greatest absolute, relative;
  std::int64_t mismatched = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (same(actual[i], expected[i])) continue;
    ++mismatched;
    const double e = static_cast<double>(expected[i]),
                 difference = std::abs(static_cast<double>(actual[i]) - e);
    absolute.consider(difference, static_cast<std::int64_t>(i));
    relative.consider(difference == 0 ? 0 : difference / std::abs(e), static_cast<std::int64_t>(i));
  }
  std::ostringstream out;
  const auto line = [&](const char* kind, const Greatest& g) {
    out << "\n  greatest " << kind << " difference " << reports::error_figure(g.value) << " at [";
    if (columns > 0) out << g.at / columns << ", " << g.at % columns;
    if (columns == 0) out << g.at;
    const auto i = static_cast<std::size_t>(g.at);
    out << "]: actual " << figure(actual[i]) << ", expected " << figure(expected[i]);
  };
  const auto all = static_cast<std::int64_t>(actual.size());
  out << "\n  mismatched " << counted(mismatched) << " of " << counted(all) << " values ("
      << percent(mismatched, all) << ")";
  if (mismatched > 0) {
    line("absolute", absolute);
    line("relative", relative);
  }
  return out.str();
}

std::optional<testing::AssertionResult> wrong_sizes(const char* actual_text, const char* expected_text,
                                                    std::size_t actual, std::size_t expected) {
  if (actual != expected)
    return testing::AssertionFailure()
           << actual_text << " has " << actual << " values, " << expected_text << " has " << expected;
  if (actual == 0)
    return testing::AssertionFailure()
           << actual_text << " and " << expected_text << " are empty: nothing was compared";
  return std::nullopt;
}

}  // namespace

ParityGate same_bits() {
  return gate_of(self_gates(), "result_output", /*local=*/false);
}

ParityGate local_gate(std::string_view tap) {
  return gate_of(default_gates(0.999), tap, /*local=*/true);
}

ParityGate free_gate(std::string_view tap, double min_cosine) {
  return gate_of(default_gates(min_cosine), tap, /*local=*/false);
}

ParityGate file_gate(const std::filesystem::path& file, std::string_view tap, bool local) {
  return gate_of(load_gates(file.string()), tap, local);
}

testing::AssertionResult parity(const char* actual_text, const char* expected_text, const char* /*gate_text*/,
                                const Rows& actual, const Rows& expected, const ParityGate& gate) {
  if (auto wrong = wrong_sizes(actual_text, expected_text, actual.values.size(), expected.values.size()))
    return *wrong;
  const std::int64_t columns = expected.columns, all = static_cast<std::int64_t>(expected.values.size());
  if (actual.columns != columns || columns <= 0 || all % columns != 0)
    return testing::AssertionFailure() << "rows of " << actual.columns << " and of " << columns
                                       << " columns do not fit " << all << " values on each side";
  if (!gate.gates) return testing::AssertionFailure() << "the gate is empty: nothing would be judged";

  const bitnet::TapId tap = tap_named(gate.tap);
  const std::int64_t rows = all / columns;
  std::int64_t failing = 0, worst_row = 0;
  RowMetrics worst;
  Judgement judgement;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto row = [&](const Rows& side) {
      return side.values.subspan(static_cast<std::size_t>(r * columns), static_cast<std::size_t>(columns));
    };
    const RowMetrics metrics = compare_rows(row(actual), row(expected));
    Measured measured;
    measured.row = metrics;
    const Judgement j = judge(*gate.gates, mode_of(gate), tap, 0, measured);
    // A set that covers nothing must not pass.
    const bool pass = j.pass && j.gate != nullptr;
    if (pass) continue;
    if (failing++ == 0 || j.severity > judgement.severity) {
      worst_row = r;
      worst = metrics;
      judgement = j;
    }
  }
  if (failing == 0) return testing::AssertionSuccess();

  auto failure = testing::AssertionFailure() << actual_text << " against " << expected_text;
  failure << account(actual.values, expected.values, rows > 1 ? columns : 0, reports::value_figure);
  failure << "\n  ";
  if (rows > 1)
    failure << "row " << worst_row << ", the worst of " << failing << " failing rows of " << rows << ": ";
  failure << (judgement.gate ? judgement.why : "no gate covers it");
  if (judgement.gate)
    failure << "; gate " << judgement.gate->name << " of " << gate.tap
            << (judgement.gate->source.empty() ? "" : ", " + judgement.gate->source);
  failure << "\n  cosine " << reports::value_figure(worst.cosine) << ", NMSE "
          << reports::error_figure(worst.nmse) << ", norm ratio " << reports::figure(worst.norm_ratio);
  return failure;
}

testing::AssertionResult integer_parity(const char* actual_text, const char* expected_text,
                                        const std::vector<std::int64_t>& actual,
                                        const std::vector<std::int64_t>& expected) {
  if (auto wrong = wrong_sizes(actual_text, expected_text, actual.size(), expected.size())) return *wrong;
  if (actual == expected) return testing::AssertionSuccess();
  return testing::AssertionFailure() << actual_text << " against " << expected_text
                                     << account(std::span(actual), std::span(expected), 0,
                                                [](std::int64_t value) { return std::to_string(value); })
                                     << "\n  integers are exact: none may differ";
}

}  // namespace crossval
