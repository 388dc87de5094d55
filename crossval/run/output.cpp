#include "crossval/run/output.h"

#include <fstream>

#include "crossval/records/record_file.h"
#include "engine/error.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using bitnet::InputError;
using nlohmann::json;

constexpr const char* kFiles[] = {"results.jsonl", "pending.jsonl", "report.json",
                                  "junit.xml",     "summary.md",    "index.html"};

bool is_report(const fs::path& out) {
  std::ifstream in(out / "results.jsonl");
  std::string line;
  if (!in || !std::getline(in, line)) return false;
  const json first = json::parse(line, nullptr, /*allow_exceptions=*/false);
  return first.is_object() && first.value("type", "") == "run" &&
         first.value("schema", "").starts_with("crossval.results/");
}

}  // namespace

void prepare_output(const fs::path& out, bool resume) {
  std::error_code error;
  if (fs::exists(out, error)) {
    if (!fs::is_directory(out, error))
      throw InputError(out.string() + ": --out is a file; name a folder, or one that does not exist yet");
    const bool empty = fs::is_empty(out, error);
    if (!empty && !is_report(out))
      throw InputError(out.string() +
                       ": --out holds something that is no crossval report; it was left untouched, name "
                       "another folder");
    if (empty && resume) throw InputError(out.string() + ": --resume: there is nothing to resume");
    if (!resume)
      for (const char* file : kFiles) fs::remove(out / file, error);
    return;
  }
  if (resume) throw InputError(out.string() + ": --resume: there is nothing to resume");
  fs::create_directories(out, error);
  if (error) throw InputError(out.string() + ": --out cannot be created: " + error.message());
}

Earlier resume_output(const fs::path& out) {
  Earlier earlier;
  const fs::path path = out / "results.jsonl";
  const auto for_each = [&path](auto&& f) {
    std::ifstream in(path);
    std::string line;
    while (std::getline(in, line)) {
      json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
      // A line broken by the interruption is as if it had not been written.
      if (record.is_object()) f(std::move(record));
    }
  };
  for_each([&](json&& record) {
    const std::string type = record.value("type", "");
    if (type == "run")
      earlier.run = std::move(record);
    else if (type == "case" && record.value("verdict", "") != "INVALID") {
      earlier.finished.insert(record.value("id", ""));
      earlier.cases.push_back(std::move(record));
    }
  });
  if (earlier.run.is_null())
    throw InputError(path.string() + ": --resume: its first record is missing; run without --resume");

  const fs::path rewritten = out / "results.jsonl.tmp";
  {
    RecordFile file(rewritten, /*append=*/false);
    for_each([&](json&& record) {
      const std::string type = record.value("type", "");
      const bool of_case = type == "comparison" || type == "tokens" || type == "skip" || type == "case";
      const std::string id = type == "case" ? record.value("id", "") : record.value("case", "");
      if (type == "summary" || type == "perf" || type == "canary") return;
      if (of_case && !earlier.finished.contains(id)) return;
      file.append(record);
    });
  }
  std::error_code error;
  fs::rename(rewritten, path, error);
  if (error) throw bitnet::SystemError(path.string() + ": cannot be rewritten: " + error.message());
  fs::remove(out / "pending.jsonl", error);
  return earlier;
}

}  // namespace crossval
