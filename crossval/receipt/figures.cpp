#include "crossval/receipt/figures.h"

#include <algorithm>
#include <cmath>

#include "crossval/receipt/read_records.h"
#include "crossval/records/record_file.h"
#include "reports/report.h"
#include "reports/step_grid.h"

namespace crossval {

using nlohmann::json;

void Figures::add(const reports::Comparison& c) {
  ++comparisons;
  failed += !c.passed();
  const bool local = c.mode == reports::Mode::kLocal;
  TapFigures& tap = taps[{local ? "local" : "free", reports::split_tap(c.tap).name}];
  const double distance = 1 - c.cosine;
  if (tap.comparisons == 0 || reports::worse(distance, tap.one_minus_cosine)) {
    tap.one_minus_cosine = distance;
    tap.tap = c.tap;
    tap.case_id = c.case_id;
    tap.step = c.step;
  }
  const auto keep = [](double& kept, double value) {
    if (reports::worse(value, kept)) kept = value;
  };
  keep(tap.nmse, c.nmse);
  keep(tap.norm_deviation, std::abs(c.norm_ratio - 1));
  keep(tap.max_abs, c.max_abs);
  ++tap.comparisons;
  tap.failed += !c.passed();
  tap.values += c.count;
  tap.bits += c.bits;
  tap.integers_differing += c.integers_differing.value_or(0);
  if (c.kl && !local && (!kl || reports::worse(*c.kl, *kl))) kl = *c.kl;
}

void Figures::add(const json& record) {
  const auto& type = record.at("type").get_ref<const std::string&>();
  if (type == "tokens") {
    ++steps;
    const auto& verdict = record.at("verdict");
    ++(verdict == "PASS" ? same : verdict == "EXPLAINED" ? explained : unexplained);
  } else if (type == "case") {
    ++cases[record.at("verdict").get<std::string>()];
    if (const auto expect = record.find("expect"); expect != record.end() && expect->is_object())
      answers[record.at("id").get<std::string>()] = expect->at("met").get<bool>();
  } else if (type == "skip") {
    skipped += record.at("count").get<std::int64_t>();
  } else if (type == "perplexity") {
    if (const auto candidate = record.find("candidate"); candidate != record.end())
      perplexity = reports::number_of(candidate->at("value"));
  } else if (type == "canary") {
    ++canaries;
    canaries_caught += record.at("caught").get<bool>();
  }
}

Figures figures_of(const std::filesystem::path& results) {
  Figures figures;
  read_records(results,
               {.comparison = [&](const reports::Comparison& c, std::string_view) { figures.add(c); },
                .other = [&](const json& record) { figures.add(record); }});
  return figures;
}

json to_json(const Figures& f) {
  json cases = json::object();
  for (const char* verdict : {"PASS", "FAIL", "INCOMPARABLE", "INVALID"}) {
    const auto it = f.cases.find(verdict);
    cases[verdict] = it == f.cases.end() ? 0 : it->second;
  }
  json worst = json::array();
  for (const auto& [name, t] : f.taps)
    worst.push_back({{"mode", name.first},
                     {"tap", name.second},
                     {"comparisons", t.comparisons},
                     {"failed", t.failed},
                     {"one_minus_cosine", json_number(t.one_minus_cosine)},
                     {"nmse", json_number(t.nmse)},
                     {"norm_deviation", json_number(t.norm_deviation)},
                     {"max_abs", json_number(t.max_abs)},
                     {"values", t.values},
                     {"values_differing", t.bits},
                     {"integers_differing", t.integers_differing},
                     {"at", {{"tap", t.tap}, {"case", t.case_id}, {"step", t.step}}}});
  const auto met = std::ranges::count_if(f.answers, [](const auto& answer) { return answer.second; });
  return {
      {"cases", cases},
      {"comparisons", {{"made", f.comparisons}, {"failed", f.failed}, {"skipped", f.skipped}}},
      {"picks",
       {{"steps", f.steps}, {"same", f.same}, {"explained", f.explained}, {"unexplained", f.unexplained}}},
      {"answers", {{"asked", f.answers.size()}, {"met", met}}},
      {"canaries", {{"released", f.canaries}, {"caught", f.canaries_caught}}},
      {"kl", f.kl ? json_number(*f.kl) : json()},
      {"perplexity", f.perplexity ? json_number(*f.perplexity) : json()},
      {"worst", worst}};
}

}  // namespace crossval
