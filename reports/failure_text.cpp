#include "reports/failure_text.h"

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
  if (c.count > 0) {
    char percent[32];
    std::snprintf(percent, sizeof percent, "%.3g %%",
                  100.0 * static_cast<double>(c.bits) / static_cast<double>(c.count));
    out += "differing " + grouped(c.bits) + " of " + grouped(c.count) + " values (" + percent + "); ";
  }
  if (c.integers_differing) out += grouped(*c.integers_differing) + " integer products differ; ";
  out += "greatest difference " + error_figure(c.max_abs);
  if (c.at_row >= 0) out += " at [" + std::to_string(c.at_row) + ", " + std::to_string(c.at_column) + "]";
  if (c.got && c.expected) out += ": got " + value_figure(*c.got) + ", expected " + value_figure(*c.expected);
  return out;
}

std::string reproduce_command(const Report& report, const CaseReport& c) {
  if (!c.reproduce.empty()) return c.reproduce;
  std::string run = text_of(report.run, "reproduce");
  if (run.empty()) return run;
  // A run of some cases only stays one: two filters would be one too many.
  if (run.find(" --filter") != std::string::npos) return run;
  return run + " --filter " + shell_quote(c.id);
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
