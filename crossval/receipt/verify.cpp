#include "crossval/receipt/verify.h"

#include <algorithm>
#include <fstream>

#include "crossval/receipt/check_records.h"
#include "crossval/receipt/read_records.h"
#include "crossval/receipt/receipt.h"
#include "crossval/records/sha256.h"
#include "crossval/run/plan.h"
#include "crossval/suite/suite.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using bitnet::InputError;
using nlohmann::json;

constexpr std::size_t kMostDifferences = 30;

json read_receipt(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw InputError(path.string() + ": cannot be read; name a receipt.json or the folder that holds it");
  const json receipt = json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!receipt.is_object() || receipt.value("schema", json()) != kReceiptSchema)
    throw InputError(path.string() + ": schema: must be " + kReceiptSchema);
  return receipt;
}

std::string shown(const json& value) {
  return bitnet::gguf::printable(value.dump(-1, ' ', false, json::error_handler_t::replace), 120);
}

// Every value of the receipt that is not the one that follows from the records.
void compare(const json& said, const json& follows, const std::string& where, std::vector<std::string>& out) {
  if (said == follows) return;
  if (said.is_object() && follows.is_object()) {
    for (const auto& [key, value] : follows.items())
      if (!said.contains(key))
        out.push_back(where + "/" + key + ": is missing; the records give " + shown(value));
      else
        compare(said.at(key), value, where + "/" + key, out);
    for (const auto& [key, value] : said.items())
      if (!follows.contains(key))
        out.push_back(where + "/" + key + ": nothing in the records gives " + shown(value));
  } else if (said.is_array() && follows.is_array() && said.size() == follows.size()) {
    for (std::size_t i = 0; i < said.size(); ++i)
      compare(said[i], follows[i], where + "/" + std::to_string(i), out);
  } else {
    out.push_back(where + ": the receipt says " + shown(said) + ", the records give " + shown(follows));
  }
}

// Between which lines the records changed after the receipt was written.
std::string where_changed(const json& said, const json& follows) {
  std::int64_t same = 0;
  const json prefixes = follows.value("prefixes", json::array());
  for (const json& prefix : said.value("prefixes", json::array())) {
    if (std::ranges::find(prefixes, prefix) == prefixes.end())
      return "the records were changed after line " + std::to_string(same) + ", up to line " +
             prefix.value("lines", json()).dump() + ", or are those of another run";
    same = prefix.value("lines", same);
  }
  return "the records were changed, or are those of another run: the first " + std::to_string(same) +
         " lines are those of the receipt";
}

// A file that the run named: hashed where it is at hand.
void check_file(const std::string& what, const json& record, const fs::path& named, Verification& out) {
  if (!record.is_object()) return;
  const fs::path path = named.empty() ? fs::path(record.value("path", "")) : named;
  std::error_code error;
  if (named.empty() && (path.empty() || !fs::is_regular_file(path, error))) {
    out.notes.push_back("the " + what + " is not where it was; its hash was not checked");
    return;
  }
  const std::string sha256 = sha256_file(path);
  if (record.value("sha256", "") != sha256)
    out.mismatches.push_back("the " + what + " " + path.string() + " has SHA-256 " + sha256 +
                             ", the records say " + record.value("sha256", "none"));
}

// The cases of the suite itself, which the records must have planned.
void check_plan(const json& run, const json& plan, const fs::path& named, Verification& out) {
  const fs::path path = named.empty() ? fs::path(run.at("suite").value("path", "")) : named;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return;
  const Suite suite = load_suite(path);
  if (suite.sha256 != run.at("suite").value("sha256", "")) return;  // said already
  const json& shard = run.at("shard");
  const std::string filter = run.at("filter");
  json ids = json::array();
  const Shard part{.index = shard.at("index"), .count = shard.at("count")};
  for (const Case& c : select_cases(suite, filter.empty() ? "*" : filter, part).cases) ids.push_back(c.id);
  if (ids != plan)
    out.mismatches.push_back("the plan is not that of the suite " + path.string() + ": " +
                             std::to_string(plan.size()) + " cases instead of " + std::to_string(ids.size()));
}

}  // namespace

Verification verify_receipt(const VerifyOptions& options) {
  std::error_code error;
  const fs::path path =
      fs::is_directory(options.receipt, error) ? options.receipt / "receipt.json" : options.receipt;
  const json receipt = read_receipt(path);
  const fs::path results = path.parent_path() / "results.jsonl";
  if (!fs::exists(results, error))
    throw InputError(results.string() + ": is not there; a receipt is checked against the records beside it");

  Verification out;
  try {
    out.claim = receipt.value("claim", "");
    out.headline = receipt.value("headline", "");
    const json follows = make_receipt(results);
    if (const json said = receipt.value("records", json::object());
        said.value("sha256", "") != follows.at("records").at("sha256"))
      out.mismatches.push_back(where_changed(said, follows.at("records")));
    json without = receipt, with = follows;
    without.erase("records");
    with.erase("records");
    std::vector<std::string> differences;
    compare(without, with, "", differences);
    if (differences.size() > kMostDifferences) {
      const std::size_t more = differences.size() - kMostDifferences;
      differences.resize(kMostDifferences);
      differences.push_back("and " + std::to_string(more) + " more figures");
    }
    out.mismatches.insert(out.mismatches.end(), differences.begin(), differences.end());
    for (std::string& what : check_records(results)) out.mismatches.push_back("records: " + std::move(what));

    json run, plan, summary;
    read_records(results, {.other = [&](const json& record) {
                   const std::string type = record.at("type");
                   if (type == "run") run = record;
                   if (type == "plan") plan = record.at("cases");
                   if (type == "summary") summary = record;
                 }});
    check_file("model", run.at("model"), options.model, out);
    check_file("reference's model", run.value("reference_model", json()), {}, out);
    check_file("suite", run.at("suite"), options.prompts, out);
    check_plan(run, plan, options.prompts, out);
    out.unproven = why_not_strict(run, summary);
  } catch (const json::exception& e) {
    throw InputError(results.string() + ": a record lacks what every run writes: " + e.what());
  }
  if (options.strict)
    for (const std::string& note : out.notes) out.unproven.push_back(note);
  return out;
}

}  // namespace crossval
