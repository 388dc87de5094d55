#include "crossval/run/merge.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>

#include "crossval/receipt/receipt.h"
#include "crossval/records/record_file.h"
#include "crossval/run/coverage.h"
#include "crossval/run/noise_json.h"
#include "crossval/run/output.h"
#include "crossval/run/plan.h"
#include "crossval/run/settle.h"
#include "crossval/run/totals.h"
#include "engine/error.h"
#include "reports/line_reader.h"
#include "reports/render.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using bitnet::InputError;
using nlohmann::json;

enum class Kind { comparison, tokens, other };

// By its text: most lines are comparisons, and those need no parsing. In a JSON text a quoted quote has a
// backslash before it, so nothing within a string looks like this.
Kind kind_of(std::string_view line) {
  if (line.find("\"type\":\"comparison\"") != std::string_view::npos) return Kind::comparison;
  if (line.find("\"type\":\"tokens\"") != std::string_view::npos) return Kind::tokens;
  return Kind::other;
}

bool says(std::string_view line, std::string_view verdict) {
  return line.find("\"verdict\":\"" + std::string(verdict) + "\"") != std::string_view::npos;
}

json parse(std::string_view line, const reports::LineReader& lines) {
  json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object())
    throw Invalid(lines.path().string() + ":" + std::to_string(lines.number()) +
                  ": is no record; the shard was interrupted or its file damaged: finish it with --resume");
  return record;
}

// What the shards of one run have in common, by the words for it.
std::vector<std::pair<std::string, json>> identity_of(const json& run) {
  std::vector<std::pair<std::string, json>> identity;
  const auto add = [&](const char* what, const char* pointer) {
    identity.emplace_back(what, run.value(json::json_pointer(pointer), json()));
  };
  add("model", "/model/sha256");
  add("reference model", "/reference_model/sha256");
  add("suite", "/suite/sha256");
  add("gates", "/gates/sha256");
  add("taps", "/taps");
  add("--filter", "/filter");
  add("--tokens-from", "/tokens_from");
  add("--reference-batch", "/reference_batch");
  add("--max-tokens", "/max_tokens");
  add("--inject", "/inject");
  add("number of shards", "/shard/count");
  add("plan", "/plan");
  add("crossval version", "/crossval/version");
  add("crossval build", "/crossval/build");
  for (const std::string side : {"candidate", "reference"}) {
    for (const char* key : {"name", "version", "build"})
      identity.emplace_back(side + " " + key, run.value(json::json_pointer("/" + side + "/" + key), json()));
    // What else our own say of themselves: all but what the machine decides and no bit depends on. What a
    // program says may be anything.
    json details = run.value(json::json_pointer("/" + side + "/details"), json::object());
    const json& name = run.value(json::json_pointer("/" + side + "/name"), json());
    if (name != "engine" && name != "emulator" && name != "oracle") continue;
    for (const char* key : {"isa", "threads"}) details.erase(key);
    identity.emplace_back("options of the " + side, details);
  }
  return identity;
}

std::string shown(const json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : line_of(value);
  return text.size() <= 80 ? text.substr(0, text.find('\n')) : text.substr(0, 80) + "...";
}

// "2, 5 and 7", the first 20.
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

struct ShardFile {
  fs::path path;
  std::int64_t index = 0;
  std::vector<std::string> plan;
  json located;
};

// What all shards together hold, gathered before anything is written.
struct Joint {
  json run;  // of the shard that was read first
  fs::path first;
  std::vector<std::pair<std::string, json>> identity;
  std::set<json> hosts;
  SelfNoise noise;
  bool canary_missed = false;
  std::vector<GateCoverage> coverage;
};

void check_identity(const fs::path& path, const json& run, Joint& joint) {
  if (joint.run.is_null()) {
    joint.run = run;
    joint.first = path;
    joint.identity = identity_of(run);
  }
  const auto identity = identity_of(run);
  for (std::size_t i = 0; i < std::min(identity.size(), joint.identity.size()); ++i)
    if (identity[i] != joint.identity[i])
      throw Incomparable(path.string() + ": is of another run: its " + identity[i].first + " is " +
                         shown(identity[i].second) + ", that of " + joint.first.string() + " is " +
                         shown(joint.identity[i].second));
  if (joint.hosts.size() < 20) joint.hosts.insert(run.value("host", json::object()));
}

// The gates of all shards are the same ones.
void add_coverage(const json& summary, Joint& joint) {
  const json gates = summary.value("coverage", json::array());
  joint.coverage.resize(std::max(joint.coverage.size(), gates.size()));
  for (std::size_t i = 0; i < gates.size(); ++i) {
    GateCoverage& all = joint.coverage[i];
    all.gate = gates[i].at("gate");
    all.compared += gates[i].at("compared").get<std::int64_t>();
    all.min_compared = gates[i].at("min_compared");
  }
}

// Reads a shard once and checks that it is finished and holds its own plan, each case once.
ShardFile open_shard(const fs::path& folder, Joint& joint) {
  ShardFile shard{.path = folder / "results.jsonl", .index = 0, .plan = {}, .located = {}};
  if (!fs::exists(shard.path))
    throw InputError(shard.path.string() + ": cannot be read; is this the folder of a shard's results?");
  reports::LineReader lines(shard.path);
  bool begun = false, ended = false;
  std::unordered_map<std::string, bool> done;  // by id of the plan
  std::string_view line;
  while (lines.next(line)) {
    if (kind_of(line) != Kind::other) {
      if (!line.starts_with('{') || !line.ends_with('}')) parse(line, lines);  // says what is wrong
      continue;
    }
    const json record = parse(line, lines);
    const std::string type = record.value("type", "");
    if (type == "run") {
      if (record.value("schema", "") != "crossval.results/1" || !record.contains("plan"))
        throw InputError(shard.path.string() + ": is no crossval.results/1 file of this build; run it again");
      begun = true;
      check_identity(shard.path, record, joint);
      shard.index = record.at("shard").at("index").get<std::int64_t>();
    } else if (!begun) {
      break;
    } else if (type == "plan") {
      for (const json& id : record.at("cases")) {
        shard.plan.push_back(id);
        done.emplace(id, false);
      }
    } else if (type == "case") {
      const std::string id = record.at("id");
      const auto planned = done.find(id);
      if (planned == done.end())
        throw Invalid(shard.path.string() + ": holds case `" + id + "`, which its plan does not");
      if (planned->second) throw Invalid(shard.path.string() + ": case `" + id + "` is there twice");
      planned->second = true;
      if (record.contains("self_noise")) joint.noise.merge(noise_from_json(record["self_noise"]));
    } else if (type == "canary") {
      joint.canary_missed = joint.canary_missed || !record.value("caught", false);
    } else if (type == "summary") {
      ended = true;
      shard.located = record.value("located", json());
      add_coverage(record, joint);
    }
  }
  if (!begun) throw InputError(shard.path.string() + ": is no crossval.results/1 file");
  std::vector<std::string> missing;
  for (const std::string& id : shard.plan)
    if (!done.at(id)) missing.push_back("`" + id + "`");
  if (!ended || !missing.empty())
    throw Invalid(shard.path.string() + ": the shard did not finish" +
                  (missing.empty() ? "" : ": no verdict for " + listed(missing)) +
                  "; finish it with --resume");
  return shard;
}

// Each index once, all there, and their plans the whole. The ids in the order of the suite.
std::vector<std::string_view> check_union(std::vector<ShardFile>& shards, const Joint& joint) {
  std::ranges::sort(shards, {}, &ShardFile::index);
  const auto count = joint.run.at("shard").at("count").get<std::int64_t>();
  std::vector<std::string> missing;
  std::int64_t next = 0;
  for (const ShardFile& shard : shards) {
    if (shard.index < next)
      throw InputError(shard.path.string() + ": shard " + std::to_string(shard.index) + " was given twice");
    for (; next < shard.index; ++next) missing.push_back(std::to_string(next));
    ++next;
  }
  for (; next < count; ++next) missing.push_back(std::to_string(next));
  if (!missing.empty())
    throw Invalid((missing.size() == 1 ? "shard " : "shards ") + listed(missing) + " of " +
                  std::to_string(count) + (missing.size() == 1 ? " is" : " are") +
                  " missing; run with --shard " + missing.front() + "/" + std::to_string(count) +
                  ", then merge again");
  // Cases were dealt out in turn; taking them back in turn gives the order of the suite.
  std::vector<std::string_view> ids;
  for (std::size_t k = 0, before = 1; before != ids.size(); ++k) {
    before = ids.size();
    for (const ShardFile& shard : shards)
      if (k < shard.plan.size()) ids.push_back(shard.plan[k]);
  }
  const json& plan = joint.run.at("plan");
  if (plan.at("cases") != ids.size() || plan.at("sha256") != hash_of_plan(ids))
    throw Invalid("the shards together are not the plan: it has " + shown(plan.at("cases")) +
                  " cases, and they " + std::to_string(ids.size()) +
                  (plan.at("cases") == ids.size() ? ", but others or in another order" : "") +
                  "; run the shards again");
  return ids;
}

// Lines on their way to the joint file.
class Lines {
 public:
  explicit Lines(RecordFile& file) : file_(file) {}
  void add_line(std::string_view line) {
    buffer_.append(line).append("\n");
    if (buffer_.size() > (std::size_t{1} << 20)) flush();
  }
  void add_record(const json& record) {
    buffer_ += line_of(record);
    if (buffer_.size() > (std::size_t{1} << 20)) flush();
  }
  void flush() {
    file_.append_lines(buffer_);
    buffer_.clear();
  }

 private:
  RecordFile& file_;
  std::string buffer_;
};

// A case some of whose comparisons or tokens did not pass, or were judged by the self-noise.
struct OpenCase {
  std::int64_t failed = 0, explained = 0, unexplained = 0;  // by the shard's self-noise
  json first_failure;                                       // of those that no noise excuses
  bool settled = false;
  Settlement now;
};

// Copies the records of the shards, judged by the self-noise of all.
class Joining {
 public:
  Joining(RecordFile& file, const Joint& joint, const std::vector<std::string_view>& plan)
      : lines_(file), joint_(joint) {
    for (std::size_t i = 0; i < plan.size(); ++i) place_.emplace(plan[i], i);
    totals_.coverage = joint.coverage;
  }

  void add(const ShardFile& shard) {
    reports::LineReader lines(shard.path);
    std::string_view line;
    while (lines.next(line)) {
      switch (kind_of(line)) {
        case Kind::comparison:
          add_comparison(line, lines);
          break;
        case Kind::tokens:
          if (!joint_.noise.measured || says(line, "PASS"))
            lines_.add_line(line);
          else
            add_tokens(parse(line, lines));
          break;
        case Kind::other:
          add_other(parse(line, lines));
          break;
      }
    }
  }

  // The end of the run.
  Totals finish(const std::vector<ShardFile>& shards) {
    if (joint_.canary_missed) totals_.verdict = Verdict::invalid;
    if (first_) {
      totals_.tally.first_failure = first_->failure;
      totals_.tally.guilty = first_guilty_ ? first_guilty_->failure : json();
    }
    // Where the sides part was looked for in every shard that failed: that of the first failure counts.
    const ShardFile* chosen = nullptr;
    for (const ShardFile& shard : shards) {
      if (shard.located.is_null()) continue;
      if (!chosen) chosen = &shard;
      if (first_ && shard.located.value("case", "") == first_->failure.value("case", "")) {
        chosen = &shard;
        break;
      }
    }
    if (chosen && totals_.verdict != Verdict::pass) totals_.locate(chosen->located);
    for (const auto& [verdict, reason] : coverage_complaints(totals_, /*part=*/false)) {
      totals_.verdict = worse(totals_.verdict, verdict);
      lines_.add_record({{"type", "skip"}, {"count", 0}, {"reason", reason}});
    }
    for (const auto& [who, seconds] : seconds_) {
      json record = {
          {"type", "perf"}, {"participant", who.first}, {"what", who.second}, {"seconds", seconds}};
      if (const auto it = kernels_.find(who); it != kernels_.end()) record.update(it->second);
      lines_.add_record(record);
    }
    lines_.add_record(summary_record(totals_, joint_.noise));
    lines_.flush();
    return totals_;
  }

 private:
  // Which of several cases is told first: as in a single run, one that no noise had to judge, then the order
  // of the suite.
  struct Told {
    bool settled;
    std::size_t place;
    json failure;
    bool before(const std::optional<Told>& other) const {
      return !other || std::pair(settled, place) < std::pair(other->settled, other->place);
    }
  };

  void add_comparison(std::string_view line, const reports::LineReader& lines) {
    const bool by_noise = joint_.noise.measured && judged_by_noise(line);
    if (!by_noise && !says(line, "FAIL")) return lines_.add_line(line);
    json record = parse(line, lines);
    OpenCase& open = open_[record.at("case")];
    if (!by_noise) {
      if (open.first_failure.is_null()) open.first_failure = place_of(record);
      return lines_.add_line(line);
    }
    open.settled = true;
    open.failed += record.at("verdict") == to_string(Verdict::fail);
    open.now.judge_comparison(record, joint_.noise);
    lines_.add_record(record);
  }

  void add_tokens(json record) {
    OpenCase& open = open_[record.at("case")];
    open.settled = true;
    ++(record.at("verdict") == "EXPLAINED" ? open.explained : open.unexplained);
    open.now.judge_tokens(record, joint_.noise);
    lines_.add_record(record);
  }

  void add_case(json record) {
    const std::string id = record.at("id");
    OpenCase open;
    if (const auto found = open_.extract(id)) open = found.mapped();
    if (open.settled) {
      const auto take_back = [](json& count, std::int64_t n) { count = count.get<std::int64_t>() - n; };
      take_back(record["failed"], open.failed);
      take_back(record["flips"]["explained"], open.explained);
      take_back(record["flips"]["unexplained"], open.unexplained);
      record["first_failure"] = open.first_failure;
      open.now.apply(record);
    }
    totals_.add(record);
    const auto tell = [&](const char* key, std::optional<Told>& first) {
      if (!record.contains(key) || record.at(key).is_null()) return;
      Told told{open.settled, place_.at(id), record.at(key)};
      if (!told.before(first)) return;
      told.failure["case"] = id;
      first = std::move(told);
    };
    tell("first_failure", first_);
    tell("guilty", first_guilty_);
    lines_.add_record(record);
  }

  // Those of all shards together, and in how many steps they were counted.
  void add_kernels(const json& record) {
    json& sum = kernels_[{record.value("participant", ""), record.value("what", "")}];
    if (sum.is_null()) sum = {{"kernels", json::object()}, {"steps", 0}};
    for (const auto& [name, n] : record.at("kernels").items())
      sum["kernels"][name] = sum["kernels"].value(name, std::int64_t{0}) + n.get<std::int64_t>();
    sum["steps"] = sum["steps"].get<std::int64_t>() + record.value("steps", std::int64_t{0});
    if (record.value("resumed", false)) sum["resumed"] = true;
  }

  void add_other(json record) {
    const std::string type = record.value("type", "");
    if (type == "case") {
      add_case(std::move(record));
    } else if (type == "baseline") {
      totals_.hold_against(record);
      lines_.add_record(record);
    } else if (type == "perf") {
      if (record.contains("kernels")) add_kernels(record);
      if (record.at("seconds").is_number())
        seconds_[{record.value("participant", ""), record.value("what", "")}] +=
            record.at("seconds").get<double>();
    } else if (type == "run" || type == "plan" || type == "summary") {
      return;
    } else if (type != "skip" || !record.value("reason", "").starts_with("coverage: ")) {
      lines_.add_record(record);  // the coverage is judged anew
    }
  }

  Lines lines_;
  const Joint& joint_;
  std::unordered_map<std::string_view, std::size_t> place_;  // of a case in the plan
  std::unordered_map<std::string, OpenCase> open_;
  std::map<std::pair<std::string, std::string>, double> seconds_;
  std::map<std::pair<std::string, std::string>, json> kernels_;  // likewise, of our engine
  std::optional<Told> first_, first_guilty_;
  Totals totals_;
};

}  // namespace

RunResult merge(const std::vector<fs::path>& folders, const fs::path& out) {
  Joint joint;
  std::vector<ShardFile> shards;
  shards.reserve(folders.size());
  for (const fs::path& folder : folders) {
    std::error_code ignored;
    if (fs::equivalent(folder, out, ignored))
      throw InputError(out.string() + ": --out is one of the shards; name another folder");
    shards.push_back(open_shard(folder, joint));
  }
  const std::vector<std::string_view> plan = check_union(shards, joint);

  prepare_output(out, false);
  RecordFile results(out / "results.jsonl", /*append=*/false);
  json run = joint.run;
  run["shard"] = {{"index", 0}, {"count", 1}, {"from", ""}};
  run["merged"] = {{"shards", shards.size()}, {"hosts", joint.hosts}};
  results.append(run);
  results.append({{"type", "plan"}, {"cases", plan}});
  Joining joining(results, joint, plan);
  for (const ShardFile& shard : shards) joining.add(shard);
  const Totals totals = joining.finish(shards);
  const reports::Rendered rendered = reports::render(out / "results.jsonl", out);
  write_receipt(out);
  return result_of(rendered, totals, run.at("claim"));
}

}  // namespace crossval
