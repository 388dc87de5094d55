#include "crossval/run/output.h"

#include <algorithm>
#include <fstream>
#include <span>

#include "crossval/records/record_file.h"
#include "crossval/replay/bundle.h"
#include "engine/error.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using bitnet::InputError;
using nlohmann::json;

constexpr const char* kFiles[] = {"results.jsonl", "results.jsonl.tmp", "pending.jsonl",
                                  "report.json",   "junit.xml",         "summary.md",
                                  "results.sarif", "index.html",        "receipt.json"};

// Lines with their line feed, up to `enough`.
int whole_lines(const fs::path& path, int enough) {
  std::ifstream in(path);
  std::string line;
  int lines = 0;
  while (lines < enough && std::getline(in, line) && !in.eof()) ++lines;
  return lines;
}

bool is_bundle(const fs::directory_entry& entry) {
  return entry.path().extension() == ".crossval-bundle";
}

// One of the files that a run writes, or its folder of bundles.
bool is_ours(const fs::directory_entry& entry) {
  if (entry.path().filename() == kBundleFolder && entry.is_directory())
    return std::ranges::all_of(fs::directory_iterator(entry), is_bundle);
  return std::ranges::find(kFiles, entry.path().filename()) != std::end(kFiles);
}

// A run of ours that was killed before its first record stood there whole.
bool is_unbegun(const fs::path& out) {
  if (!std::ranges::all_of(fs::directory_iterator(out), is_ours)) return false;
  std::ifstream in(out / "results.jsonl");
  return in && (in.peek() == std::ifstream::traits_type::eof() || in.peek() == '{') &&
         whole_lines(out / "results.jsonl", 1) == 0;
}

bool is_report(const fs::path& out) {
  if (is_unbegun(out)) return true;
  std::ifstream in(out / "results.jsonl");
  std::string line;
  if (!in || !std::getline(in, line)) return false;
  const json first = json::parse(line, nullptr, /*allow_exceptions=*/false);
  return first.is_object() && first.value("type", "") == "run" &&
         first.value("schema", "").starts_with("crossval.results/");
}

constexpr const char* kSelftestFiles[] = {"selftest.json", "selftest.md", "index.html"};

// Makes the folder where there is none; one that holds anything else than `ours` is left untouched.
void prepare_folder(const fs::path& out, bool (*ours)(const fs::path&), const std::string& what) {
  std::error_code error;
  if (!fs::exists(out, error)) {
    fs::create_directories(out, error);
    if (error) throw InputError(out.string() + ": --out cannot be created: " + error.message());
  } else if (!fs::is_directory(out, error)) {
    throw InputError(out.string() + ": --out is a file; name a folder, or one that does not exist yet");
  } else if (!fs::is_empty(out, error) && !ours(out)) {
    throw InputError(out.string() + ": --out holds something that is no " + what +
                     "; it was left untouched, name another folder");
  }
}

void remove_files(const fs::path& out, std::span<const char* const> files) {
  std::error_code ignored;
  for (const char* file : files) fs::remove(out / file, ignored);
}

// Of an earlier run. What else lies beside them stays.
void remove_bundles(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (is_bundle(entry)) fs::remove(entry.path(), ignored);
  if (fs::is_empty(folder, ignored)) fs::remove(folder, ignored);
}

}  // namespace

bool prepare_output(const fs::path& out, bool resume) {
  std::error_code error;
  if (resume && (!fs::exists(out, error) || (fs::is_directory(out, error) && fs::is_empty(out, error))))
    throw InputError(out.string() + ": --resume: there is nothing to resume");
  prepare_folder(out, is_report, "crossval report");
  resume = resume && whole_lines(out / "results.jsonl", 2) == 2;  // its run and its plan
  if (!resume) {
    remove_files(out, kFiles);
    remove_bundles(out / kBundleFolder);
  }
  return resume;
}

void prepare_selftest_output(const fs::path& out) {
  prepare_folder(
      out, [](const fs::path& folder) { return fs::exists(folder / kSelftestFiles[0]); },
      "crossval selftest");
  remove_files(out, kSelftestFiles);
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
      const bool of_case =
          type == "comparison" || type == "tokens" || type == "skip" || type == "case" || type == "canary";
      const std::string id = type == "case" ? record.value("id", "") : record.value("case", "");
      if (type == "summary" || type == "perf" || type == "baseline") return;
      if (of_case && !earlier.finished.contains(id)) return;
      if (type == "canary") earlier.canary_caught = record.value("caught", false);
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
