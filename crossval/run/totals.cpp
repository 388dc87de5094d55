#include "crossval/run/totals.h"

#include <limits>

#include "crossval/run/noise_json.h"

namespace crossval {

using nlohmann::json;

void merge_rounding(json& into, const json& other) {
  // A share that is no number (infinite, or NaN) is written as text, and stands above all.
  const auto share = [](const json& figures) {
    const json& value = figures.at("share");
    return value.is_number() ? value.get<double>() : std::numeric_limits<double>::infinity();
  };
  for (const auto& [tap, figures] : other.items())
    if (!into.contains(tap) || share(figures) > share(into.at(tap))) into[tap] = figures;
}

void Totals::add(const json& record) {
  const Verdict v = verdict_from(record.at("verdict"));
  ++cases[v];
  verdict = worse(verdict, v);
  const auto count = [](const json& object, const char* key) { return object.at(key).get<std::int64_t>(); };
  tally.planned += count(record, "planned");
  tally.made += count(record, "comparisons");
  tally.skipped += count(record, "skipped");
  tally.failed += count(record, "failed");
  tally.flips_explained += count(record.at("flips"), "explained");
  tally.flips_unexplained += count(record.at("flips"), "unexplained");
  answers_wrong += !record.at("expect").is_null() && !record.at("expect").at("met").get<bool>();
  if (tally.first_failure.is_null() && !record.at("first_failure").is_null()) {
    tally.first_failure = record.at("first_failure");
    tally.first_failure["case"] = record.at("id");
  }
  if (count(record, "comparisons") > 0) {
    const auto zero = record.value("zero_taps", std::set<std::string>{});
    if (!zero_taps) zero_taps = zero;
    std::erase_if(*zero_taps, [&](const std::string& tap) { return !zero.contains(tap); });
  }
  if (record.contains("rounding")) merge_rounding(tally.rounding, record.at("rounding"));
  if (tally.guilty.is_null() && record.contains("guilty") && !record.at("guilty").is_null()) {
    tally.guilty = record.at("guilty");
    tally.guilty["case"] = record.at("id");
  }
}

void Totals::hold_against(const json& record) {
  baseline = record;
  verdict = worse(verdict, verdict_from(record.at("verdict")));
}

void Totals::locate(const json& location) {
  located = location;
  if (location.at("who").is_null() || location.at("who") == to_string(Blame::unclear)) return;
  tally.guilty = {{"who", location.at("who")},
                  {"step", location.at("step")},
                  {"tap", location.at("tap")},
                  {"case", location.at("case")}};
}

json quadrant_of(const Totals& totals) {
  if (totals.verdict > Verdict::fail) return nullptr;
  const Tally& t = totals.tally;
  if (!t.guilty.is_null()) return t.guilty.at("who");
  return t.failed == 0 && t.flips_unexplained == 0 ? "agree" : "cannot tell";
}

Verdict verdict_from(const std::string& text) {
  for (Verdict v : {Verdict::pass, Verdict::fail, Verdict::incomparable})
    if (text == to_string(v)) return v;
  return Verdict::invalid;
}

std::string headline_of(const Totals& totals) {
  const Tally& t = totals.tally;
  const auto passed = totals.cases.contains(Verdict::pass) ? totals.cases.at(Verdict::pass) : 0;
  std::int64_t all = 0;
  for (const auto& [verdict, n] : totals.cases) all += n;
  std::string text = std::string(to_string(totals.verdict)) + ": ";
  if (!t.guilty.is_null())
    text += t.guilty.at("who").get<std::string>() + " in " + t.guilty.at("tap").get<std::string>() +
            " at step " + std::to_string(t.guilty.at("step").get<std::int64_t>()) + " of case " +
            t.guilty.at("case").get<std::string>() + "; ";
  if (totals.located.contains("likeness"))
    text += totals.located.at("tap").get<std::string>() + ": " +
            totals.located.at("likeness").get<std::string>() + "; ";
  text += std::to_string(passed) + " of " + std::to_string(all) + " cases pass; " + std::to_string(t.made) +
          " comparisons made of " + std::to_string(t.planned) + " planned";
  if (t.failed) text += ", " + std::to_string(t.failed) + " failed";
  if (t.skipped) text += ", " + std::to_string(t.skipped) + " skipped";
  if (totals.answers_wrong) text += "; " + std::to_string(totals.answers_wrong) + " answers not as expected";
  if (t.flips_explained) text += "; " + std::to_string(t.flips_explained) + " token flips explained";
  if (t.flips_unexplained) text += "; " + std::to_string(t.flips_unexplained) + " token flips unexplained";
  if (!totals.baseline.is_null()) text += "; " + totals.baseline.at("headline").get<std::string>();
  if (!t.first_failure.is_null())
    text += "; first failure: " + t.first_failure.at("tap").get<std::string>() + " (" +
            t.first_failure.at("mode").get<std::string>() + ") at step " +
            std::to_string(t.first_failure.at("step").get<std::int64_t>()) + " of case " +
            t.first_failure.at("case").get<std::string>();
  return text;
}

RunResult result_of(const reports::Rendered& rendered, const Totals& totals, const std::string& claim) {
  RunResult result{totals.verdict, claim, headline_of(totals)};
  const Verdict seen = verdict_from(rendered.verdict);
  if (seen != totals.verdict) {
    result.verdict = worse(totals.verdict, seen);
    result.headline = rendered.verdict + ": " + rendered.headline;
  }
  return result;
}

json summary_record(const Totals& totals, const SelfNoise& noise) {
  const auto count = [&](Verdict v) {
    const auto it = totals.cases.find(v);
    return it == totals.cases.end() ? 0 : it->second;
  };
  const Tally& t = totals.tally;
  json record = {{"type", "summary"},
                 {"planned", t.planned},
                 {"made", t.made},
                 {"skipped", t.skipped},
                 {"failed", t.failed},
                 {"flips", {{"explained", t.flips_explained}, {"unexplained", t.flips_unexplained}}},
                 {"answers_wrong", totals.answers_wrong},
                 {"verdict", to_string(totals.verdict)},
                 {"exit", static_cast<int>(exit_code(totals.verdict))},
                 {"headline", headline_of(totals)},
                 {"cases",
                  {{"pass", count(Verdict::pass)},
                   {"fail", count(Verdict::fail)},
                   {"incomparable", count(Verdict::incomparable)},
                   {"invalid", count(Verdict::invalid)}}},
                 {"self_noise", json::object()},
                 {"logit_noise", noise.logit},
                 {"rounding", t.rounding},
                 {"first_failure", t.first_failure},
                 {"guilty", t.guilty},
                 {"located", totals.located},
                 {"quadrant", quadrant_of(totals)}};
  json& coverage = record["coverage"] = json::array();
  for (const GateCoverage& gate : totals.coverage)
    coverage.push_back(
        {{"gate", gate.gate}, {"compared", gate.compared}, {"min_compared", gate.min_compared}});
  if (noise.measured) record["self_noise"] = to_json(noise)["taps"];
  return record;
}

}  // namespace crossval
