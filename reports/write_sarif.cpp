// SARIF 2.1.0 for code scanning: a result for each operation that failed by itself (fed the other side's
// inputs, or found guilty), at the source that computes it. Records that name no source (an engine that is
// not ours) give no result; the verdict is told all the same.
#include <cmath>
#include <map>
#include <vector>

#include "reports/escape.h"
#include "reports/failure_text.h"
#include "reports/writers.h"

namespace crossval::reports {
namespace {

using nlohmann::ordered_json;

/// A message's text is plain but for [text](target) and backslashes.
std::string plain(const std::string& text, std::size_t limit = 1000) {
  std::string out;
  for (const char c : escape_terminal(shortened(text, limit))) {
    if (c == '[' || c == ']' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

ordered_json message(const std::string& text) {
  return {{"text", text}};
}

ordered_json number(double value) {
  if (std::isfinite(value)) return value;
  return figure(value);
}

/// What failed of one tap, all layers, steps and cases together.
struct Finding {
  std::string tap;  ///< without a layer
  std::uint64_t compared = 0, failed = 0;
  const Failure* first = nullptr;  ///< of those that are listed one by one
  bool located = false;
};

/// Whose operation it is: the arbiter's word, else whose tensors were evaluated, else the candidate's.
const char* side_of(const Finding& finding, const nlohmann::json* located) {
  const std::string blame = finding.located && located != nullptr ? text_of(*located, "who")
                            : finding.first != nullptr            ? finding.first->comparison.blame
                                                                  : std::string{};
  if (blame == "reference wrong") return "reference";
  if (blame == "candidate wrong") return "candidate";
  return finding.first != nullptr && finding.first->comparison.side == "reference" ? "reference"
                                                                                   : "candidate";
}

class Writer {
 public:
  explicit Writer(const Report& report) : report_(report) {
    if (!report.summary) return;
    const auto it = report.summary->find("located");
    if (it != report.summary->end() && it->is_object()) located_ = &*it;
  }

  ordered_json document() {
    ordered_json results = ordered_json::array();
    for (const Finding& finding : findings()) {
      ordered_json one = result(finding);
      if (!one.is_null()) results.push_back(std::move(one));
    }
    ordered_json driver = {{"name", "crossval"}};
    const std::string version =
        report_.run.contains("crossval") ? text_of(report_.run["crossval"], "version") : std::string{};
    if (!version.empty()) driver["version"] = version;
    driver["rules"] = rules_;
    ordered_json run;
    run["tool"]["driver"] = std::move(driver);
    run["invocations"] = ordered_json::array({invocation()});
    run["originalUriBaseIds"]["%SRCROOT%"]["description"] =
        message("the source tree of crossval and its engine");
    run["columnKind"] = "utf16CodeUnits";
    run["results"] = std::move(results);
    run["properties"] = {{"verdict", to_string(report_.verdict)},
                         {"exit", report_.exit_code},
                         {"claim", report_.claim},
                         {"headline", report_.headline},
                         {"cases",
                          {{"pass", report_.counts.pass},
                           {"fail", report_.counts.fail},
                           {"incomparable", report_.counts.incomparable},
                           {"invalid", report_.counts.invalid}}},
                         {"comparisons",
                          {{"planned", report_.planned},
                           {"made", report_.made},
                           {"skipped", report_.skipped},
                           {"failed", report_.failed}}}};
    return {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
            {"version", "2.1.0"},
            {"runs", ordered_json::array({std::move(run)})}};
  }

 private:
  ordered_json invocation() const {
    ordered_json out;
    // Whether the tool could do its work; a FAIL is a result, not a breakdown.
    out["executionSuccessful"] = report_.verdict == Verdict::kPass || report_.verdict == Verdict::kFail;
    out["exitCode"] = report_.exit_code;
    out["exitCodeDescription"] = to_string(report_.verdict);
    const std::string command = text_of(report_.run, "reproduce");
    if (!command.empty()) out["commandLine"] = command;
    if (report_.verdict != Verdict::kPass) {
      const std::string headline =
          report_.headline.empty() ? case_sentence(report_.counts) : report_.headline;
      ordered_json notification;
      notification["level"] = "error";
      notification["message"] = message(std::string(to_string(report_.verdict)) + ": " + plain(headline));
      out["toolExecutionNotifications"] = ordered_json::array({std::move(notification)});
    }
    return out;
  }

  /// In the order of computation.
  std::vector<Finding> findings() const {
    std::map<std::uint32_t, Finding> by_tap;
    report_.grid.for_each([&](const GridRow& row, std::uint32_t, const Cell& cell) {
      if (row.mode != Mode::kLocal) return;
      by_tap[row.tap].compared += cell.comparisons;
      by_tap[row.tap].failed += cell.failed;
    });
    const std::string guilty =
        located_ == nullptr ? std::string{} : split_tap(text_of(*located_, "tap")).name;
    std::vector<Finding> out;
    for (std::uint32_t i = 0; i < report_.taps.size(); ++i) {
      Finding finding;
      if (const auto it = by_tap.find(i); it != by_tap.end()) finding = it->second;
      finding.tap = report_.taps[i];
      finding.located = finding.tap == guilty && !text_of(*located_, "who").empty();
      if (finding.failed == 0 && !finding.located) continue;
      for (const Failure& f : report_.failures) {
        if (f.comparison.mode != Mode::kLocal || split_tap(f.comparison.tap).name != finding.tap) continue;
        finding.first = &f;
        break;
      }
      out.push_back(finding);
    }
    return out;
  }

  std::size_t rule_index(const std::string& gate) {
    for (std::size_t i = 0; i < rules_.size(); ++i)
      if (rules_[i]["id"] == gate) return i;
    rules_.push_back(
        {{"id", gate},
         {"shortDescription",
          message("An operation differs from the reference beyond the gate " + plain(gate, 200))},
         {"defaultConfiguration", {{"level", "error"}}}});
    return rules_.size() - 1;
  }

  /// Null where no source is named for the operation.
  ordered_json result(const Finding& finding) {
    const std::string side = side_of(finding, located_);
    const auto participant = report_.run.find(side);
    if (participant == report_.run.end() || !participant->is_object()) return nullptr;
    const auto sources = participant->find("sources");
    if (sources == participant->end() || !sources->is_object() || !sources->contains(finding.tap))
      return nullptr;
    const nlohmann::json& source = (*sources)[finding.tap];
    const std::string file = text_of(source, "file");
    if (file.empty()) return nullptr;

    const Comparison* c = finding.first == nullptr ? nullptr : &finding.first->comparison;
    std::string gate = c == nullptr || c->gate.empty() ? std::string("parity") : c->gate;
    ordered_json out;
    out["ruleIndex"] = rule_index(gate);
    out["ruleId"] = std::move(gate);
    out["level"] = c != nullptr && c->blame == "cannot tell" ? "warning" : "error";
    out["message"] = message(text_of_result(finding, side, *participant));

    ordered_json physical;
    physical["artifactLocation"] = {{"uri", uri(file)}, {"uriBaseId", "%SRCROOT%"}};
    const auto line = source.find("line");
    if (line != source.end() && line->is_number_unsigned() && *line > 0)
      physical["region"]["startLine"] = *line;
    ordered_json location;
    location["physicalLocation"] = std::move(physical);
    const std::string function = text_of(source, "function");
    if (!function.empty()) {
      ordered_json logical = {{"fullyQualifiedName", function}, {"kind", "function"}};
      location["logicalLocations"] = ordered_json::array({std::move(logical)});
    }
    out["locations"] = ordered_json::array({std::move(location)});
    out["partialFingerprints"]["operation/v1"] = side + " " + finding.tap;

    ordered_json properties = {
        {"side", side}, {"tap", finding.tap}, {"compared", finding.compared}, {"failed", finding.failed}};
    if (c != nullptr) {
      properties["case"] = valid_utf8(c->case_id);
      properties["step"] = c->step;
      properties["firstTap"] = c->tap;
      if (c->at_row >= 0) properties["at"] = {c->at_row, c->at_column};
      if (c->got) properties["got"] = number(*c->got);
      if (c->expected) properties["expected"] = number(*c->expected);
      properties["cosine"] = number(c->cosine);
      properties["nmse"] = number(c->nmse);
      properties["normRatio"] = number(c->norm_ratio);
    }
    out["properties"] = std::move(properties);
    return out;
  }

  std::string text_of_result(const Finding& finding, const std::string& side,
                             const nlohmann::json& participant) const {
    std::string text = plain(finding.tap, 100) + " of the " + side;
    if (finding.failed > 0)
      text +=
          ": " + grouped(finding.failed) + " of " + grouped(finding.compared) + " local comparisons failed";
    text += ".";
    if (finding.located) {
      const std::string likeness = text_of(*located_, "likeness");
      if (!likeness.empty()) text += " It " + plain(likeness, 400) + ".";
    }
    if (finding.first != nullptr) {
      text += " First: " + plain(failure_sentence(finding.first->comparison)) + ".";
      const std::string command = reproduce_command(report_, report_.cases[finding.first->case_index]);
      if (!command.empty()) text += " Reproduce: " + plain(command);
    }
    if (const auto details = participant.find("details");
        details != participant.end() && details->is_object()) {
      const std::string fault = text_of(*details, "fault");
      if (!fault.empty()) text += " (The run planted the fault " + plain(fault, 100) + ".)";
    }
    return text;
  }

  /// A path as a relative URI.
  static std::string uri(const std::string& path) {
    std::string out;
    std::size_t begin = 0;
    for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
      end = path.find('/', begin);
      out += escape_fragment(std::string_view(path).substr(begin, end - begin));
      if (end != std::string::npos) out += '/';
    }
    return out;
  }

  const Report& report_;
  const nlohmann::json* located_ = nullptr;
  ordered_json rules_ = ordered_json::array();
};

}  // namespace

void write_sarif(const Report& report, AtomicFile& out) {
  out.write(Writer(report).document().dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace crossval::reports
