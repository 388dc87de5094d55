#pragma once
// The renderings of a run: report.json, junit.xml, summary.md, results.sarif and index.html, all made from
// one pass over results.jsonl. The record format is described in docs/reference/records.md.

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace crossval::reports {

/// The file is no record file of crossval, or one of a version that this build does not read, or damaged. The
/// message is one line that names file and line. Commands map it to exit code 2.
class RecordError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A report could not be written (disk full, no permission) or the records not be read to their end. The
/// message names the file. Commands map it to exit code 4.
class OutputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What the reports say, for those who print it or take their exit code from it. Every rendering says the
/// same. Strings are as recorded, not escaped: see escape.h.
struct Rendered {
  std::string verdict;   ///< PASS, FAIL, INCOMPARABLE or INVALID
  int exit_code = 4;     ///< 0, 1, 3 or 4
  std::string headline;  ///< one sentence
  std::string claim;     ///< which claim the run supports
  std::uint64_t cases_pass = 0;
  std::uint64_t cases_fail = 0;
  std::uint64_t cases_incomparable = 0;
  std::uint64_t cases_invalid = 0;
  std::uint64_t planned = 0;  ///< comparisons
  std::uint64_t made = 0;
  std::uint64_t skipped = 0;
  bool finished = false;           ///< false: no summary record, the run was killed or still goes on
  std::vector<std::string> notes;  ///< what a reader should know about the records themselves
};

/// Reads the records once, in memory that does not grow with the number of comparisons, and writes the
/// reports into `out_dir` (which must exist). They appear together, each under its name only when all are
/// complete; after an exception those of an earlier rendering are untouched. Throws RecordError or
/// OutputError.
Rendered render(const std::filesystem::path& results_jsonl, const std::filesystem::path& out_dir);

}  // namespace crossval::reports
