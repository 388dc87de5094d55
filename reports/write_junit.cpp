// JUnit as its readers take it: <failure> is parity, <error> is the harness or the infrastructure, <skipped>
// carries a reason. One suite per tier, and one named `run` for what belongs to no case, so that the document
// is red exactly where the verdict is not PASS.
#include <algorithm>
#include <cmath>
#include <functional>

#include "reports/baseline_rows.h"
#include "reports/escape.h"
#include "reports/failure_text.h"
#include "reports/writers.h"

namespace crossval::reports {
namespace {

enum class Outcome { kPass, kFailure, kError, kSkipped };

struct TestCase {
  Outcome outcome = Outcome::kPass;
  std::string message;  ///< of what is not a pass
  std::string type;
  std::string details;
  std::vector<std::pair<std::string, std::string>> properties;
};

using Judge = std::function<TestCase(const CaseReport&)>;

struct Counts {
  std::uint64_t tests = 0, failures = 0, errors = 0, skipped = 0;

  void add(Outcome outcome) {
    ++tests;
    if (outcome == Outcome::kFailure) ++failures;
    if (outcome == Outcome::kError) ++errors;
    if (outcome == Outcome::kSkipped) ++skipped;
  }
};

std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "=\"" + escape_xml(value) + "\"";
}

std::string counts_text(const Counts& c) {
  return attribute("tests", std::to_string(c.tests)) + attribute("failures", std::to_string(c.failures)) +
         attribute("errors", std::to_string(c.errors)) + attribute("skipped", std::to_string(c.skipped));
}

class Writer {
 public:
  Writer(const Report& report, AtomicFile& out) : report_(report), out_(out) {
    // A dot in the model's name would make packages of its parts.
    model_ = model_name(report);
    std::replace(model_.begin(), model_.end(), '.', '_');
  }

  void write() {
    const std::vector<std::pair<std::string, Judge>> tiers = {
        {"tokens", [this](const CaseReport& c) { return judge_tokens(c); }},
        {"local", [this](const CaseReport& c) { return judge_comparisons(c, c.local); }},
        {"free", [this](const CaseReport& c) { return judge_comparisons(c, c.free_running); }},
        {"answers", [this](const CaseReport& c) { return judge_answer(c); }}};

    Counts all;
    std::vector<Counts> counts(tiers.size());
    for (std::size_t i = 0; i < tiers.size(); ++i) {
      for (const CaseReport& c : report_.cases) counts[i].add(tiers[i].second(c).outcome);
      all.tests += counts[i].tests;
      all.failures += counts[i].failures;
      all.errors += counts[i].errors;
      all.skipped += counts[i].skipped;
    }
    Counts canaries;
    for (const Canary& canary : report_.canaries) canaries.add(judge(canary).outcome);
    all.tests += canaries.tests;
    all.errors += canaries.errors;
    Counts baseline;
    for (const BaselineRow& row : baseline_rows()) baseline.add(judge(row).outcome);
    all.tests += baseline.tests;
    all.failures += baseline.failures;
    all.skipped += baseline.skipped;
    const TestCase run = judge_run(all);
    Counts run_counts;
    run_counts.add(run.outcome);
    all.add(run.outcome);

    out_.write("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"crossval\"" +
               counts_text(all) + ">\n");
    begin_suite("run", run_counts);
    write_run_properties();
    write_case("run", "run", run);
    end_suite();
    for (std::size_t i = 0; i < tiers.size(); ++i) {
      begin_suite(tiers[i].first, counts[i]);
      for (const CaseReport& c : report_.cases) write_case(tiers[i].first, c.id, tiers[i].second(c));
      end_suite();
    }
    if (!report_.canaries.empty()) {
      begin_suite("canaries", canaries);
      for (const Canary& canary : report_.canaries) {
        write_case("canaries",
                   canary.fault + " in " + canary.tap + ", " + canary.case_id + " step " +
                       std::to_string(canary.step),
                   judge(canary));
      }
      end_suite();
    }
    if (report_.baseline) {
      begin_suite("baseline", baseline);
      for (const BaselineRow& row : baseline_rows()) write_case("baseline", row.what, judge(row));
      end_suite();
    }
    out_.write("</testsuites>\n");
  }

 private:
  const std::vector<BaselineRow>& baseline_rows() const {
    static const std::vector<BaselineRow> kNone;
    return report_.baseline ? report_.baseline->rows : kNone;
  }

  static TestCase judge(const BaselineRow& row) {
    TestCase out;
    if (row.verdict == "not compared") {
      out.outcome = Outcome::kSkipped;
      out.message = row.why;
      return out;
    }
    out.properties = {{"base", amount(row, row.base)},
                      {"now", amount(row, row.now)},
                      {"change", change(row)},
                      {"noise", figure(row.noise)},
                      {"verdict", row.verdict}};
    if (row.verdict != "worse") return out;
    out.outcome = Outcome::kFailure;
    out.type = "baseline";
    out.message = "worse than the baseline: " + amount(row, row.base) + " -> " + amount(row, row.now);
    out.details = row.why;
    return out;
  }

  /// Whether a tier was looked at in this case; if not, why.
  static bool was_run(const CaseReport& c, TestCase& out) {
    if (c.state == CaseState::kSkipped) {
      out.outcome = Outcome::kSkipped;
      out.message = c.reason.empty() ? "skipped" : c.reason;
      return false;
    }
    if (c.state == CaseState::kNotRun) {
      out.outcome = Outcome::kError;
      out.type = "not-run";
      out.message = "the case was planned but not run";
      return false;
    }
    return true;
  }

  /// A case that did not come to a verdict on parity is an error of the run, told once, in the first tier.
  TestCase judge_tokens(const CaseReport& c) const {
    TestCase out;
    if (!was_run(c, out)) return out;
    const TokenFigures& t = c.token_figures;
    out.properties = {{"steps", std::to_string(t.steps)},
                      {"same", std::to_string(t.same)},
                      {"flips.explained", std::to_string(t.explained)},
                      {"flips.unexplained", std::to_string(t.unexplained)}};
    if (std::isfinite(t.smallest_margin))
      out.properties.emplace_back("margin.smallest", figure(t.smallest_margin));
    if (c.state == CaseState::kIncomparable || c.state == CaseState::kInvalid ||
        c.state == CaseState::kUnfinished) {
      out.outcome = Outcome::kError;
      out.type = to_string(c.state);
      out.message = !c.reason.empty()                     ? c.reason
                    : c.state == CaseState::kIncomparable ? "the two sides do not line up"
                    : c.state == CaseState::kInvalid      ? "the case cannot be trusted"
                                                          : "the run stopped within this case";
      out.details = reproduce_command(report_, c);
    } else if (t.unexplained > 0) {
      out.outcome = Outcome::kFailure;
      out.type = "token-parity";
      out.message = std::to_string(t.unexplained) + " token picks differ beyond what self-noise explains";
      if (t.first_flip_step >= 0) {
        out.details = "first at step " + std::to_string(t.first_flip_step) + ": candidate picked " +
                      std::to_string(t.first_flip_candidate) + ", reference " +
                      std::to_string(t.first_flip_reference) + "\n";
      }
      out.details += reproduce_command(report_, c);
    } else if (c.state == CaseState::kFail && c.failed == 0 && (!c.expect || c.expect->met)) {
      // FAIL for a reason that no tier shows, e.g. coverage.
      out.outcome = Outcome::kFailure;
      out.type = "parity";
      out.message = c.reason.empty() ? "the case failed" : c.reason;
      out.details = reproduce_command(report_, c);
    }
    return out;
  }

  TestCase judge_comparisons(const CaseReport& c, const TierFigures& tier) const {
    TestCase out;
    if (!was_run(c, out)) return out;
    if (tier.comparisons == 0) {
      out.outcome = Outcome::kSkipped;
      out.message = "nothing was compared in this tier";
      return out;
    }
    out.properties = {{"comparisons", std::to_string(tier.comparisons)},
                      {"failed", std::to_string(tier.failed)},
                      {"worst.one_minus_cosine", figure(tier.one_minus_cosine)},
                      {"worst.nmse", figure(tier.nmse)},
                      {"worst.norm_deviation", figure(tier.norm_deviation)}};
    if (tier.failed == 0 || !tier.first_failure) return out;
    out.outcome = Outcome::kFailure;
    out.type = tier.first_failure->gate.empty() ? "parity" : tier.first_failure->gate;
    if (!tier.first_failure->blame.empty()) out.message = tier.first_failure->blame + ": ";
    out.message += std::to_string(tier.failed) + " of " + std::to_string(tier.comparisons) +
                   " comparisons failed, first " + tier.first_failure->tap + " at step " +
                   std::to_string(tier.first_failure->step);
    out.details = failure_sentence(*tier.first_failure) + "\n";
    if (const std::string bound = bound_sentence(report_, *tier.first_failure); !bound.empty())
      out.details += "bound: " + bound + "\n";
    if (const std::string located = located_sentence(report_); !located.empty())
      out.details += "where the sides part: " + located + "\n";
    out.details += reproduce_command(report_, c);
    return out;
  }

  TestCase judge_answer(const CaseReport& c) const {
    TestCase out;
    if (!was_run(c, out)) return out;
    if (!c.expect) {
      out.outcome = Outcome::kSkipped;
      out.message = "the case expects no particular answer";
      return out;
    }
    out.properties = {{"answer", c.answer}, {"expected", c.expect->kind + " " + c.expect->want}};
    if (c.expect->met) return out;
    out.outcome = Outcome::kFailure;
    out.type = "answer";
    out.message = "expected " + c.expect->kind + " `" + c.expect->want + "`, got `" + c.answer + "`";
    out.details = reproduce_command(report_, c);
    return out;
  }

  static TestCase judge(const Canary& canary) {
    TestCase out;
    if (canary.caught) return out;
    out.outcome = Outcome::kError;
    out.type = "canary-missed";
    out.message = "the planted fault `" + canary.fault + "` was not caught";
    return out;
  }

  /// Red only where nothing else is, so that one failing case counts as few times as possible.
  TestCase judge_run(const Counts& others) const {
    TestCase out;
    if (report_.verdict == Verdict::kPass) return out;
    if (report_.verdict == Verdict::kFail) {
      if (others.failures > 0) return out;
      out.outcome = Outcome::kFailure;
      out.type = "parity";
    } else {
      if (others.errors > 0 && report_.finished && report_.counts.incomparable + report_.counts.invalid > 0)
        return out;
      out.outcome = Outcome::kError;
      out.type = to_string(report_.verdict);
    }
    out.message = report_.headline.empty() ? to_string(report_.verdict) : report_.headline;
    out.details = text_of(report_.run, "reproduce");
    return out;
  }

  void begin_suite(const std::string& name, const Counts& counts) {
    const std::string time = text_of(report_.run, "time");
    out_.write(" <testsuite" + attribute("name", name) + counts_text(counts) +
               (time.empty() ? std::string{} : attribute("timestamp", time)) + ">\n");
  }
  void end_suite() { out_.write(" </testsuite>\n"); }

  void write_properties(const std::vector<std::pair<std::string, std::string>>& properties,
                        const char* indent) {
    out_.write(std::string(indent) + "<properties>\n");
    for (const auto& [name, value] : properties) {
      out_.write(std::string(indent) + " <property" + attribute("name", name.c_str()) +
                 attribute("value", value) + "/>\n");
    }
    out_.write(std::string(indent) + "</properties>\n");
  }

  void write_run_properties() {
    std::vector<std::pair<std::string, std::string>> p = {
        {"claim", report_.claim},
        {"verdict", to_string(report_.verdict)},
        {"exit", std::to_string(report_.exit_code)},
        {"headline", report_.headline},
        {"quadrant", report_.summary ? text_of(*report_.summary, "quadrant") : std::string{}},
        {"finished", report_.finished ? "true" : "false"},
        {"cases.pass", std::to_string(report_.counts.pass)},
        {"cases.fail", std::to_string(report_.counts.fail)},
        {"cases.incomparable", std::to_string(report_.counts.incomparable)},
        {"cases.invalid", std::to_string(report_.counts.invalid)},
        {"comparisons.planned", std::to_string(report_.planned)},
        {"comparisons.made", std::to_string(report_.made)},
        {"comparisons.skipped", std::to_string(report_.skipped)},
        {"comparisons.failed", std::to_string(report_.failed)}};
    for (const char* side : {"model", "suite", "gates"}) {
      if (report_.run.contains(side))
        p.emplace_back(std::string(side) + ".sha256", text_of(report_.run[side], "sha256"));
    }
    for (const char* side : {"candidate", "reference"}) {
      if (!report_.run.contains(side)) continue;
      for (const char* key : {"name", "version", "build", "isa"}) {
        const std::string value = text_of(report_.run[side], key);
        if (!value.empty()) p.emplace_back(std::string(side) + "." + key, value);
      }
    }
    p.emplace_back("reproduce", text_of(report_.run, "reproduce"));
    for (const std::string& note : report_.notes) p.emplace_back("note", note);
    write_properties(p, "  ");
  }

  void write_case(const std::string& tier, const std::string& name, const TestCase& c) {
    out_.write("  <testcase" + attribute("classname", tier + "." + model_) + attribute("name", name));
    if (c.properties.empty() && c.outcome == Outcome::kPass) {
      out_.write("/>\n");
      return;
    }
    out_.write(">\n");
    if (!c.properties.empty()) write_properties(c.properties, "   ");
    if (c.outcome == Outcome::kSkipped) {
      out_.write("   <skipped" + attribute("message", c.message) + "/>\n");
    } else if (c.outcome != Outcome::kPass) {
      const char* element = c.outcome == Outcome::kFailure ? "failure" : "error";
      out_.write(std::string("   <") + element + attribute("message", c.message) + attribute("type", c.type) +
                 ">");
      // Line by line: escape_xml makes line feeds within a line visible.
      std::size_t begin = 0;
      for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
        end = c.details.find('\n', begin);
        out_.write(escape_xml(std::string_view(c.details).substr(begin, end - begin)));
        if (end != std::string::npos) out_.write("\n");
      }
      out_.write(std::string("</") + element + ">\n");
    }
    out_.write("  </testcase>\n");
  }

  const Report& report_;
  AtomicFile& out_;
  std::string model_;
};

}  // namespace

void write_junit(const Report& report, AtomicFile& out) {
  Writer(report, out).write();
}

}  // namespace crossval::reports
