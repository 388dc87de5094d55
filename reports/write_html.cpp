// index.html: one page that needs no network. What a reader looks for first (verdict, claim, failures, cases,
// environment) is in the document itself; the script adds the plots, sorting and filtering. All data reaches
// the page escaped, and its Content-Security-Policy lets nothing run but the embedded script, by its hash.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "engine/base64.h"
#include "reports/baseline_rows.h"
#include "reports/escape.h"
#include "reports/failure_text.h"
#include "reports/page/page_assets.h"
#include "reports/writers.h"

namespace crossval::reports {
namespace {

// The parts that grow with a run have budgets, which together with the rest stay below 5 MB.
constexpr std::size_t kMaxCells = 24000;               // of the heat map, about 55 bytes each
constexpr std::size_t kCaseBytes = 2'600'000;          // rows of cases
constexpr std::size_t kCaseBytesWithText = 2'100'000;  // from here on passing cases lose their texts
constexpr std::size_t kFailureBytes = 600'000;
constexpr std::size_t kMaxShownText = 140;
constexpr std::size_t kMaxShownId = 160;

std::string html(const std::string& text, std::size_t limit = 400) {
  return escape_html(shortened(text, limit));
}

/// Spaces at the ends of an answer matter and would not be seen.
std::string shown_text(const std::string& text) {
  return html(text, kMaxShownText);
}

std::string sha256_source(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes +=
        static_cast<char>(static_cast<unsigned char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return "'sha256-" + bitnet::base64_encode(bytes) + "'";
}

/// A browser looks for the fragment as it stands before it decodes it, so id and link are the same text.
std::string case_anchor(const std::string& id) {
  return "case=" + escape_fragment(id);
}

std::string case_link(const CaseReport& c) {
  return "<a href=\"#" + case_anchor(c.id) + "\">" + html(c.id, kMaxShownId) + "</a>";
}

std::string badge(const char* word) {
  return std::string("<span class=\"badge ") + word + "\">" + word + "</span>";
}

std::string cell(const std::string& text, const char* cls = nullptr) {
  return std::string("<td") + (cls != nullptr ? std::string(" class=\"") + cls + "\"" : std::string{}) + ">" +
         text + "</td>";
}

std::string number_cell(double value, const std::string& text) {
  return "<td class=\"n\" data-v=\"" + value_figure(value) + "\">" + text + "</td>";
}

std::string count_cell(std::uint64_t value, bool bad = false) {
  return std::string("<td class=\"n") + (bad ? " bad" : "") + "\" data-v=\"" + std::to_string(value) + "\">" +
         grouped(value) + "</td>";
}

std::string error_cell(double value) {
  return number_cell(value, error_figure(value));
}

std::string command_box(const std::string& command) {
  return "<div class=\"command\"><code>" + html(command, 2000) +
         "</code><button type=\"button\" aria-label=\"Copy the command\">Copy</button></div>";
}

const char* icon(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "<path d=\"M4 13l5 5L20 6\"/>";
    case Verdict::kFail:
      return "<path d=\"M5 5l14 14M19 5L5 19\"/>";
    case Verdict::kIncomparable:
      return "<path d=\"M4 9h16M4 15h16M16 4L8 20\"/>";
    case Verdict::kInvalid:
      break;
  }
  return "<path d=\"M12 3v12M12 19v2\"/>";
}

std::string json_number(double value) {
  if (std::isfinite(value)) return error_figure(value);
  return "\"" + error_figure(value) + "\"";
}

std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

struct Attribute {
  std::string name, value;
};

/// An object's members, nested ones as "outer.inner", in the order of their names.
void flatten(const nlohmann::json& value, const std::string& prefix, std::vector<Attribute>& out) {
  if (out.size() >= 80) return;
  if (value.is_object()) {
    for (const auto& [name, member] : value.items()) {
      if (name == "binaries") continue;  // the receipt lists them
      std::string path = prefix;
      if (!path.empty()) path += '.';
      flatten(member, path.append(name), out);
    }
  } else if (value.is_string()) {
    out.push_back({prefix, value.get<std::string>()});
  } else if (value.is_array() && !value.empty() &&
             std::all_of(value.begin(), value.end(), [](const auto& v) { return v.is_string(); })) {
    std::string joined;
    for (const auto& v : value) joined += (joined.empty() ? "" : "; ") + v.template get<std::string>();
    out.push_back({prefix, joined});
  } else if (!value.is_null() && !(value.is_array() && value.empty())) {
    out.push_back({prefix, value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)});
  }
}

class Page {
 public:
  Page(const Report& report, AtomicFile& out) : report_(report), out_(out), grid_(report.grid) {
    grid_.coarsen(kMaxCells);
  }

  void write() {
    head();
    masthead();
    navigation();
    put("<main id=\"main\">\n<noscript><p>The plots, sorting and filtering need JavaScript; every figure of "
        "the "
        "tables is here without it.</p></noscript>\n");
    notes();
    located();
    first_failure();
    failures();
    heat_map();
    taps();
    margins();
    cases();
    environment();
    gates();
    other_records();
    put("</main>\n");
    footer();
    data();
    put("<script>");
    put(kPageJs);
    put("</script>\n</body>\n</html>\n");
  }

 private:
  void put(std::string_view text) { out_.write(text); }

  bool has_figures() const { return !report_.grid.empty(); }

  void head() {
    put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    put("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src " +
        sha256_source(kPageJsSha256) + "; style-src " + sha256_source(kPageCssSha256) +
        "; img-src data:; base-uri 'none'; form-action 'none'\">\n");
    put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"color-scheme\" content=\"light "
        "dark\">\n"
        "<link rel=\"icon\" href=\"data:,\">\n<title>");
    put(std::string(to_string(report_.verdict)) + " · " + html(model_name(report_), 80) +
        " · crossval</title>\n<style>");
    put(kPageCss);
    put("</style>\n</head>\n<body>\n<a class=\"skip-link\" href=\"#main\">Skip to the report</a>\n");
  }

  void masthead() {
    const char* verdict = to_string(report_.verdict);
    put(std::string("<div class=\"masthead ") + verdict + "\" role=\"banner\"><div>\n<p class=\"claim\">" +
        html(report_.claim, 600) +
        "</p>\n<div class=\"verdict\"><h1><svg viewBox=\"0 0 24 24\" fill=\"none\" "
        "stroke=\"currentColor\" stroke-width=\"3.2\" stroke-linecap=\"round\" stroke-linejoin=\"round\" "
        "aria-hidden=\"true\">" +
        icon(report_.verdict) + "</svg>" + verdict + "</h1></div>\n<p class=\"headline\">" + headline() +
        "</p>\n");
    const CaseCounts& n = report_.counts;
    put("<dl class=\"tiles\">\n");
    std::string others;
    if (n.fail > 0) others += grouped(n.fail) + " failed";
    if (n.incomparable > 0)
      others += (others.empty() ? "" : ", ") + grouped(n.incomparable) + " incomparable";
    if (n.invalid > 0) others += (others.empty() ? "" : ", ") + grouped(n.invalid) + " invalid";
    tile("Cases passed", grouped(n.pass) + " of " + grouped(std::max(n.total(), report_.planned_cases)),
         others.empty() ? "none failed" : others);
    tile("Comparisons made", grouped(report_.made), comparison_sentence(report_));
    if (report_.tokens.steps > 0) {
      tile("Token picks the same", grouped(report_.tokens.same) + " of " + grouped(report_.tokens.steps),
           "flips: " + grouped(report_.tokens.explained) + " explained, " +
               grouped(report_.tokens.unexplained) + " unexplained");
    }
    if (report_.expectations > 0) {
      tile("Answers as expected", grouped(report_.expectations_met) + " of " + grouped(report_.expectations),
           report_.expectations == report_.expectations_met
               ? "every expectation met"
               : grouped(report_.expectations - report_.expectations_met) + " not met");
    }
    Cell worst[2];
    std::uint64_t values[2] = {0, 0};
    std::uint64_t differing[2] = {0, 0};
    grid_.for_each([&](const GridRow& row, std::uint32_t, const Cell& c) {
      const std::size_t i = row.mode == Mode::kFree ? 1 : 0;
      worst[i].add(c);
      values[i] += c.values;
      differing[i] += c.values_differing;
    });
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      if (worst[i].comparisons == 0) continue;
      const std::string bits = values[i] == 0      ? std::string{}
                               : differing[i] == 0 ? std::string("every bit the same")
                                                   : share(values[i] - differing[i], values[i]) +
                                                         " of values the same in every bit";
      tile(i == 0 ? "Worst 1 − cosine, local" : "Worst 1 − cosine, free",
           error_figure(worst[i].one_minus_cosine), bits);
    }
    put("</dl>\n</div></div>\n");
  }

  /// The first clause says what matters most; what follows it is set smaller.
  std::string headline() const {
    const std::string text =
        shortened(report_.headline.empty() ? case_sentence(report_.counts) : report_.headline, 600);
    const std::size_t end = text.find("; ");
    if (end == std::string::npos) return escape_html(text);
    return escape_html(text.substr(0, end)) + " <span class=\"more\">" + escape_html(text.substr(end + 2)) +
           "</span>";
  }

  /// A share that says 100 % only where it is all.
  static std::string share(std::uint64_t part, std::uint64_t whole) {
    const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", percent);
    std::string out = text;
    if (part < whole && (out == "100")) out = "> 99.9";
    if (part > 0 && out == "0") out = "> 0";
    return out + " %";
  }

  void tile(const std::string& name, const std::string& value, const std::string& more) {
    put("<div><dt>" + name + "</dt><dd>" + value +
        (more.empty() ? std::string{} : "<small>" + more + "</small>") + "</dd></div>\n");
  }

  void navigation() {
    put("<nav class=\"nav\" aria-label=\"Parts of the report\"><div>\n");
    const auto link = [this](const char* id, const char* name) {
      put(std::string("<a href=\"#") + id + "\">" + name + "</a>\n");
    };
    if (!report_.failures.empty()) link("failures", "Failures");
    if (has_figures()) {
      link("heat", "Heat map");
      link("layers", "Along the layers");
      link("taps", "Taps");
    }
    if (report_.margins.total() > 0 || !report_.margins.flips().empty()) link("margins", "Margins");
    if (!report_.cases.empty()) link("cases", "Cases");
    link("environment", "Environment");
    link("gates", "Gates");
    put("</div></nav>\n");
  }

  void begin(const char* id, const std::string& title, const std::string& explanation,
             const std::string& controls = {}) {
    put(std::string("<section id=\"") + id + "\" aria-labelledby=\"" + id +
        "-title\">\n<header><div><h2 id=\"" + id + "-title\">" + title + "</h2>" +
        (explanation.empty() ? std::string{} : "<p>" + explanation + "</p>") + "</div>" + controls +
        "</header>\n");
  }

  void begin_table(const std::string& label, const std::string& attributes, const std::string& head_cells,
                   const std::string& body_id = {}) {
    put("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" + label + "\"><table " +
        attributes + "><caption>" + label + "</caption><thead><tr>" + head_cells + "</tr></thead>\n<tbody" +
        (body_id.empty() ? std::string{} : " id=\"" + body_id + "\"") + ">\n");
  }
  void end_table() { put("</tbody></table></div>\n"); }

  static std::string heads(std::initializer_list<const char*> names) {
    // A leading "#" marks a column of numbers, "-" one that is not sorted.
    std::string out;
    for (const std::string name : names) {
      const bool numeric = name[0] == '#';
      const bool unsorted = name[0] == '-';
      out += std::string("<th scope=\"col\"") + (numeric ? " class=\"n\"" : "") +
             (unsorted ? " data-unsorted" : "") + ">" + (numeric || unsorted ? name.substr(1) : name) +
             "</th>";
    }
    return out;
  }

  void notes() {
    if (report_.notes.empty()) return;
    put("<section class=\"callout INCOMPARABLE\" aria-label=\"Notes on the records\"><h2>Notes on the "
        "records</h2><ul>\n");
    for (const std::string& note : report_.notes) put("<li>" + html(note) + "</li>\n");
    put("</ul></section>\n");
  }

  /// Where the run found the sides to part, and what that looks like.
  void located() {
    if (!report_.summary) return;
    const auto it = report_.summary->find("located");
    if (it == report_.summary->end() || !it->is_object()) return;
    const auto& l = *it;
    const std::string who = text_of(l, "who");
    put("<section class=\"callout FAIL\" id=\"located\" aria-labelledby=\"located-title\"><h2 "
        "id=\"located-title\">"
        "The sides part in <code>" +
        html(text_of(l, "tap"), 80) + "</code>" + (who.empty() ? std::string{} : " · " + html(who, 60)) +
        "</h2>\n");
    const std::string likeness = text_of(l, "likeness");
    if (!likeness.empty()) put("<p class=\"likeness\">It " + html(likeness) + ".</p>\n");
    std::vector<Attribute> facts;
    const auto fact = [&facts, &l](const char* name, const char* key) {
      const auto member = l.find(key);
      if (member != l.end()) flatten(*member, name, facts);
    };
    fact("Case", "case");
    fact("Step", "step");
    fact("Row", "row");
    fact("Why", "why");
    fact("Evaluated by", "evaluator");
    if (const auto weights = l.find("weights"); weights != l.end()) flatten(*weights, "Weights", facts);
    put("<dl>");
    for (const Attribute& f : facts)
      put("<div><dt>" + html(f.name, 80) + "</dt><dd>" + html(f.value) + "</dd></div>");
    put("</dl></section>\n");
  }

  /// What to look at first: the failure that the run names, else the first that was recorded.
  void first_failure() {
    std::string quadrant;
    std::string case_id;
    std::string tap;
    std::string mode;
    std::int64_t step = -1;
    if (report_.summary) {
      quadrant = text_of(*report_.summary, "quadrant");
      if (const auto it = report_.summary->find("first_failure");
          it != report_.summary->end() && it->is_object()) {
        case_id = text_of(*it, "case");
        tap = text_of(*it, "tap");
        mode = text_of(*it, "mode");
        if (it->contains("step") && (*it)["step"].is_number_integer())
          step = (*it)["step"].get<std::int64_t>();
      }
    }
    const Failure* failure = nullptr;
    for (const Failure& f : report_.failures) {
      if (tap.empty()) {
        failure = &f;
        break;
      }
      if (f.comparison.tap == tap && f.comparison.step == step && report_.cases[f.case_index].id == case_id &&
          (mode.empty() || mode == to_string(f.comparison.mode))) {
        failure = &f;
        break;
      }
    }
    if (failure == nullptr && tap.empty()) return;
    put("<section class=\"callout FAIL\" id=\"first-failure\" aria-labelledby=\"first-failure-title\">"
        "<h2 id=\"first-failure-title\">First failure: ");
    put("<code>" + html(failure != nullptr ? failure->comparison.tap : tap, 80) + "</code>" +
        (quadrant.empty() ? std::string{} : " · " + html(quadrant, 60)) + "</h2>\n<dl>");
    const auto item = [this](const char* name, const std::string& value) {
      put(std::string("<div><dt>") + name + "</dt><dd>" + value + "</dd></div>");
    };
    if (failure == nullptr) {
      item("Case", html(case_id, kMaxShownId));
      if (step >= 0) item("Step", std::to_string(step));
      if (!mode.empty()) item("Mode", html(mode, 20));
      put("</dl></section>\n");
      return;
    }
    const Comparison& c = failure->comparison;
    const CaseReport& owner = report_.cases[failure->case_index];
    item("Case", case_link(owner));
    item("Step", std::to_string(c.step));
    item("Mode", to_string(c.mode));
    if (!c.why.empty()) item("Why", html(c.why));
    if (!c.blame.empty()) item("The arbiter says", html(c.blame));
    if (!c.gate.empty()) item("Gate", "<code>" + html(c.gate, 80) + "</code>");
    item("Row", std::to_string(c.row) + " of " + std::to_string(c.rows));
    if (c.at_row >= 0) item("At", "[" + std::to_string(c.at_row) + ", " + std::to_string(c.at_column) + "]");
    if (c.got) item("Got", "<span class=\"num\">" + value_figure(*c.got) + "</span>");
    if (c.expected) item("Expected", "<span class=\"num\">" + value_figure(*c.expected) + "</span>");
    item("Cosine", "<span class=\"num\">" + value_figure(c.cosine) + "</span>");
    item("NMSE", "<span class=\"num\">" + error_figure(c.nmse) + "</span>");
    item("Norm ratio", "<span class=\"num\">" + figure(c.norm_ratio) + "</span>");
    if (c.count > 0)
      item("Values that differ",
           grouped(c.bits) + " of " + grouped(c.count) + " (" + share(c.bits, c.count) + ")");
    if (c.integers_differing) item("Integer products that differ", grouped(*c.integers_differing));
    if (const std::string source = source_of(c); !source.empty())
      item("Computed in", "<code>" + html(source) + "</code>");
    put("</dl>");
    const std::string command = reproduce_command(report_, owner);
    if (!command.empty()) put("<p class=\"muted\">Reproduce</p>" + command_box(command));
    put("</section>\n");
  }

  /// "engine/kernels/avx2/elementwise.cpp:42, avx2::silu", where the side whose operation failed names its
  /// sources.
  std::string source_of(const Comparison& c) const {
    if (c.mode != Mode::kLocal) return {};
    const bool reference = c.blame == "reference wrong" || (c.blame.empty() && c.side == "reference");
    const auto side = report_.run.find(reference ? "reference" : "candidate");
    if (side == report_.run.end() || !side->is_object()) return {};
    const auto sources = side->find("sources");
    if (sources == side->end() || !sources->is_object()) return {};
    const auto source = sources->find(split_tap(c.tap).name);
    if (source == sources->end() || text_of(*source, "file").empty()) return {};
    const auto line = source->find("line");
    return text_of(*source, "file") + (line == source->end() ? "" : ":" + line->dump()) + ", " +
           text_of(*source, "function");
  }

  std::string command_cell(const CaseReport& c) const {
    const std::string command = reproduce_command(report_, c);
    if (command.empty()) return cell("–");
    return cell("<details><summary>command</summary>" + command_box(command) + "</details>");
  }

  void failures() {
    if (report_.failures.empty()) return;
    std::string explanation = "At the coordinates of the greatest difference: row of the step, column.";
    std::string rows;
    std::size_t shown = 0;
    for (const Failure& f : report_.failures) {
      const Comparison& c = f.comparison;
      const CaseReport& owner = report_.cases[f.case_index];
      std::string row =
          "<tr id=\"failure-" + std::to_string(shown + 1) + "\"><th scope=\"row\">" + case_link(owner) +
          "</th>" + number_cell(static_cast<double>(c.step), std::to_string(c.step)) +
          cell("<code>" + html(c.tap, 80) + "</code>") + cell(to_string(c.mode)) +
          cell(html(c.why.empty() ? c.gate : c.why, kMaxShownText), "text") +
          cell(c.at_row < 0 ? "–" : "[" + std::to_string(c.at_row) + ", " + std::to_string(c.at_column) + "]",
               "n") +
          (c.got ? number_cell(*c.got, value_figure(*c.got)) : cell("–", "n")) +
          (c.expected ? number_cell(*c.expected, value_figure(*c.expected)) : cell("–", "n")) +
          error_cell(1 - c.cosine) + error_cell(c.nmse) + number_cell(c.norm_ratio, figure(c.norm_ratio));
      row += command_cell(owner) + "</tr>\n";
      if (rows.size() + row.size() > kFailureBytes) break;
      rows += row;
      ++shown;
    }
    if (report_.failed > shown) {
      explanation += " " + grouped(shown) + " of " + grouped(report_.failed) +
                     " are listed, the first of each case; results.jsonl has all.";
    }
    begin("failures", "Failing comparisons", explanation,
          "<div class=\"controls\"><label>Filter failures<input type=\"search\" id=\"failure-filter\" "
          "placeholder=\"case, tap, reason\"></label><output id=\"failure-count\" "
          "for=\"failure-filter\"></output></div>");
    begin_table("Failing comparisons", "data-sortable",
                heads({"Case", "#Step", "Tap", "Mode", "Why", "-At", "#Got", "#Expected",
                       "#1\u00a0−\u00a0cosine", "#NMSE", "#Norm ratio", "-Reproduce"}),
                "failure-rows");
    put(rows);
    end_table();
    put("</section>\n");
  }

  void heat_map() {
    if (!has_figures()) return;
    begin("heat", "Heat map",
          "Layers by steps, then operations by layers; each cell is the worst row of any case. An error that "
          "starts in one operation stands out there in "
          "the "
          "local map; what follows from it, in the free-running one only.",
          "<div class=\"controls\"><label>Tap<select "
          "id=\"tap-select\"></select></label><label>Figure<select "
          "id=\"metric-select\"></select></label></div>");
    put("<div class=\"maps\" id=\"heat-maps\"></div><div class=\"legend\" id=\"heat-legend\"></div>"
        "<p class=\"readout\" id=\"heat-readout\" role=\"status\"></p></section>\n");
    begin("layers", "Error along the layers", "The same tap and figure, the worst of all steps and cases.");
    put("<div class=\"plot\" id=\"layers-plot\"></div><div class=\"legend\" id=\"layers-key\"></div>"
        "<details><summary>Figures as a table</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" "
        "aria-label=\"Error along the layers\"><table><caption>Error along the layers</caption><thead><tr>" +
        heads({"-Tap", "#Local", "#Free-running"}) +
        "</tr></thead><tbody id=\"layers-rows\"></tbody></table></div></details>"
        "</section>\n");
  }

  void taps() {
    if (!has_figures()) return;
    struct Row {
      Cell local, free_running;
    };
    std::map<std::uint32_t, Row> rows;
    grid_.for_each([&rows](const GridRow& row, std::uint32_t, const Cell& c) {
      (row.mode == Mode::kLocal ? rows[row.tap].local : rows[row.tap].free_running).add(c);
    });
    begin("taps", "Taps",
          "Worst figures over all layers, steps and cases, in the order of computation. A tap opens its heat "
          "map.");
    begin_table(
        "Worst figures of each tap", "class=\"taps\" data-sortable",
        heads({"Tap", "-Along the layers", "#Compared", "#Failed", "#Local 1\u00a0−\u00a0cosine",
               "#Local NMSE", "#Local |norm\u00a0−\u00a01|", "#Free 1\u00a0−\u00a0cosine", "#Free NMSE",
               "#Free |norm\u00a0−\u00a01|", "#Self-noise 1\u00a0−\u00a0cosine", "#Values the same"}));
    for (const auto& [tap, row] : rows) {
      Cell both = row.local;
      both.add(row.free_running);
      const std::string& name = report_.taps[tap];
      put("<tr id=\"tap-" + escape_fragment(name) + "\"><th scope=\"row\" data-tap=\"" + std::to_string(tap) +
          "\">" + html(name, 80) + "</th><td class=\"spark\" data-tap=\"" + std::to_string(tap) + "\"></td>" +
          count_cell(both.comparisons) + count_cell(both.failed, both.failed > 0));
      for (const Cell* c : {&row.local, &row.free_running}) {
        if (c->comparisons == 0) {
          put(cell("–", "n") + cell("–", "n") + cell("–", "n"));
        } else {
          put(error_cell(c->one_minus_cosine) + error_cell(c->nmse) + error_cell(c->norm_deviation));
        }
      }
      const double noise = self_noise(name, 0);
      put(std::isnan(noise) ? cell("–", "n") : error_cell(noise));
      put(both.values == 0 ? cell("–", "n")
                           : number_cell(static_cast<double>(both.values - both.values_differing) /
                                             static_cast<double>(both.values),
                                         both.values_differing == 0
                                             ? "all"
                                             : share(both.values - both.values_differing, both.values)));
      put("</tr>\n");
    }
    end_table();
    put("</section>\n");
  }

  /// 1 - cosine (0) or |norm ratio - 1| (1) of the reference against itself; NaN where not recorded.
  double self_noise(const std::string& tap, std::size_t which) const {
    if (!report_.summary) return std::nan("");
    const auto noise = report_.summary->find("self_noise");
    if (noise == report_.summary->end() || !noise->is_object()) return std::nan("");
    const auto it = noise->find(tap);
    if (it == noise->end() || !it->is_array() || it->size() <= which) return std::nan("");
    return number_of((*it)[which]);
  }

  double logit_noise() const {
    return report_.summary && report_.summary->contains("logit_noise")
               ? number_of((*report_.summary)["logit_noise"])
               : std::nan("");
  }

  std::string margins_label() const {
    return grouped(report_.margins.total()) +
           " tokens by the reference's top-2 margin and the greatest difference of one "
           "logit; " +
           grouped(report_.tokens.explained) + " flips explained by self-noise, " +
           grouped(report_.tokens.unexplained) + " not";
  }

  void margins() {
    if (report_.margins.total() == 0 && report_.margins.flips().empty()) return;
    begin("margins", "Margins of the tokens",
          "How close the picks came to flipping: each token's margin between the reference's best two "
          "logits, against the "
          "greatest difference of one logit between the sides. Diamonds are flips.");
    put("<div class=\"plot\" id=\"margin-plot\" data-label=\"" + escape_html(margins_label()) + "\"></div>");
    const auto& flips = report_.margins.flips();
    if (!flips.empty()) {
      put("<details><summary>Flips as a table</summary>");
      begin_table("Flips", "data-sortable",
                  heads({"Case", "#Step", "#Margin", "#Logits differ by", "Verdict"}));
      for (std::size_t i = 0; i < std::min<std::size_t>(flips.size(), 200); ++i) {
        const MarginPoint& f = flips[i];
        put("<tr><th scope=\"row\">" + case_link(report_.cases[f.case_index]) + "</th>" +
            count_cell(static_cast<std::uint64_t>(f.step)) + error_cell(f.margin) + error_cell(f.difference) +
            cell(f.explained ? "explained" : "unexplained", f.explained ? nullptr : "bad") + "</tr>\n");
      }
      end_table();
      put("</details>");
    }
    put("</section>\n");
  }

  std::string case_row(std::size_t index, bool with_text) const {
    const CaseReport& c = report_.cases[index];
    const char* state = to_string(c.state);
    std::string row = "<tr id=\"" + case_anchor(c.id) + "\" data-i=\"" + std::to_string(index) +
                      "\" data-state=\"" + state + "\"><td>" + badge(state) + "</td><th scope=\"row\">" +
                      html(c.id, kMaxShownId) + "</th>";
    if (with_text) {
      row += cell(shown_text(c.prompt), "text") + cell(shown_text(c.answer), "text");
      row += !c.expect ? cell("–")
                       : "<td class=\"text" + std::string(c.expect->met ? "" : " bad") + "\">" +
                             (c.expect->met ? "" : "✕ ") + html(c.expect->kind, 20) + " " +
                             shown_text(c.expect->want) + "</td>";
    } else {
      row += "<td></td><td></td><td>" +
             std::string(!c.expect       ? "–"
                         : c.expect->met ? "met"
                                         : "✕ not met") +
             "</td>";
    }
    const TokenFigures& t = c.token_figures;
    row += count_cell(c.tokens.size());
    row += t.explained + t.unexplained == 0
               ? "<td class=\"n\" data-v=\"0\">0</td>"
               : "<td class=\"n" + std::string(t.unexplained > 0 ? " bad" : "") + "\" data-v=\"" +
                     std::to_string(t.explained + t.unexplained) + "\">" + std::to_string(t.unexplained) +
                     " + " + std::to_string(t.explained) + "</td>";
    row += count_cell(c.comparisons) + count_cell(c.failed, c.failed > 0);
    row += c.local.comparisons > 0 ? error_cell(c.local.one_minus_cosine) : cell("–", "n");
    row += c.free_running.comparisons > 0 ? error_cell(c.free_running.one_minus_cosine) : cell("–", "n");
    std::string first;
    if (c.first_failure && !c.first_failure->tap.empty()) {
      first = "<code>" + html(c.first_failure->tap, 60) + "</code> step " +
              std::to_string(c.first_failure->step) + " " + html(c.first_failure->mode, 10);
    } else if (!c.reason.empty()) {
      first = html(c.reason, kMaxShownText);
    }
    row += cell(first.empty() ? "–" : first, "text");
    row += c.is_failing() ? command_cell(c) : cell("");
    return row + "</tr>\n";
  }

  void cases() {
    if (report_.cases.empty()) return;
    // Failing cases have the first claim on the room, then passing ones with, then without their texts.
    std::vector<std::string> rows(report_.cases.size());
    std::size_t bytes = 0;
    std::size_t without_text = 0;
    std::size_t shown = 0;
    for (const bool failing : {true, false}) {
      for (std::size_t i = 0; i < report_.cases.size(); ++i) {
        if (report_.cases[i].is_failing() != failing) continue;
        std::string row = case_row(i, bytes < kCaseBytesWithText);
        if (bytes >= kCaseBytesWithText) ++without_text;
        if (bytes + row.size() > kCaseBytes) {
          if (bytes >= kCaseBytesWithText) --without_text;
          break;
        }
        bytes += row.size();
        ++shown;
        rows[i] = std::move(row);
      }
    }
    std::string explanation = "Flips are counted as unexplained + explained.";
    if (shown < rows.size()) {
      explanation += " " + grouped(shown) + " of " + grouped(rows.size()) +
                     " cases fit on this page, failing ones first; report.json has all.";
    }
    if (without_text > 0) explanation += " Some are shown without their texts.";
    std::set<std::string> states;
    for (const CaseReport& c : report_.cases) states.insert(to_string(c.state));
    std::string options =
        "<option value=\"\">all</option><option value=\"failing\">all that did not pass</option>";
    for (const std::string& state : states)
      options.append("<option value=\"").append(state).append("\">").append(state).append("</option>");
    begin("cases", "Cases", explanation,
          "<div class=\"controls\"><label>Filter cases<input type=\"search\" id=\"case-filter\" "
          "placeholder=\"id, prompt, "
          "answer, tap\"></label><label>Verdict<select id=\"case-state\">" +
              options +
              "</select></label><output "
              "id=\"case-count\" for=\"case-filter case-state\"></output></div>");
    begin_table(
        "Cases", "data-sortable",
        heads({"Verdict", "Case", "Prompt", "Answer", "Expected", "#Tokens", "#Flips", "#Compared", "#Failed",
               "#Local 1\u00a0−\u00a0cosine", "#Free 1\u00a0−\u00a0cosine", "First failure", "-Reproduce"}),
        "case-rows");
    for (const std::string& row : rows) put(row);
    end_table();
    put("</section>\n");
  }

  void environment() {
    begin("environment", "Environment",
          "Both sides as they described themselves; lines that differ are marked.");
    const std::vector<std::pair<const char*, const char*>> sides = {
        {"candidate", "Candidate"}, {"reference", "Reference"}, {"arbiter", "Arbiter"}};
    std::vector<std::vector<Attribute>> columns;
    std::vector<const char*> names;
    for (const auto& [key, name] : sides) {
      const auto it = report_.run.find(key);
      if (it == report_.run.end() || !it->is_object()) continue;
      columns.emplace_back();
      // What identifies a participant comes first, its details after.
      for (const char* first : {"name", "version", "build", "isa", "threads"}) {
        if (it->contains(first)) flatten((*it)[first], first, columns.back());
      }
      for (const auto& [member, value] : it->items()) {
        if (member == "sources" || std::find(kFirst.begin(), kFirst.end(), member) != kFirst.end()) continue;
        flatten(value, member == "details" ? "" : member, columns.back());
      }
      names.push_back(name);
    }
    if (!columns.empty()) {
      std::vector<std::string> order;
      for (const auto& column : columns) {
        for (const Attribute& a : column) {
          if (std::find(order.begin(), order.end(), a.name) == order.end()) order.push_back(a.name);
        }
      }
      std::string head_cells = "<th scope=\"col\"><span class=\"hidden-label\">Attribute</span></th>";
      for (const char* name : names) head_cells += std::string("<th scope=\"col\">") + name + "</th>";
      begin_table("Participants", "", head_cells);
      for (const std::string& attribute : order) {
        std::string cells;
        std::vector<std::string> values;
        for (const auto& column : columns) {
          const auto it = std::find_if(column.begin(), column.end(),
                                       [&](const Attribute& a) { return a.name == attribute; });
          values.push_back(it == column.end() ? std::string{} : it->value);
          cells += cell(it == column.end() ? "–" : "<code>" + html(it->value) + "</code>");
        }
        // Candidate and reference; an arbiter is of another kind.
        const bool differs = columns.size() > 1 && values[0] != values[1] && attribute != "name";
        put(std::string("<tr") + (differs ? " class=\"differs\"" : "") + "><th scope=\"row\">" +
            html(attribute, 80) + (differs ? "<span class=\"hidden-label\"> (differs)</span>" : "") +
            "</th>" + cells + "</tr>\n");
      }
      end_table();
    }
    put("<br><div class=\"two\">\n");
    attribute_table("Run", {"time", "filter", "tokens_from", "reference_batch", "shard", "host", "crossval"});
    attribute_table("Inputs", {"model", "reference_model", "suite"});
    put("</div>\n");
    const std::string command = text_of(report_.run, "reproduce");
    if (!command.empty()) put("<br><h3>Command</h3>" + command_box(command));
    put("</section>\n");
  }

  void attribute_table(const char* title, std::initializer_list<const char*> members) {
    std::vector<Attribute> attributes;
    for (const char* member : members) {
      if (report_.run.contains(member)) flatten(report_.run[member], member, attributes);
    }
    if (attributes.empty()) return;
    put("<div><h3>" + std::string(title) + "</h3><table><caption class=\"hidden-label\">" + title +
        "</caption><tbody>\n");
    for (const Attribute& a : attributes) {
      put("<tr><th scope=\"row\">" + html(a.name, 80) + "</th><td><code>" + html(a.value) +
          "</code></td></tr>\n");
    }
    put("</tbody></table></div>\n");
  }

  void gates() {
    std::string hash;
    std::string source;
    const auto gates = report_.run.find("gates");
    const bool present = gates != report_.run.end() && gates->is_object();
    if (present) {
      hash = text_of(*gates, "sha256");
      source = text_of(*gates, "source");
    }
    begin("gates", "Gates",
          (source.empty() ? std::string{} : "From " + html(source, 200) + ". ") +
              (hash.empty() ? std::string{} : "SHA-256 <code>" + html(hash, 80) + "</code>"));
    if (present && gates->contains("list") && (*gates)["list"].is_array()) {
      begin_table("Gates", "", heads({"-Gate", "-Mode", "-Metric", "-Taps", "-Limit", "-Source"}));
      std::size_t shown = 0;
      for (const auto& gate : (*gates)["list"]) {
        if (!gate.is_object() || ++shown > 200) continue;
        std::string limit = text_of(gate, "limit");
        if (gate.contains("or_within_noise") && gate["or_within_noise"] == true)
          limit += " or within twice the self-noise";
        if (gate.contains("or_within_rounding") && gate["or_within_rounding"] == true)
          limit += " or within the rounding of the input";
        put("<tr><th scope=\"row\">" + html(text_of(gate, "name"), 80) + "</th>" +
            cell(html(text_of(gate, "mode"), 20)) + cell(html(text_of(gate, "metric"), 40)) +
            cell("<code>" + html(globs(gate), 300) + "</code>", "text") + cell(html(limit, 80)) +
            cell(html(text_of(gate, "source"), 200), "text") + "</tr>\n");
      }
      end_table();
    }
    rounding();
    put("</section>\n");
  }

  void rounding() {
    const std::vector<RoundedTap> taps = rounded_taps(report_);
    if (taps.empty()) return;
    begin_table("Rounding of inputs: the comparison of each tap that comes nearest to its bound", "",
                heads({"-Tap", "-Input rounded to", "#Share", "#Difference", "#Bound", "#Gain",
                       "#Gain, bound", "-Where", "-Source of the bound"}));
    for (const RoundedTap& t : taps) {
      put("<tr><th scope=\"row\">" + html(t.tap, 80) + "</th>" + cell(html(t.input, 80)));
      for (const double value : {t.share, t.difference, t.bound, t.gain, t.gain_bound})
        put(cell(html(error_figure(value), 40), "n"));
      put(cell(html(t.where, 200), "text") + cell(html(t.source, 300), "text") + "</tr>\n");
    }
    end_table();
  }

  static std::string globs(const nlohmann::json& gate) {
    const auto joined = [&gate](const char* name) {
      std::string out = text_of(gate, name);
      const auto it = gate.find(name);
      if (it != gate.end() && it->is_array()) {
        for (const auto& glob : *it) {
          if (glob.is_string()) out += (out.empty() ? "" : " ") + glob.get<std::string>();
        }
      }
      return out;
    };
    const std::string except = joined("except");
    return joined("taps") + (except.empty() ? "" : " except " + except);
  }

  void other_records() {
    if (!report_.canaries.empty()) {
      begin("canaries", "Canaries", "Faults planted in this run to see that they are caught.");
      begin_table("Canaries", "data-sortable", heads({"Fault", "Tap", "Case", "#Step", "Caught", "Verdict"}));
      for (std::size_t i = 0; i < std::min<std::size_t>(report_.canaries.size(), 200); ++i) {
        const Canary& c = report_.canaries[i];
        put("<tr><th scope=\"row\">" + html(c.fault, 120) + "</th>" +
            cell("<code>" + html(c.tap, 80) + "</code>") + cell(html(c.case_id, kMaxShownId)) +
            count_cell(static_cast<std::uint64_t>(c.step)) +
            cell(c.caught ? "yes" : "missed", c.caught ? nullptr : "bad") + cell(html(c.verdict, 20)) +
            "</tr>\n");
      }
      end_table();
      put("</section>\n");
    }
    std::vector<Attribute> skipped_taps;
    if (const auto it = report_.run.find("skipped_taps"); it != report_.run.end() && it->is_array()) {
      for (const auto& s : *it) {
        if (skipped_taps.size() < 200) skipped_taps.push_back({text_of(s, "tap"), text_of(s, "reason")});
      }
    }
    if (!report_.skips.empty() || !skipped_taps.empty()) {
      begin("skips", "Skipped", "What was not compared, and why.");
      begin_table("Skipped", "data-sortable", heads({"Tap", "#Comparisons", "Reason"}));
      for (const Attribute& s : skipped_taps) {
        put("<tr><th scope=\"row\">" + html(s.name, 80) + "</th>" + cell("–", "n") + cell(html(s.value)) +
            "</tr>\n");
      }
      for (std::size_t i = 0; i < std::min<std::size_t>(report_.skips.size(), 200); ++i) {
        const SkipGroup& s = report_.skips[i];
        put("<tr><th scope=\"row\">" + (s.tap.empty() ? std::string("–") : html(s.tap, 80)) + "</th>" +
            count_cell(s.count) + cell(html(s.reason)) + "</tr>\n");
      }
      end_table();
      put("</section>\n");
    }
    if (report_.baseline) {
      const BaselineReport& b = *report_.baseline;
      begin("baseline", "Against the baseline", "");
      put("<p>" + html(b.headline, 600) + "; baseline <code>" + html(b.file, 200) + "</code> of " +
          html(b.time, 40) + "</p>\n");
      begin_table("Baseline", "data-sortable",
                  heads({"Figure", "#Baseline", "#Now", "#Change", "#Noise", "Verdict"}));
      for (const BaselineRow* row : ordered_rows(b)) {
        const bool compared = row->verdict != "not compared";
        const auto figures = [&](double value) {
          return compared ? number_cell(value, html(amount(*row, value), 60)) : cell("–", "n");
        };
        put("<tr><th scope=\"row\">" + html(row->what, 120) + "</th>" + figures(row->base) +
            figures(row->now) + cell(html(change(*row), 40), "n") +
            (row->unit == "tokens/s" ? number_cell(row->noise, error_figure(100 * row->noise) + " %")
                                     : cell("–", "n")) +
            cell(html(row->verdict + (row->why.empty() ? "" : ": " + row->why), 400)) + "</tr>\n");
      }
      end_table();
      put("</section>\n");
    }
    if (!report_.performance.empty()) {
      begin("performance", "Time", "As measured in this run, observing every tap; not a benchmark.");
      begin_table("Time", "data-sortable",
                  heads({"Participant", "What", "#Tokens", "#Seconds", "#Tokens per second"}));
      for (std::size_t i = 0; i < std::min<std::size_t>(report_.performance.size(), 200); ++i) {
        const Performance& p = report_.performance[i];
        const double rate =
            p.seconds > 0 && p.tokens > 0 ? static_cast<double>(p.tokens) / p.seconds : std::nan("");
        put("<tr><th scope=\"row\">" + html(p.participant, 80) + "</th>" + cell(html(p.what, 120)) +
            (p.tokens == 0 ? cell("–", "n") : count_cell(p.tokens)) +
            number_cell(p.seconds, figure(p.seconds)) +
            (std::isnan(rate) ? cell("–", "n") : number_cell(rate, error_figure(rate))) + "</tr>\n");
      }
      end_table();
      put("</section>\n");
    }
  }

  void footer() {
    put("<footer><p>crossval " +
        html(report_.run.contains("crossval") ? text_of(report_.run["crossval"], "version") : std::string{},
             40) +
        " · " + html(text_of(report_.run, "time"), 40) + " · exit code " + std::to_string(report_.exit_code) +
        " · the same figures are in report.json, junit.xml and summary.md; every comparison is in "
        "results.jsonl</p></footer>\n");
  }

  /// What the script draws, see page.js.
  void data() {
    std::string out = "{\"columns\":[";
    for (std::uint32_t i = 0; i < grid_.columns(); ++i) {
      out += (i == 0 ? "[" : ",[") + std::to_string(grid_.first_step(i)) + "," +
             std::to_string(grid_.last_step(i)) + "]";
    }
    out += "],\"taps\":[";
    for (std::size_t i = 0; i < report_.taps.size(); ++i) {
      out += (i == 0 ? "" : ",") + json_text(shortened(report_.taps[i], 80));
    }
    out += "],\"cells\":{";
    put("<script type=\"application/json\" id=\"report-data\">");
    put(escape_script_json(out));
    cells();
    out = "},\"noise\":[";
    for (std::size_t i = 0; i < report_.taps.size(); ++i) {
      const double cosine = self_noise(report_.taps[i], 0);
      out += i == 0 ? "" : ",";
      out += std::isnan(cosine)
                 ? "null"
                 : "[" + json_number(cosine) + "," + json_number(self_noise(report_.taps[i], 1)) + "]";
    }
    out += "],\"limits\":{";
    for (const Mode mode : {Mode::kLocal, Mode::kFree}) {
      out += (mode == Mode::kLocal ? "\"" : ",\"") + std::string(to_string(mode)) + "\":[";
      for (std::size_t i = 0; i < report_.taps.size(); ++i) {
        out += i == 0 ? "[" : ",[";
        for (const char* metric : {"cosine", "nmse", "norm_ratio_error"}) {
          const double limit = gate_limit(report_, mode, report_.taps[i], metric);
          out += (metric[0] == 'c' ? "" : ",") +
                 (std::isfinite(limit) ? json_number(limit) : std::string("null"));
        }
        out += "]";
      }
      out += "]";
    }
    out += "},\"margins\":{\"first\":" + std::to_string(MarginPlot::kFirstDecade) +
           ",\"last\":" + std::to_string(MarginPlot::kLastDecade) +
           ",\"perDecade\":" + std::to_string(MarginPlot::kBinsPerDecade) +
           ",\"noise\":" + json_number(logit_noise()) + ",\"bins\":[";
    bool first = true;
    for (int x = 0; x < MarginPlot::kBins; ++x) {
      for (int y = 0; y < MarginPlot::kBins; ++y) {
        const std::uint64_t n = report_.margins.count(x, y);
        if (n == 0) continue;
        out += (first ? "[" : ",[") + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(n) +
               "]";
        first = false;
      }
    }
    out += "],\"flips\":[";
    first = true;
    for (const MarginPoint& f : report_.margins.flips()) {
      out += (first ? "[" : ",[") + json_number(f.margin) + "," + json_number(f.difference) + "," +
             std::to_string(f.case_index) + "," + std::to_string(f.step) + "," +
             (f.explained ? "true" : "false") + "]";
      first = false;
    }
    out += "]}}";
    put(escape_script_json(out));
    put("</script>\n");
  }

  /// {"local": {TAP: {LAYER: [cell or 0 by column]}}, "free": ...}, indices of taps as keys.
  void cells() {
    std::map<std::pair<bool, std::uint32_t>, std::map<std::int32_t, std::vector<const Cell*>>> maps;
    grid_.for_each([&](const GridRow& row, std::uint32_t column, const Cell& c) {
      std::vector<const Cell*>& line = maps[{row.mode == Mode::kFree, row.tap}][row.layer];
      line.resize(grid_.columns(), nullptr);
      line[column] = &c;
    });
    bool free_running = false;
    std::string out = "\"local\":{";
    bool first_tap = true;
    for (const auto& [key, layers] : maps) {
      if (key.first && !free_running) {
        free_running = true;
        first_tap = true;
        out += "},\"free\":{";
      }
      out += (first_tap ? "\"" : ",\"") + std::to_string(key.second) + "\":{";
      first_tap = false;
      bool first_layer = true;
      for (const auto& [layer, line] : layers) {
        out += (first_layer ? "\"" : ",\"") + std::to_string(layer) + "\":[";
        first_layer = false;
        for (std::size_t i = 0; i < line.size(); ++i) {
          if (i > 0) out += ",";
          if (line[i] == nullptr) {
            out += "0";
            continue;
          }
          const Cell& c = *line[i];
          out += "[" + json_number(c.one_minus_cosine) + "," + json_number(c.nmse) + "," +
                 json_number(c.norm_deviation) + "," + json_number(c.max_abs) + "," +
                 std::to_string(c.comparisons) + "," + std::to_string(c.failed) + "," +
                 std::to_string(c.case_index) + "," + std::to_string(c.step) + "]";
        }
        out += "]";
      }
      out += "}";
      put(out);
      out.clear();
    }
    put(out);
    put(free_running ? "}" : "},\"free\":{}");
  }

  static constexpr std::array<std::string_view, 5> kFirst = {"name", "version", "build", "isa", "threads"};
  const Report& report_;
  AtomicFile& out_;
  StepGrid grid_;
};

}  // namespace

void write_html(const Report& report, AtomicFile& out) {
  Page(report, out).write();
}

}  // namespace crossval::reports
