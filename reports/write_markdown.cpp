// The step summary of a pull request: claim, verdict, counts, failures first, and how to repeat them.
#include <algorithm>
#include <map>

#include "reports/baseline_rows.h"
#include "reports/escape.h"
#include "reports/failure_text.h"
#include "reports/writers.h"

namespace crossval::reports {
namespace {

constexpr std::size_t kMaxListed = 50;
/// Characters of an id, a reason or an answer; 50 rows of the longest stay far below 1,024 KiB.
constexpr std::size_t kMaxText = 120;

std::string code(const std::string& text) {
  return markdown_code(shortened(text, kMaxText));
}
std::string flow(const std::string& text, std::size_t limit = 400) {
  return escape_markdown(shortened(text, limit));
}

const char* sign(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "✅";
    case Verdict::kFail:
      return "❌";
    case Verdict::kIncomparable:
      return "⚠️";
    case Verdict::kInvalid:
      break;
  }
  return "🚫";
}

/// The first failure of each case, then the second of each, until the list is full; in the order of the
/// records.
std::vector<std::size_t> listed_failures(const Report& report) {
  std::vector<std::pair<std::size_t, std::size_t>> ranked;  // rank, index
  ranked.reserve(report.failures.size());
  for (std::size_t i = 0; i < report.failures.size(); ++i) ranked.emplace_back(report.failures[i].rank, i);
  std::sort(ranked.begin(), ranked.end());
  if (ranked.size() > kMaxListed) ranked.resize(kMaxListed);
  std::vector<std::size_t> out;
  out.reserve(ranked.size());
  for (const auto& [rank, index] : ranked) out.push_back(index);
  std::sort(out.begin(), out.end());
  return out;
}

std::string side_name(const Report& report, const char* side) {
  const auto it = report.run.find(side);
  if (it == report.run.end() || !it->is_object()) return {};
  std::string out = text_of(*it, "name");
  for (const char* key : {"version", "isa"}) {
    const std::string value = text_of(*it, key);
    if (!value.empty()) out += " " + value;
  }
  return out;
}

std::string coordinates(const Comparison& c) {
  return c.at_row < 0 ? std::string("–")
                      : "\\[" + std::to_string(c.at_row) + ", " + std::to_string(c.at_column) + "\\]";
}

void write_failures(const Report& report, AtomicFile& out) {
  const std::vector<std::size_t> listed = listed_failures(report);
  if (!listed.empty()) {
    out.write("\n### Failing comparisons\n\n");
    if (report.failed > listed.size()) {
      out.write(grouped(listed.size()) + " of " + grouped(report.failed) +
                ", the first of each case before others:\n\n");
    }
    out.write(
        "| case | step | tap | mode | why | at | got | expected |\n|---|--:|---|---|---|---|--:|--:|\n");
    for (const std::size_t index : listed) {
      const Failure& f = report.failures[index];
      const Comparison& c = f.comparison;
      out.write("| " + code(report.cases[f.case_index].id) + " | " + std::to_string(c.step) + " | " +
                code(c.tap) + " | " + to_string(c.mode) + " | " +
                flow(c.why.empty() ? c.gate : c.why, kMaxText) + " | " + coordinates(c) + " | " +
                (c.got ? value_figure(*c.got) : "–") + " | " +
                (c.expected ? value_figure(*c.expected) : "–") + " |\n");
    }
  }

  std::vector<const CaseReport*> other;
  for (const CaseReport& c : report.cases) {
    const bool unmet = c.expect && !c.expect->met;
    if (c.is_failing() && (c.failed == 0 || unmet || c.token_figures.unexplained > 0)) other.push_back(&c);
  }
  if (other.empty()) return;
  out.write("\n### Failing cases\n\n");
  const std::size_t room = kMaxListed - listed.size();
  const std::size_t shown = std::min(other.size(), std::max<std::size_t>(room, 10));
  if (other.size() > shown) out.write(grouped(shown) + " of " + grouped(other.size()) + ":\n\n");
  out.write("| case | verdict | expected | answer | token flips | reason |\n|---|---|---|---|---|---|\n");
  for (std::size_t i = 0; i < shown; ++i) {
    const CaseReport& c = *other[i];
    const TokenFigures& t = c.token_figures;
    std::string flips = "–";
    if (t.unexplained + t.explained > 0) {
      flips = std::to_string(t.unexplained) + " unexplained, " + std::to_string(t.explained) + " explained";
    }
    out.write("| " + code(c.id) + " | " + to_string(c.state) + " | " +
              (c.expect ? escape_markdown(c.expect->kind) + " " + code(c.expect->want) : std::string("–")) +
              " | " + (c.answer.empty() ? std::string("–") : code(c.answer)) + " | " + flips + " | " +
              (c.reason.empty() ? std::string("–") : flow(c.reason, kMaxText)) + " |\n");
  }
}

void write_rounding(const Report& report, AtomicFile& out) {
  const std::vector<RoundedTap> taps = rounded_taps(report);
  if (taps.empty()) return;
  out.write("\n### Inputs that are rounded differently\n\n");
  out.write(
      "| tap | input | share of the bound | difference | bound | gain | its bound | where | source |\n"
      "|---|---|--:|--:|--:|--:|--:|---|---|\n");
  for (const RoundedTap& t : taps) {
    out.write("| " + code(t.tap) + " | " + flow(t.input, kMaxText));
    for (const double value : {t.share, t.difference, t.bound, t.gain, t.gain_bound})
      out.write(" | " + error_figure(value));
    out.write(" | " + flow(t.where) + " | " + flow(t.source) + " |\n");
  }
}

void write_baseline(const Report& report, AtomicFile& out) {
  if (!report.baseline) return;
  const BaselineReport& b = *report.baseline;
  out.write("\n### Against the baseline\n\n" + flow(b.headline) + "; baseline " + code(b.file) + " of " +
            flow(b.time, 40) +
            "\n\n| figure | baseline | now | change | noise | verdict |\n|---|--:|--:|--:|--:|---|\n");
  std::size_t listed = 0;
  for (const BaselineRow* row : ordered_rows(b)) {
    if (row->verdict == "same" && row->unit == "error") continue;
    if (++listed > kMaxListed) break;
    const bool compared = row->verdict != "not compared";
    out.write("| " + flow(row->what, kMaxText) + " | " + (compared ? flow(amount(*row, row->base)) : "–") +
              " | " + (compared ? flow(amount(*row, row->now)) : "–") + " | " + change(*row) + " | " +
              (row->unit == "tokens/s" ? error_figure(100 * row->noise) + " %" : std::string("–")) + " | " +
              flow(row->verdict + (row->why.empty() ? "" : ": " + row->why), kMaxText) + " |\n");
  }
}

void write_worst(const Report& report, AtomicFile& out) {
  struct Worst {
    Cell cell;
    std::int32_t layer = -1;
  };
  std::map<std::pair<bool, std::uint32_t>, Worst> rows;  // by mode (free or not) and tap
  report.grid.for_each([&rows](const GridRow& row, std::uint32_t, const Cell& cell) {
    Worst& worst = rows[{row.mode == Mode::kFree, row.tap}];
    if (worst.cell.comparisons == 0 || worse(cell.one_minus_cosine, worst.cell.one_minus_cosine))
      worst.layer = row.layer;
    worst.cell.add(cell);
  });
  if (rows.empty()) return;
  out.write("\n<details><summary>Worst figures of each tap</summary>\n\n");
  out.write(
      "| mode | tap | compared | 1 − cosine | in layer | NMSE | abs(norm ratio − 1) | values the same |\n");
  out.write("|---|---|--:|--:|--:|--:|--:|--:|\n");
  std::size_t listed = 0;
  for (const auto& [key, worst] : rows) {
    if (++listed > 100) break;
    const Cell& c = worst.cell;
    const double same =
        c.values == 0 ? 0
                      : static_cast<double>(c.values - c.values_differing) / static_cast<double>(c.values);
    out.write("| " + std::string(key.first ? "free" : "local") + " | " + code(report.taps[key.second]) +
              " | " + grouped(c.comparisons) + " | " + error_figure(c.one_minus_cosine) + " | " +
              (worst.layer < 0 ? std::string("–") : std::to_string(worst.layer)) + " | " +
              error_figure(c.nmse) + " | " + error_figure(c.norm_deviation) + " | " +
              (c.values_differing == 0 ? std::string("all") : error_figure(100 * same) + " %") + " |\n");
  }
  out.write("\n</details>\n");
}

}  // namespace

void write_markdown(const Report& report, AtomicFile& out) {
  out.write(flow(report.claim.empty() ? "crossval" : report.claim) + "\n\n");
  out.write(std::string("## ") + sign(report.verdict) + " " + to_string(report.verdict) + ": " +
            flow(report.headline.empty() ? case_sentence(report.counts) : report.headline, 600) + "\n\n");

  const CaseCounts& n = report.counts;
  out.write("| | |\n|---|---|\n");
  const auto line = [&out](const std::string& name, const std::string& value) {
    out.write("| " + name + " | " + value + " |\n");
  };
  line("cases", grouped(n.pass) + " passed, " + grouped(n.fail) + " failed, " + grouped(n.incomparable) +
                    " incomparable, " + grouped(n.invalid) + " invalid");
  line("comparisons", comparison_sentence(report));
  line("token picks", grouped(report.tokens.steps) + " compared, " + grouped(report.tokens.same) +
                          " the same; flips: " + grouped(report.tokens.explained) + " explained, " +
                          grouped(report.tokens.unexplained) + " unexplained");
  if (report.expectations > 0) {
    line("answers as expected", grouped(report.expectations_met) + " of " + grouped(report.expectations));
  }
  line("candidate", code(side_name(report, "candidate")));
  line("reference", code(side_name(report, "reference")));
  line("model", code(model_name(report)));
  if (const std::string quadrant = report.summary ? text_of(*report.summary, "quadrant") : "";
      !quadrant.empty())
    line("who is wrong", quadrant == "agree" ? "nobody: the sides agree" : flow(quadrant));
  line("exit code", std::to_string(report.exit_code));

  if (const std::vector<std::string> lines = first_failure_lines(report); !lines.empty()) {
    out.write("\n### The first failure\n\n");
    for (const std::string& fact : lines) out.write("- " + flow(fact, 1000) + "\n");
  }
  write_failures(report, out);

  write_baseline(report, out);

  const auto failing = std::find_if(report.cases.begin(), report.cases.end(),
                                    [](const CaseReport& c) { return c.state == CaseState::kFail; });
  const std::string command = first_reproduce_command(report);
  if (!command.empty()) {
    out.write(failing != report.cases.end() ? "\nReproduce the first failing case:\n\n" : "\nReproduce:\n\n");
    out.write(markdown_code_block(shortened(command, 4000)));
  }
  if (!report.notes.empty()) {
    out.write("\n### Notes\n\n");
    for (const std::string& note : report.notes) out.write("- " + flow(note) + "\n");
  }
  if (!report.skips.empty()) {
    out.write("\n### Skipped\n\n| comparisons | tap | reason |\n|--:|---|---|\n");
    for (std::size_t i = 0; i < std::min<std::size_t>(report.skips.size(), 30); ++i) {
      const SkipGroup& skip = report.skips[i];
      out.write("| " + grouped(skip.count) + " | " + (skip.tap.empty() ? std::string("–") : code(skip.tap)) +
                " | " + flow(skip.reason) + " |\n");
    }
    if (report.skips.size() > 30)
      out.write("\n" + grouped(report.skips.size() - 30) + " more reasons in report.json.\n");
  }
  write_rounding(report, out);
  write_worst(report, out);
  out.write("\nThe heat map, all cases and the environment of both sides are in `index.html`.\n");
}

}  // namespace crossval::reports
