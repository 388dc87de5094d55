#include "crossval/receipt/receipt.h"

#include <set>

#include "crossval/receipt/figures.h"
#include "crossval/receipt/read_records.h"
#include "crossval/records/sha256.h"
#include "engine/error.h"
#include "reports/atomic_file.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Hashes of the file's beginnings: where records were changed later, they say between which lines.
class Prefixes {
 public:
  void add(std::string_view line) {
    hash_.add(line);
    hash_.add("\n");
    bytes_ += line.size() + 1;
    if (++lines_ % stride_ != 0) return;
    list_.push_back({{"lines", lines_}, {"sha256", hash_.hex()}});
    if (list_.size() < kMost) return;
    // Twice as far apart: every second one stays.
    json half = json::array();
    for (std::size_t i = 1; i < list_.size(); i += 2) half.push_back(std::move(list_[i]));
    list_ = std::move(half);
    stride_ *= 2;
  }
  json to_json() const {
    return {{"file", "results.jsonl"},
            {"lines", lines_},
            {"bytes", bytes_},
            {"sha256", hash_.hex()},
            {"prefixes", list_}};
  }

 private:
  static constexpr std::size_t kMost = 64;
  RunningSha256 hash_;
  std::size_t bytes_ = 0, lines_ = 0, stride_ = 16;
  json list_ = json::array();
};

json part(const json& object, const std::set<std::string>& keys) {
  if (!object.is_object()) return nullptr;
  json out = json::object();
  for (const auto& [key, value] : object.items())
    if (keys.contains(key)) out[key] = value;
  return out;
}

}  // namespace

std::vector<std::string> why_not_strict(const json& run, const json& summary) {
  std::vector<std::string> why;
  const json reference = run.value("reference", json::object());
  const std::string kind = reference.value("kind", ""), name = reference.value("name", "");
  const bool live = kind == "bitnet.cpp", recorded = kind == "trace" && name == "trace of bitnet.cpp";
  if (kind == "exec")
    why.push_back("the reference is a program that is known by its own word only (" + name + ")");
  else if (!live && !recorded)
    why.push_back("no real reference: it was " + (name.empty() ? "not named" : name) +
                  (kind == "trace" || kind == "self" ? "" : " of our own"));
  for (const char* side : {"candidate", "reference"})
    if (const json fault = run.value(json::json_pointer(std::string("/") + side + "/details/fault"), json());
        fault.is_string())
      why.push_back(std::string("a fault was planted in the ") + side + ": " + fault.get<std::string>());
  if (summary.value("verdict", "") != "PASS") why.push_back("the verdict is not PASS");
  return why;
}

json make_receipt(const fs::path& results) {
  Prefixes prefixes;
  Figures figures;
  json run, summary, plan, baseline, kernels = json::object(), performance = json::array();
  read_records(results,
               {.line = [&](std::string_view line) { prefixes.add(line); },
                .comparison = [&](const reports::Comparison& c, std::string_view) { figures.add(c); },
                .other =
                    [&](const json& record) {
                      figures.add(record);
                      const auto& type = record.at("type").get_ref<const std::string&>();
                      if (type == "run" && run.is_null()) run = record;
                      if (type == "plan") plan = record.at("cases");
                      if (type == "summary") summary = record;
                      if (type == "baseline") baseline = record;
                      if (type != "perf") return;
                      performance.push_back(part(record, {"participant", "what", "seconds", "tokens", "steps",
                                                          "tokens_per_second"}));
                      if (!record.contains("kernels")) return;
                      json& of = kernels[record.at("participant").get<std::string>()];
                      if (of.is_null()) of = json::object();
                      for (const auto& [name, n] : record.at("kernels").items())
                        of[name] = of.value(name, std::int64_t{0}) + n.get<std::int64_t>();
                    }});
  if (run.is_null() || run.value("schema", "") != "crossval.results/1")
    throw bitnet::InputError(results.string() + ": is no crossval.results/1 file");
  if (summary.is_null())
    throw bitnet::InputError(results.string() +
                             ": has no summary: the run did not finish; finish it with --resume");

  const std::vector<std::string> not_strict = why_not_strict(run, summary);
  json receipt = {{"schema", kReceiptSchema},
                  {"claim", run.at("claim")},
                  {"verdict", summary.at("verdict")},
                  {"exit", summary.at("exit")},
                  {"headline", summary.at("headline")},
                  {"strict", {{"holds", not_strict.empty()}, {"why_not", not_strict}}},
                  {"time", run.value("time", json())},
                  {"crossval", run.value("crossval", json())},
                  {"host", run.value("host", json())},
                  {"model", part(run.at("model"), {"sha256", "name", "arch"})},
                  {"reference_model", part(run.value("reference_model", json()), {"sha256", "name", "arch"})},
                  {"suite", part(run.at("suite"), {"sha256", "cases"})},
                  {"gates", part(run.at("gates"), {"sha256", "source"})},
                  {"plan", {{"cases", plan.size()}, {"sha256", sha256_hex(plan.dump())}}},
                  {"candidate", run.at("candidate")},
                  {"reference", run.at("reference")},
                  {"arbiter", run.value("arbiter", json())},
                  {"filter", run.value("filter", json())},
                  {"shard", run.value("shard", json())},
                  {"tokens_from", run.value("tokens_from", json())},
                  {"reference_batch", run.value("reference_batch", json())},
                  {"figures", to_json(figures)},
                  {"kernels", kernels},
                  {"performance", performance},
                  {"records", prefixes.to_json()}};
  if (!not_strict.empty()) {
    std::string claim = receipt["claim"].get<std::string>();
    for (const std::string& why : not_strict) claim += "; " + why;
    receipt["claim"] = claim;
  }
  if (!baseline.is_null()) receipt["baseline"] = part(baseline, {"sha256", "verdict", "rows"});
  return receipt;
}

void write_receipt(const fs::path& folder) {
  reports::AtomicFile file(folder / "receipt.json");
  file.write(make_receipt(folder / "results.jsonl").dump(2, ' ', false, json::error_handler_t::replace) +
             "\n");
  file.close();
  file.commit();
}

}  // namespace crossval
