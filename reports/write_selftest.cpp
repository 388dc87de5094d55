#include "reports/write_selftest.h"

#include <map>
#include <vector>

#include "reports/escape.h"

namespace crossval::reports {
namespace {

using nlohmann::json;

std::string number(const json& selftest, const char* key) {
  return std::to_string(selftest.at(key).get<std::int64_t>());
}

// A fault, planted on the one side and on the other.
struct Row {
  std::string name, precedent, expected;
  std::map<std::string, const json*> sides;
};

std::vector<Row> rows_of(const json& selftest) {
  std::vector<Row> rows;
  for (const json& f : selftest.at("faults")) {
    if (rows.empty() || rows.back().name != f.at("name"))
      rows.push_back({f.at("name"), f.at("precedent"), f.at("expected"), {}});
    rows.back().sides[f.at("planted_on")] = &f;
  }
  return rows;
}

bool right(const json& f) {
  return f.at("detected").get<bool>() && f.at("side_ok").get<bool>() && f.at("operation_ok").get<bool>();
}

// "blamed", "candidate wrong in ffn_act-0", "missed".
std::string outcome(const json& f) {
  if (right(f)) return "blamed";
  if (!f.at("detected").get<bool>()) return "missed";
  if (f.at("who").get<std::string>().empty()) return "detected, nobody blamed";
  return f.at("who").get<std::string>() + " in " + f.at("operation").get<std::string>();
}

}  // namespace

std::string selftest_headline(const json& selftest) {
  const std::string planted = number(selftest, "planted");
  return std::string(selftest.at("pass").get<bool>() ? "PASS" : "FAIL") + ": of " + planted +
         " planted faults " + number(selftest, "detected") + " detected, " + number(selftest, "side_ok") +
         " blamed on the right side, " + number(selftest, "operation_ok") + " on the very operation; " +
         number(selftest, "false_alarms") + " alarms in " + number(selftest, "clean_runs") + " clean runs";
}

std::string selftest_markdown(const json& selftest) {
  std::string out = "# Selftest\n\n" + escape_markdown(selftest_headline(selftest)) + "\n";
  for (const json& alarm : selftest.at("alarms"))
    out += "\n- false alarm: " + escape_markdown(alarm.at("run").get<std::string>()) + ": " +
           escape_markdown(alarm.at("headline").get<std::string>());
  out +=
      "\n\n| fault | operation | on the candidate | on the reference | looks like |\n| --- | --- | --- | --- "
      "| --- |\n";
  for (const bool missed_first : {true, false})
    for (const Row& row : rows_of(selftest)) {
      bool all_right = true;
      for (const auto& [side, f] : row.sides) all_right = all_right && right(*f);
      if (all_right == missed_first) continue;
      out += "| " + markdown_code(row.name) + " | " + markdown_code(row.expected);
      std::string likeness;
      for (const char* side : {"candidate", "reference"}) {
        const auto it = row.sides.find(side);
        out +=
            " | " + (it == row.sides.end() ? std::string("not run") : escape_markdown(outcome(*it->second)));
        if (it != row.sides.end() && likeness.empty())
          likeness = it->second->at("likeness").get<std::string>();
      }
      out += " | " + escape_markdown(likeness) + " |\n";
    }
  return out;
}

std::string selftest_html(const json& selftest) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>crossval selftest</title>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
      ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem "
      "auto;max-width:70rem;"
      "padding:0 1rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;"
      "border-bottom:1px solid "
      "#8884;vertical-align:top}.good{color:#1a7f37}.bad{color:#cf222e;font-weight:600}"
      "small{opacity:.75}@media(prefers-color-scheme:dark){.good{color:#3fb950}.bad{color:#f85149}}\n"
      "</style></head><body>\n<h1>Selftest</h1>\n<p class=\"" +
      std::string(selftest.at("pass").get<bool>() ? "good" : "bad") + "\">" +
      escape_html(selftest_headline(selftest)) + "</p>\n";
  for (const json& alarm : selftest.at("alarms"))
    out += "<p class=\"bad\">False alarm: " + escape_html(alarm.at("run").get<std::string>()) + ": " +
           escape_html(alarm.at("headline").get<std::string>()) + "</p>\n";
  out +=
      "<table><caption>Each fault, planted into the forward pass of either side</caption>\n<thead><tr><th "
      "scope=\"col\">fault</th><th scope=\"col\">operation</th><th scope=\"col\">on the candidate</th><th "
      "scope=\"col\">on the reference</th><th scope=\"col\">looks like</th></tr></thead>\n<tbody>\n";
  for (const Row& row : rows_of(selftest)) {
    out += "<tr><th scope=\"row\">" + escape_html(row.name) +
           (row.precedent.empty() ? "" : "<br><small>" + escape_html(row.precedent) + "</small>") +
           "</th><td>" + escape_html(row.expected) + "</td>";
    std::string likeness;
    for (const char* side : {"candidate", "reference"}) {
      const auto it = row.sides.find(side);
      if (it == row.sides.end()) {
        out += "<td>not run</td>";
        continue;
      }
      out += std::string("<td class=\"") + (right(*it->second) ? "good" : "bad") + "\">" +
             escape_html(outcome(*it->second)) + "</td>";
      if (likeness.empty()) likeness = it->second->at("likeness").get<std::string>();
    }
    out += "<td>" + escape_html(likeness) + "</td></tr>\n";
  }
  return out + "</tbody></table>\n</body></html>\n";
}

}  // namespace crossval::reports
