#include "crossval/run/merge.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>

#include "crossval/records/record_file.h"
#include "crossval/run/noise_json.h"
#include "crossval/run/output.h"
#include "crossval/run/totals.h"
#include "engine/error.h"
#include "reports/render.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using bitnet::InputError;
using nlohmann::json;

void for_each_record(const fs::path& path, const std::function<void(json&&)>& f) {
  std::ifstream in(path);
  if (!in) throw InputError(path.string() + ": cannot be read; is this the folder of a shard's results?");
  std::string line;
  while (std::getline(in, line)) {
    json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!record.is_object())
      throw InputError(path.string() + ": holds a line that is no record; finish the shard with --resume");
    f(std::move(record));
  }
}

struct ShardFile {
  fs::path path;
  json run;
  std::vector<std::string> plan;
  json summary;
  std::int64_t index = 0;
};

ShardFile open_shard(const fs::path& folder) {
  ShardFile shard{.path = folder / "results.jsonl", .run = {}, .plan = {}, .summary = {}};
  for_each_record(shard.path, [&](json&& record) {
    const std::string type = record.value("type", "");
    if (type == "run")
      shard.run = std::move(record);
    else if (type == "plan")
      shard.plan = record.at("cases").get<std::vector<std::string>>();
    else if (type == "summary")
      shard.summary = std::move(record);
  });
  if (shard.run.is_null() || shard.run.value("schema", "") != "crossval.results/1")
    throw InputError(shard.path.string() + ": is no crossval.results/1 file");
  if (shard.summary.is_null())
    throw InputError(shard.path.string() +
                     ": has no summary: the shard did not finish; finish it with --resume");
  shard.index = shard.run.at("shard").at("index").get<std::int64_t>();
  return shard;
}

}  // namespace

RunResult merge(const std::vector<fs::path>& folders, const fs::path& out) {
  std::vector<ShardFile> shards;
  shards.reserve(folders.size());
  for (const fs::path& folder : folders) shards.push_back(open_shard(folder));
  std::sort(shards.begin(), shards.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  const json& first = shards.front().run;
  const auto count = first.at("shard").at("count").get<std::int64_t>();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const json& run = shards[i].run;
    for (const char* pointer :
         {"/model/sha256", "/reference_model/sha256", "/suite/sha256", "/gates/sha256", "/taps", "/filter",
          "/tokens_from", "/reference_batch", "/shard/count", "/candidate/name", "/reference/name"}) {
      const json::json_pointer at{pointer};
      if (run.value(at, json()) != first.value(at, json()))
        throw InputError(shards[i].path.string() + ": differs from the other shards in " + (pointer + 1));
    }
    if (i > 0 && shards[i].index == shards[i - 1].index)
      throw InputError(shards[i].path.string() + ": shard " + std::to_string(shards[i].index) +
                       " was given twice");
  }
  for (std::int64_t i = 0; i < count; ++i)
    if (static_cast<std::size_t>(i) >= shards.size() || shards[static_cast<std::size_t>(i)].index != i)
      throw InputError("shard " + std::to_string(i) + " of " + std::to_string(count) +
                       " is missing; run it, then merge again");

  prepare_output(out, false);
  RecordFile results(out / "results.jsonl", /*append=*/false);
  json run = first;
  run["shard"] = {{"index", 0}, {"count", 1}};
  results.append(run);
  // Cases were dealt out in turn; taking them back in turn gives the order of the suite.
  json plan = json::array();
  for (std::size_t k = 0;; ++k) {
    bool any = false;
    for (const ShardFile& shard : shards)
      if (k < shard.plan.size()) {
        plan.push_back(shard.plan[k]);
        any = true;
      }
    if (!any) break;
  }
  results.append({{"type", "plan"}, {"cases", plan}});

  Totals totals;
  SelfNoise noise;
  std::size_t cases = 0;
  for (const ShardFile& shard : shards) {
    for_each_record(shard.path, [&](json&& record) {
      const std::string type = record.value("type", "");
      if (type == "run" || type == "plan" || type == "summary") return;
      if (type == "case") {
        totals.add(record);
        ++cases;
        if (record.contains("self_noise")) noise.merge(noise_from_json(record["self_noise"]));
      }
      results.append(record);
    });
    // A shard may be worse than its cases: coverage is judged per run.
    totals.verdict = worse(totals.verdict, verdict_from(shard.summary.at("verdict")));
    if (totals.located.is_null() && shard.summary.contains("located") &&
        !shard.summary.at("located").is_null())
      totals.locate(shard.summary.at("located"));
  }
  if (cases != plan.size())
    throw InputError("the shards planned " + std::to_string(plan.size()) + " cases but hold " +
                     std::to_string(cases) + "; finish them with --resume");
  results.append(summary_record(totals, noise));
  return result_of(reports::render(out / "results.jsonl", out), totals, run.at("claim"));
}

}  // namespace crossval
