#include <cmath>
#include <map>
#include <tuple>

#include "engine/base64.h"
#include "reports/escape.h"
#include "reports/failure_text.h"
#include "reports/writers.h"

namespace crossval::reports {
namespace {

using nlohmann::ordered_json;

ordered_json number(double value) {
  if (std::isfinite(value)) return value;
  return figure(value);
}

/// Text under its own name, or base64 under the twin's where it is not UTF-8.
void put_text(ordered_json& object, const std::string& name, const std::string& bytes) {
  if (is_valid_utf8(bytes)) {
    object[name] = bytes;
  } else {
    object[name + "_b64"] = bitnet::base64_encode(bytes);
  }
}

std::string dumped(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json to_json(const Comparison& c) {
  ordered_json out;
  out["step"] = c.step;
  out["tap"] = c.tap;
  out["mode"] = to_string(c.mode);
  out["row"] = c.row;
  out["rows"] = c.rows;
  out["cosine"] = number(c.cosine);
  out["nmse"] = number(c.nmse);
  out["norm_ratio"] = number(c.norm_ratio);
  out["max_abs"] = number(c.max_abs);
  if (c.at_row >= 0) out["at"] = {c.at_row, c.at_column};
  if (c.got) out["got"] = number(*c.got);
  if (c.expected) out["expected"] = number(*c.expected);
  out["bits"] = c.bits;
  out["count"] = c.count;
  if (c.integers_differing) out["integers_differing"] = *c.integers_differing;
  out["gate"] = c.gate;
  out["verdict"] = c.verdict;
  if (!c.why.empty()) out["why"] = c.why;
  if (!c.side.empty()) out["side"] = c.side;
  if (!c.blame.empty()) out["blame"] = c.blame;
  return out;
}

ordered_json to_json(const TierFigures& tier) {
  ordered_json out;
  out["comparisons"] = tier.comparisons;
  out["failed"] = tier.failed;
  if (tier.comparisons > 0) {
    out["worst"] = {{"one_minus_cosine", number(tier.one_minus_cosine)},
                    {"nmse", number(tier.nmse)},
                    {"norm_deviation", number(tier.norm_deviation)}};
  }
  return out;
}

ordered_json to_json(const TokenFigures& tokens) {
  ordered_json out;
  out["steps"] = tokens.steps;
  out["same"] = tokens.same;
  out["explained"] = tokens.explained;
  out["unexplained"] = tokens.unexplained;
  if (std::isfinite(tokens.smallest_margin)) out["smallest_margin"] = tokens.smallest_margin;
  return out;
}

ordered_json to_json(const Report& report, const CaseReport& c) {
  ordered_json out;
  out["id"] = c.id;
  out["verdict"] = to_string(c.state);
  if (!c.reason.empty()) out["reason"] = c.reason;
  put_text(out, "prompt", c.prompt);
  put_text(out, "answer", c.answer);
  out["tokens"] = c.tokens;
  if (c.expect) {
    out["expect"] = {{"kind", c.expect->kind}, {"met", c.expect->met}};
    put_text(out["expect"], "want", c.expect->want);
  } else {
    out["expect"] = nullptr;
  }
  out["comparisons"] = c.comparisons;
  out["failed"] = c.failed;
  out["picks"] = to_json(c.token_figures);
  out["local"] = to_json(c.local);
  out["free"] = to_json(c.free_running);
  if (c.is_failing()) out["reproduce"] = reproduce_command(report, c);
  return out;
}

/// Per mode, tap and layer over all steps; the grid holds them by step.
ordered_json worst_figures(const Report& report) {
  std::map<std::tuple<bool, std::uint32_t, std::int32_t>, Cell> rows;
  report.grid.for_each([&rows](const GridRow& row, std::uint32_t, const Cell& cell) {
    rows[{row.mode == Mode::kFree, row.tap, row.layer}].add(cell);
  });
  ordered_json out = ordered_json::array();
  for (const auto& [key, cell] : rows) {
    const auto& [free_running, tap, layer] = key;
    ordered_json row;
    row["mode"] = free_running ? "free" : "local";
    row["tap"] = report.taps[tap];
    row["layer"] = layer < 0 ? ordered_json(nullptr) : ordered_json(layer);
    row["comparisons"] = cell.comparisons;
    row["failed"] = cell.failed;
    row["one_minus_cosine"] = number(cell.one_minus_cosine);
    row["nmse"] = number(cell.nmse);
    row["norm_deviation"] = number(cell.norm_deviation);
    row["max_abs"] = number(cell.max_abs);
    row["values"] = cell.values;
    row["values_differing"] = cell.values_differing;
    if (!free_running) row["integers_differing"] = cell.integers_differing;
    row["case"] = report.cases[cell.case_index].id;
    row["step"] = cell.step;
    out.push_back(std::move(row));
  }
  return out;
}

void write_list(AtomicFile& out, const char* name, const ordered_json& list) {
  out.write(",\n\"" + std::string(name) + "\": [");
  bool first = true;
  for (const auto& item : list) {
    out.write(first ? "\n" : ",\n");
    out.write(dumped(item));
    first = false;
  }
  out.write("]");
}

}  // namespace

void write_json(const Report& report, AtomicFile& out) {
  ordered_json head;
  head["schema"] = "crossval.report/1";
  head["claim"] = report.claim;
  head["verdict"] = to_string(report.verdict);
  head["exit"] = report.exit_code;
  head["headline"] = report.headline;
  head["finished"] = report.finished;
  head["cases_by_verdict"] = {{"pass", report.counts.pass},
                              {"fail", report.counts.fail},
                              {"incomparable", report.counts.incomparable},
                              {"invalid", report.counts.invalid}};
  head["comparisons"] = {{"planned", report.planned},
                         {"made", report.made},
                         {"skipped", report.skipped},
                         {"failed", report.failed}};
  head["expectations"] = {{"total", report.expectations}, {"met", report.expectations_met}};
  head["picks"] = to_json(report.tokens);
  head["notes"] = report.notes;
  head["reproduce"] = text_of(report.run, "reproduce");
  const auto from_summary = [&report](const char* name) {
    if (!report.summary || !report.summary->contains(name)) return ordered_json(nullptr);
    return ordered_json(report.summary->at(name));
  };
  head["first_failure"] = from_summary("first_failure");
  head["guilty"] = from_summary("guilty");
  head["located"] = from_summary("located");
  head["failure"] = first_failure_lines(report);
  head["quadrant"] = from_summary("quadrant");
  head["self_noise"] = from_summary("self_noise");
  head["logit_noise"] = from_summary("logit_noise");
  head["rounding"] = from_summary("rounding");
  nlohmann::json run = report.run;
  run.erase("type");
  head["run"] = ordered_json(run);

  // Member by member, so that the document need not be held as a whole.
  bool first = true;
  for (const auto& [name, value] : head.items()) {
    out.write(first ? "{\n" : ",\n");
    out.write(dumped(name) + ": " + dumped(value));
    first = false;
  }
  write_list(out, "worst", worst_figures(report));
  out.write(",\n\"cases\": [");
  first = true;
  for (const CaseReport& c : report.cases) {
    out.write(first ? "\n" : ",\n");
    out.write(dumped(to_json(report, c)));
    first = false;
  }
  out.write("],\n\"failures_total\": " + std::to_string(report.failed));
  ordered_json failures = ordered_json::array();
  for (const Failure& failure : report.failures) {
    ordered_json item;
    item["case"] = report.cases[failure.case_index].id;
    item.update(to_json(failure.comparison));
    item["reproduce"] = reproduce_command(report, report.cases[failure.case_index]);
    failures.push_back(std::move(item));
  }
  write_list(out, "failures", failures);
  ordered_json skips = ordered_json::array();
  for (const SkipGroup& skip : report.skips) {
    ordered_json item{{"reason", skip.reason}, {"count", skip.count}};
    if (!skip.tap.empty()) item["tap"] = skip.tap;
    skips.push_back(std::move(item));
  }
  write_list(out, "skips", skips);
  ordered_json canaries = ordered_json::array();
  for (const Canary& c : report.canaries) {
    canaries.push_back({{"tap", c.tap},
                        {"case", c.case_id},
                        {"step", c.step},
                        {"fault", c.fault},
                        {"caught", c.caught},
                        {"verdict", c.verdict}});
  }
  write_list(out, "canaries", canaries);
  ordered_json performance = ordered_json::array();
  for (const Performance& p : report.performance) {
    ordered_json item{{"participant", p.participant}, {"what", p.what}, {"seconds", number(p.seconds)}};
    if (p.tokens > 0) item["tokens"] = p.tokens;
    performance.push_back(std::move(item));
  }
  write_list(out, "performance", performance);
  if (report.baseline) {
    const BaselineReport& b = *report.baseline;
    ordered_json rows = ordered_json::array();
    for (const BaselineRow& row : b.rows) {
      ordered_json item{{"what", row.what}, {"verdict", row.verdict}};
      if (!row.unit.empty())
        item.update({{"unit", row.unit},
                     {"base", number(row.base)},
                     {"now", number(row.now)},
                     {"noise", number(row.noise)}});
      if (!row.why.empty()) item["why"] = row.why;
      rows.push_back(std::move(item));
    }
    ordered_json baseline;
    put_text(baseline, "file", b.file);
    baseline.update(
        {{"time", b.time}, {"verdict", to_string(b.verdict)}, {"headline", b.headline}, {"rows", rows}});
    out.write(",\n\"baseline\": " + dumped(baseline));
  }
  out.write("\n}\n");
}

}  // namespace crossval::reports
