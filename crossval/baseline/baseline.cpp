#include "crossval/baseline/baseline.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "crossval/errors.h"
#include "crossval/records/record_file.h"
#include "crossval/records/sha256.h"
#include "crossval/verdict.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "reports/atomic_file.h"
#include "reports/report.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using bitnet::InputError;
using nlohmann::json;

constexpr const char* kSchema = "crossval.baseline/1";
constexpr std::size_t kRunsKept = 5;

std::string shown(const json& value) {
  return bitnet::gguf::printable(value.is_string() ? value.get<std::string>() : value.dump(), 100);
}

json accuracy_of(const Figures& f) {
  json worst = json::array();
  for (const auto& [name, tap] : f.taps)
    worst.push_back({{"mode", name.first},
                     {"tap", name.second},
                     {"one_minus_cosine", json_number(tap.one_minus_cosine)}});
  return {{"worst", worst},
          {"kl", f.kl ? json_number(*f.kl) : json()},
          {"perplexity", f.perplexity ? json_number(*f.perplexity) : json()},
          {"answers", f.answers}};
}

json run_of_speeds(std::span<const Speed> speeds, const std::string& time, const std::string& programs) {
  json run = {{"time", time}, {"programs", programs}};
  for (const Speed& s : speeds)
    run[s.phase] = {{"tokens", s.tokens}, {"tokens_per_second", s.tokens_per_second}};
  return run;
}

std::string percent(double base, double now) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.1f %%", 100 * (now / base - 1));
  return text;
}

std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

class Rows {
 public:
  void error(const std::string& what, const json& base, double now) {
    const double before = reports::number_of(base);
    add(what, "error", before, now, kErrorNoise, change_of_error(before, now));
  }
  void speed(const std::string& what, double base, double now, double noise) {
    add(what, "tokens/s", base, now, noise, change_of_speed(base, now, noise));
  }
  void answers(const std::map<std::string, bool>& base, const std::map<std::string, bool>& now) {
    std::string lost;
    std::int64_t before = 0, after = 0, won = 0;
    for (const auto& [id, met] : base) {
      const auto it = now.find(id);
      const bool still = it != now.end() && it->second;
      before += met;
      after += still;
      won += still && !met;
      if (met && !still) lost += (lost.empty() ? "" : ", ") + bitnet::gguf::printable(id, 60);
    }
    const Change change = !lost.empty() ? Change::worse : won > 0 ? Change::better : Change::same;
    add("answers as expected", "answers", static_cast<double>(before), static_cast<double>(after), 0, change);
    if (!lost.empty()) list_.back()["why"] = "no longer as expected: " + lost.substr(0, 400);
  }
  void not_compared(const std::string& what, const std::string& why) {
    list_.push_back({{"what", what}, {"verdict", "not compared"}, {"why", why}});
  }

  const json& list() const { return list_; }
  Verdict verdict() const { return worse_.empty() ? Verdict::pass : Verdict::fail; }
  std::string headline() const {
    if (!worse_.empty()) return "worse than the baseline: " + worse_;
    std::string text = "not worse than the baseline";
    std::string noisy;
    for (const json& row : list_)
      if (row.at("verdict") == to_string(Change::within_noise))
        noisy += (noisy.empty() ? "" : ", ") + row.at("what").get<std::string>();
    if (!noisy.empty()) text += " (within noise: " + noisy + ")";
    return text;
  }

 private:
  void add(const std::string& what, const std::string& unit, double base, double now, double noise,
           Change change) {
    list_.push_back({{"what", what},
                     {"unit", unit},
                     {"base", json_number(base)},
                     {"now", json_number(now)},
                     {"noise", json_number(noise)},
                     {"verdict", to_string(change)}});
    if (change != Change::worse) return;
    worse_ += (worse_.empty() ? "" : ", ") + what + " " + figure(base) + " -> " + figure(now) +
              (base > 0 ? " (" + percent(base, now) + ")" : "");
  }

  json list_ = json::array();
  std::string worse_;
};

std::vector<double> numbers(const json& list) {
  std::vector<double> values;
  for (const json& value : list) values.push_back(value.get<double>());
  return values;
}

}  // namespace

std::string_view to_string(Change change) {
  switch (change) {
    case Change::same:
      return "same";
    case Change::better:
      return "better";
    case Change::worse:
      return "worse";
    case Change::within_noise:
      break;
  }
  return "within noise";
}

Change change_of_speed(double base, double now, double noise) {
  if (!(base > 0) || !(now > 0) || !(noise >= 0)) return Change::worse;  // no speeds: nothing was shown
  const double slower = base / now - 1, faster = now / base - 1;
  const bool less = now<(1 - kLeastChange) * base, more = now>(1 + kLeastChange) * base;
  if (!less && !more) return noise <= kLeastChange ? Change::same : Change::within_noise;
  if (less) return slower > noise ? Change::worse : Change::within_noise;
  return faster > noise ? Change::better : Change::within_noise;
}

Change change_of_error(double base, double now) {
  if (std::isnan(now)) return std::isnan(base) ? Change::same : Change::worse;
  if (std::isnan(base)) return Change::better;
  if (now > (1 + kLeastChange) * base && now - base > kErrorNoise) return Change::worse;
  if (now < (1 - kLeastChange) * base && base - now > kErrorNoise) return Change::better;
  return Change::same;
}

BaselineIdentity identity_of(const json& run, const std::vector<PlannedCase>& planned) {
  json plan = json::array();
  for (const PlannedCase& p : planned)
    plan.push_back({p.spec.id, p.tokens, p.spec.max_tokens, p.spec.continuation});
  const auto at = [&](const char* pointer) { return run.value(json::json_pointer(pointer), json()); };
  BaselineIdentity id;
  id.run = {{"model", at("/model/sha256")},
            {"reference model", at("/reference_model/sha256")},
            {"suite", at("/suite/sha256")},
            {"filter", at("/filter")},
            {"shard", at("/shard")},
            {"plan of cases and tokens", sha256_hex(plan.dump())},
            {"gates", at("/gates/sha256")},
            {"list of taps", sha256_hex(at("/taps").dump())},
            {"use of local comparisons", at("/local")},
            {"driver of tokens", at("/tokens_from")},
            {"reference batch", at("/reference_batch")},
            {"text of perplexity", at("/perplexity/sha256")},
            {"candidate", at("/candidate/kind")},
            {"reference", at("/reference/kind")}};
  // A live reference may be another build; its own words tell.
  for (const char* key : {"name", "build"})
    if (at("/reference/kind") == "bitnet.cpp" || at("/reference/kind") == "exec" ||
        at("/reference/kind") == "trace")
      id.run[std::string("reference's ") + key] = at((std::string("/reference/") + key).c_str());
  id.machine = {{"CPU", at("/host/cpu")},
                {"instruction set", at("/candidate/isa")},
                {"threads", at("/candidate/threads")},
                {"build", at("/candidate/build")}};
  const auto rope = [&](const char* side) {
    return at((std::string(side) + "/details/rope").c_str()) == "own";
  };
  const bool engine =
      at("/candidate/kind") == "engine" && (rope("/candidate") || at("/candidate/details/rope") == "trace");
  const json reference = at("/reference/kind");
  id.same_bits_everywhere =
      engine && (reference == "self" || reference == "trace" ||
                 ((reference == "engine" || reference == "emulator") && rope("/reference")));
  const auto own = at("/crossval/binaries"), theirs = at("/candidate/binaries");
  id.programs = sha256_hex((theirs.is_null() ? own : theirs).dump());
  return id;
}

Baseline Baseline::open(const fs::path& path) {
  Baseline b;
  b.path_ = path;
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw InputError(path.string() + ": the baseline cannot be read; write one with --update-baseline");
  b.document_ = json::parse(in, nullptr, /*allow_exceptions=*/false);
  const json& d = b.document_;
  const auto must = [&](bool holds, const std::string& what) {
    if (!holds) throw InputError(path.string() + ": " + what + "; write it anew with --update-baseline");
  };
  must(d.is_object(), "is no JSON object");
  must(d.value("schema", json()) == kSchema, std::string("schema: must be ") + kSchema);
  for (const char* key : {"run", "machine", "accuracy"})
    must(d.contains(key) && d.at(key).is_object(), std::string(key) + ": must be an object");
  must(d.contains("speeds") && d.at("speeds").is_array(), "speeds: must be an array");
  const json& accuracy = d.at("accuracy");
  must(accuracy.value("worst", json()).is_array() && accuracy.value("answers", json()).is_object(),
       "accuracy: must have `worst`, an array, and `answers`, an object");
  for (const json& row : accuracy.at("worst"))
    must(row.is_object() && row.value("mode", json()).is_string() && row.value("tap", json()).is_string() &&
             row.contains("one_minus_cosine"),
         "accuracy.worst: each must have mode, tap and one_minus_cosine");
  for (const auto& [id, met] : accuracy.at("answers").items())
    must(met.is_boolean(), "accuracy.answers: each must be true or false");
  for (const json& run : d.at("speeds")) {
    must(run.is_object(), "speeds: each must be an object");
    for (const char* phase : {"prefill", "decode"}) {
      const json list =
          run.value(json::json_pointer(std::string("/") + phase + "/tokens_per_second"), json());
      must(
          list.is_array() && !list.empty() &&
              std::ranges::all_of(list, [](const json& n) { return n.is_number() && n.get<double>() > 0; }) &&
              run.at(phase).value("tokens", json()).is_number_integer(),
          std::string("speeds: ") + phase + ": must have tokens and positive numbers tokens_per_second");
    }
  }
  b.sha256_ = sha256_file(path);
  return b;
}

std::string Baseline::check(const BaselineIdentity& identity) const {
  const auto differs = [&](const json& recorded, const json& here) {
    std::string text;
    for (const auto& [name, value] : here.items())
      if (recorded.value(name, json()) != value)
        text += (text.empty() ? "" : ", ") + name + " (it has " + shown(recorded.value(name, json())) +
                ", here it is " + shown(value) + ")";
    return text;
  };
  const std::string mend = "; name another baseline, or write it anew with --update-baseline";
  if (const std::string what = differs(document_.at("run"), identity.run); !what.empty())
    throw Incomparable("the baseline " + path_.string() + " is of another " + what + mend);
  const std::string what = differs(document_.at("machine"), identity.machine);
  if (!what.empty() && !identity.same_bits_everywhere)
    throw Incomparable("the baseline " + path_.string() + " is of another " + what +
                       ", and these participants need not give the same bits there" + mend);
  return what.empty() ? "" : "the baseline is of another " + what;
}

json Baseline::compare(const Figures& figures, std::span<const Speed> speeds,
                       const std::string& why_no_speeds) const {
  Rows rows;
  const json& accuracy = document_.at("accuracy");
  rows.answers(accuracy.at("answers").get<std::map<std::string, bool>>(), figures.answers);
  const auto optional = [&](const char* what, const char* key, const std::optional<double>& now) {
    const json base = accuracy.value(key, json());
    if (base.is_null() && !now) return;
    // What was there and is no longer is nothing to be passed over.
    rows.error(what, base.is_null() ? json("nan") : base, now.value_or(std::nan("")));
  };
  optional("KL of the logits", "kl", figures.kl);
  optional("perplexity", "perplexity", figures.perplexity);
  for (const json& base : accuracy.at("worst")) {
    const std::string mode = base.at("mode"), tap = base.at("tap");
    const auto it = figures.taps.find({mode, tap});
    rows.error("1 - cosine of " + bitnet::gguf::printable(tap, 40) + " (" + mode + ")",
               base.at("one_minus_cosine"),
               it == figures.taps.end() ? std::nan("") : it->second.one_minus_cosine);
  }

  const json& runs = document_.at("speeds");
  std::string why = why_no_speeds;
  if (why.empty() && runs.empty()) why = "the baseline has no speeds";
  for (const Speed& speed : speeds) {
    std::vector<double> medians;
    double noise = spread(speed.tokens_per_second);
    for (const json& run : runs) {
      const json& phase = run.at(speed.phase);
      if (phase.at("tokens") != speed.tokens) continue;
      const auto measured = numbers(phase.at("tokens_per_second"));
      medians.push_back(median(measured));
      noise = std::max(noise, spread(measured));
    }
    if (medians.empty() && why.empty()) why = "the baseline measured other numbers of tokens";
    if (!why.empty()) continue;
    noise = std::max(noise, spread(medians));
    rows.speed(speed.phase + " of " + std::to_string(speed.tokens) + " tokens", median(medians),
               median(speed.tokens_per_second), noise);
  }
  if (!why.empty()) rows.not_compared("speed", why);
  json record = {
      {"type", "baseline"},  {"sha256", sha256_},           {"time", document_.value("time", json())},
      {"rows", rows.list()}, {"headline", rows.headline()}, {"verdict", crossval::to_string(rows.verdict())}};
  put_text(record, "file", path_.string());
  return record;
}

bool is_slower(const json& record) {
  return std::ranges::any_of(record.at("rows"), [](const json& row) {
    return row.value("unit", "") == "tokens/s" && row.at("verdict") == to_string(Change::worse);
  });
}

void write_baseline(const fs::path& path, const BaselineIdentity& identity, const Figures& figures,
                    std::span<const Speed> speeds, const std::string& time) {
  json runs = json::array();
  std::error_code error;
  if (fs::exists(path, error)) {
    std::ifstream in(path, std::ios::binary);
    const json earlier = json::parse(in, nullptr, /*allow_exceptions=*/false);
    if (earlier.is_object() && earlier.value("schema", json()) == kSchema &&
        earlier.value("run", json()) == identity.run &&
        earlier.value("machine", json()) == identity.machine && earlier.value("speeds", json()).is_array())
      for (const json& run : earlier.at("speeds"))
        if (run.is_object() && run.value("programs", "") == identity.programs) runs.push_back(run);
  }
  if (!speeds.empty()) runs.push_back(run_of_speeds(speeds, time, identity.programs));
  while (runs.size() > kRunsKept) runs.erase(0);
  const json document = {{"schema", kSchema},
                         {"time", time},
                         {"run", identity.run},
                         {"machine", identity.machine},
                         {"accuracy", accuracy_of(figures)},
                         {"speeds", runs}};
  reports::AtomicFile file(path);
  file.write(document.dump(2) + "\n");
  file.close();
  file.commit();
}

std::vector<std::string> check_baseline_record(const json& record) {
  std::vector<std::string> wrong;
  bool any_worse = false;
  for (const json& row : record.at("rows")) {
    const std::string verdict = row.at("verdict"), what = row.at("what");
    any_worse = any_worse || verdict == to_string(Change::worse);
    if (verdict == "not compared") continue;
    const double base = reports::number_of(row.at("base")), now = reports::number_of(row.at("now"));
    const std::string unit = row.at("unit");
    if (unit == "answers") {
      if (now < base && verdict != to_string(Change::worse)) wrong.push_back(what + ": fewer, but not worse");
      continue;
    }
    const Change change = unit == "error" ? change_of_error(base, now)
                                          : change_of_speed(base, now, reports::number_of(row.at("noise")));
    if (verdict != to_string(change))
      wrong.push_back(what + ": is said to be " + bitnet::gguf::printable(verdict, 40) + ", but is " +
                      std::string(to_string(change)));
  }
  if ((record.at("verdict") == "FAIL") != any_worse)
    wrong.push_back("its verdict does not follow from its rows");
  return wrong;
}

}  // namespace crossval
