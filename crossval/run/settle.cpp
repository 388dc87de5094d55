#include "crossval/run/settle.h"

#include <limits>
#include <string>

#include "crossval/run/case_runner.h"
#include "crossval/run/totals.h"

namespace crossval {
namespace {

using nlohmann::json;

constexpr std::string_view kBeyond = ", and beyond twice the self-noise";

double number_of(const json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

json place_of(const json& comparison) {
  return {{"step", comparison.at("step")}, {"tap", comparison.at("tap")}, {"mode", comparison.at("mode")}};
}

bool judged_by_noise(std::string_view comparison_line) {
  return comparison_line.find("\"noise\":[") != std::string_view::npos ||
         comparison_line.find(kBeyond) != std::string_view::npos;
}

void Settlement::judge_comparison(json& record, const SelfNoise& noise) {
  const auto tap = bitnet::parse_tap(record.at("tap").get<std::string>());
  const Noise& allowed = noise.taps[static_cast<std::size_t>(tap.value().tap)];
  RowMetrics row;
  row.cosine = number_of(record.at("cosine"));
  row.norm_ratio = number_of(record.at("norm_ratio"));
  if (within_noise(row, allowed)) {
    record["verdict"] = to_string(Verdict::pass);
    record["noise"] = {allowed.cosine, allowed.norm};
    record.erase("why");
    return;
  }
  const std::string why = record.at("why");
  if (!why.ends_with(kBeyond)) record["why"] = why + std::string(kBeyond);
  ++failed;
  if (first_failure.is_null()) first_failure = place_of(record);
}

void Settlement::judge_tokens(json& record, const SelfNoise& noise) {
  const bool excused =
      record.at("margin").is_number() && record.at("margin").get<double>() <= 2 * noise.logit;
  record["verdict"] = excused ? "EXPLAINED" : "FAIL";
  ++(excused ? explained : unexplained);
}

void Settlement::apply(json& record) const {
  const auto add = [](json& count, std::int64_t more) { count = count.get<std::int64_t>() + more; };
  add(record["failed"], failed);
  add(record["flips"]["explained"], explained);
  add(record["flips"]["unexplained"], unexplained);
  // Steps are numbered; within one step the order of the records is lost, so the earlier step wins.
  json& first = record["first_failure"];
  if (!first_failure.is_null() && (first.is_null() || first_failure["step"] < first["step"]))
    first = first_failure;
  if (verdict_from(record.at("verdict")) > Verdict::fail) return;
  const bool met = record["expect"].is_null() || record["expect"].at("met").get<bool>();
  record["verdict"] = to_string(case_verdict(record["failed"], record["flips"]["unexplained"], met));
}

}  // namespace crossval
