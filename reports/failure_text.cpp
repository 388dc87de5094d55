#include "reports/failure_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "reports/escape.h"

namespace crossval::reports {
namespace {

std::string formatted(const char* format, double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  std::string out = text;
  // 3e-09 as 3e-9, as people write it.
  const std::size_t e = out.find('e');
  if (e != std::string::npos && out.size() == e + 4 && out[e + 2] == '0') out.erase(e + 2, 1);
  return out;
}

/// `*` and `?` as in the gates file.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool any_matches(const nlohmann::json& gate, const char* name, const std::string& tap) {
  const auto it = gate.find(name);
  if (it == gate.end() || !it->is_array()) return false;
  for (const auto& glob : *it) {
    if (glob.is_string() && matches(glob.get_ref<const std::string&>(), tap)) return true;
  }
  return false;
}

}  // namespace

std::string figure(double value) {
  return formatted("%.6g", value);
}
std::string value_figure(double value) {
  return formatted("%.9g", value);
}
std::string error_figure(double value) {
  return value == 0 ? "0" : formatted("%.3g", value);
}

std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t i = digits.size(); i > 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

const char* to_string(Mode mode) {
  return mode == Mode::kLocal ? "local" : "free";
}

namespace {

std::string place(std::int64_t row, std::int64_t column) {
  return row < 0 ? std::string() : " at [" + std::to_string(row) + ", " + std::to_string(column) + "]";
}

std::string both(const std::optional<double>& got, const std::optional<double>& expected) {
  return got && expected ? ": got " + value_figure(*got) + ", expected " + value_figure(*expected)
                         : std::string();
}

std::string mismatched(const Comparison& c) {
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.3g %%",
                100.0 * static_cast<double>(c.bits) / static_cast<double>(c.count));
  return grouped(c.bits) + " of " + grouped(c.count) + " values (" + percent + ")";
}

std::string greatest_absolute(const Comparison& c) {
  return error_figure(c.max_abs) + place(c.at_row, c.at_column) + both(c.got, c.expected);
}

// How far it is off there, by the expected value.
std::string relative(const Comparison& c) {
  if (!c.expected || std::isnan(c.max_abs)) return {};
  return error_figure(c.max_abs / std::abs(*c.expected)) + " of the expected value there";
}

// The first that is listed of the case and step that the summary names first, else the first.
const Failure* first_failure(const Report& report) {
  if (report.failures.empty()) return nullptr;
  const auto named =
      report.summary ? report.summary->find("first_failure") : nlohmann::json::const_iterator();
  if (report.summary && named != report.summary->end() && named->is_object()) {
    const std::string id = text_of(*named, "case"), tap = text_of(*named, "tap"),
                      mode = text_of(*named, "mode");
    for (const Failure& f : report.failures)
      if (report.cases[f.case_index].id == id && f.comparison.tap == tap &&
          to_string(f.comparison.mode) == mode &&
          number_of(named->value("step", nlohmann::json())) == static_cast<double>(f.comparison.step))
        return &f;
  }
  return &report.failures.front();
}

}  // namespace

std::string failure_sentence(const Comparison& c) {
  std::string out = std::string(to_string(c.mode)) + " " + c.tap + ", step " + std::to_string(c.step);
  if (!c.side.empty()) out += ", the " + c.side + "'s";
  if (c.rows > 0) out += ", row " + std::to_string(c.row) + " of " + std::to_string(c.rows);
  out += ": ";
  if (!c.blame.empty()) out += c.blame + ", says the arbiter; ";
  if (!c.why.empty()) out += c.why + "; ";
  if (!c.gate.empty()) out += "gate " + c.gate + "; ";
  out += "cosine " + value_figure(c.cosine) + ", NMSE " + error_figure(c.nmse) + ", norm ratio " +
         figure(c.norm_ratio) + "; ";
  if (c.count > 0) out += "differing " + mismatched(c) + "; ";
  if (c.integers_differing) out += grouped(*c.integers_differing) + " integer products differ; ";
  out += "greatest difference " + greatest_absolute(c);
  if (const std::string share = relative(c); !share.empty()) out += "; that is " + share;
  return out;
}

std::string bound_sentence(const Report& report, const Comparison& c) {
  const auto gates = report.run.find("gates");
  if (c.gate.empty() || gates == report.run.end() || !gates->is_object()) return {};
  const auto list = gates->find("list");
  if (list == gates->end() || !list->is_array()) return {};
  for (const auto& gate : *list) {
    if (text_of(gate, "name") != c.gate) continue;
    std::string out = "gate " + c.gate + ": " + text_of(gate, "metric") + " " + text_of(gate, "limit");
    if (const std::string source = text_of(gate, "source"); !source.empty()) out += ", from " + source;
    return out;
  }
  return {};
}

std::string located_sentence(const Report& report) {
  if (!report.summary) return {};
  const auto located = report.summary->find("located");
  if (located == report.summary->end() || !located->is_object()) return {};
  const std::string who = text_of(*located, "who"), why = text_of(*located, "why"),
                    likeness = text_of(*located, "likeness");
  if (who.empty()) return "no operation breaks its bound on either side: what differs is inherited";
  std::string out = who + " in " + text_of(*located, "tap");
  for (const char* key : {"step", "row"})
    if (const auto it = located->find(key); it != located->end())
      out += std::string(", ") + key + " " + figure(number_of(*it));
  out += " of case " + text_of(*located, "case");
  if (!why.empty()) out += ": " + why;
  if (!likeness.empty()) out += "; " + likeness;
  return out;
}

std::vector<std::string> first_failure_lines(const Report& report) {
  std::vector<std::string> lines;
  const std::string located = located_sentence(report);
  const Failure* first = first_failure(report);
  if (first) {
    const Comparison& c = first->comparison;
    const CaseReport& of_case = report.cases[first->case_index];
    std::string head = "first failure: " + std::string(to_string(c.mode)) + " " + c.tap + " of case " +
                       of_case.id + ", step " + std::to_string(c.step);
    if (c.rows > 0) head += ", row " + std::to_string(c.row) + " of " + std::to_string(c.rows);
    if (!c.side.empty()) head += ", the " + c.side + "'s";
    lines.push_back(head + ": " + c.why);
    if (c.count > 0)
      lines.push_back("mismatched: " + mismatched(c) +
                      (c.integers_differing ? "; integer products: " + grouped(*c.integers_differing) : ""));
    lines.push_back("greatest difference: " + greatest_absolute(c) +
                    (relative(c).empty() ? "" : "; " + relative(c)));
    if (const std::string bound = bound_sentence(report, c); !bound.empty())
      lines.push_back("bound: " + bound);
  }
  if (first) {
    const CaseReport& c = report.cases[first->case_index];
    if (c.local.comparisons > 0 && c.free_running.comparisons > 0)
      lines.push_back("local against inherited: in this case an operation adds at most NMSE " +
                      error_figure(c.local.nmse) + " to its inputs, the sides are up to " +
                      error_figure(c.free_running.nmse) + " apart");
  }
  if (!located.empty()) lines.push_back("where the sides part: " + located);
  if (lines.empty()) return lines;
  if (const std::string bundle = report.summary
                                     ? text_of(report.summary->value("located", nlohmann::json()), "bundle")
                                     : std::string();
      !bundle.empty())
    lines.push_back("bundle: " + bundle + " (crossval replay computes it again without the model)");
  if (report.failed > 1) {
    std::uint64_t cases = 0;
    for (const CaseReport& c : report.cases) cases += c.failed > 0;
    lines.push_back("and " + grouped(report.failed - 1) + " more failed comparisons, in " + grouped(cases) +
                    (cases == 1 ? " case" : " cases"));
  }
  return lines;
}

std::string reproduce_command(const Report& report, const CaseReport& c) {
  if (!c.reproduce.empty()) return c.reproduce;
  std::string run = text_of(report.run, "reproduce");
  if (run.empty()) return run;
  // A run of some cases only stays one: two filters would be one too many.
  for (const char* flag : {" --filter", " --case"})
    if (run.find(flag) != std::string::npos) return run;
  return run + " --filter " + shell_quote(c.id);
}

std::string first_reproduce_command(const Report& report) {
  const auto failing = std::find_if(report.cases.begin(), report.cases.end(),
                                    [](const CaseReport& c) { return c.state == CaseState::kFail; });
  return failing != report.cases.end() ? reproduce_command(report, *failing)
                                       : text_of(report.run, "reproduce");
}

std::string case_sentence(const CaseCounts& counts) {
  const auto cases = [](std::uint64_t n) { return grouped(n) + (n == 1 ? " case" : " cases"); };
  if (counts.total() == 0) return "no case ended";
  if (counts.pass == counts.total()) return "all of " + cases(counts.total()) + " passed";
  std::string out = grouped(counts.pass) + " of " + cases(counts.total()) + " passed";
  if (counts.fail > 0) out += ", " + grouped(counts.fail) + " failed";
  if (counts.incomparable > 0) out += ", " + grouped(counts.incomparable) + " incomparable";
  if (counts.invalid > 0) out += ", " + grouped(counts.invalid) + " invalid";
  return out;
}

std::string comparison_sentence(const Report& report) {
  return (report.finished ? grouped(report.planned) + " planned, " + grouped(report.made) + " made, "
                          : grouped(report.made) + " made so far, ") +
         grouped(report.skipped) + " skipped, " + grouped(report.failed) + " failed";
}

std::string model_name(const Report& report) {
  const auto model = report.run.find("model");
  if (model == report.run.end()) return "model";
  std::string name = text_of(*model, "name");
  if (!name.empty()) return name;
  const std::string path = text_of(*model, "path");
  const std::string stem = std::filesystem::path(path).stem().string();
  return stem.empty() ? "model" : stem;
}

double gate_limit(const Report& report, Mode mode, const std::string& tap, const std::string& metric) {
  double limit = std::nan("");
  const auto gates = report.run.find("gates");
  if (gates == report.run.end() || !gates->is_object()) return limit;
  const auto list = gates->find("list");
  if (list == gates->end() || !list->is_array()) return limit;
  for (const auto& gate : *list) {
    if (text_of(gate, "mode") != to_string(mode) || text_of(gate, "metric") != metric) continue;
    if (!any_matches(gate, "taps", tap) || any_matches(gate, "except", tap)) continue;
    const auto threshold = gate.find("threshold");
    if (threshold == gate.end() || !threshold->is_number()) continue;
    const double value = threshold->get<double>();
    const double error = metric == "cosine" ? 1 - value : value;
    if (std::isnan(limit) || error < limit) limit = error;
  }
  return limit;
}

std::vector<RoundedTap> rounded_taps(const Report& report) {
  std::vector<RoundedTap> out;
  if (!report.summary) return out;
  const auto worst = report.summary->find("rounding");
  if (worst == report.summary->end() || !worst->is_object()) return out;
  for (const auto& [name, figures] : worst->items()) {
    if (!figures.is_object()) continue;
    const auto number = [&tap_figures = figures](const char* key) {
      const auto it = tap_figures.find(key);
      return it == tap_figures.end() ? std::nan("") : number_of(*it);
    };
    RoundedTap tap{.tap = name, .input = {}, .source = {}, .where = text_of(figures, "tap")};
    tap.share = number("share");
    tap.difference = number("difference");
    tap.bound = number("bound");
    tap.gain = number("gain");
    tap.gain_bound = number("gain_bound");
    tap.where += ", column " + figure(number("at")) + ", step " + figure(number("step")) + " of case " +
                 text_of(figures, "case");
    const auto list = report.run.find("rounding");
    if (list != report.run.end() && list->is_array())
      for (const auto& entry : *list) {
        if (!entry.is_object() || !any_matches(entry, "taps", text_of(figures, "tap"))) continue;
        tap.input = text_of(entry, "input") + " there, " + text_of(entry, "own") + " here";
        tap.source = text_of(entry, "source");
      }
    out.push_back(std::move(tap));
  }
  return out;
}

}  // namespace crossval::reports
