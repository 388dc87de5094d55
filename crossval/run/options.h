#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "crossval/run/plan.h"

namespace crossval {

enum class TokensFrom { reference, candidate, suite };
/// What a trace keeps of each row: its values, or their SHA-256.
enum class TraceValues { full, sha256 };

/// Everything the flags of `run` and `record` say.
struct RunOptions {
  std::filesystem::path model;
  std::filesystem::path reference_model;  // empty: the model itself
  std::filesystem::path prompts;
  std::filesystem::path out = "crossval-report";
  std::string candidate = "engine";
  std::string reference = "auto";
  std::string arbiter = "auto";  // or none, or a participant that can evaluate operations
  std::string gates;             // a file, or empty for the default gates
  double min_cosine = 0.999;
  std::string taps = "all";  // all, none, or names and globs separated by commas
  std::string filter = "*";
  TokensFrom tokens_from = TokensFrom::reference;
  std::int64_t max_tokens = -1;  // -1: as the suite says
  std::int64_t reference_batch = 1;
  int threads = 0;       // 0: the physical cores, shared by those who evaluate at once
  double timeout = 120;  // seconds that a participant's answer may take
  std::string isa;
  Shard shard;
  bool allow_other_model = false;  // replay a trace of another model or suite
  TraceValues trace_values = TraceValues::full;
  std::string inject;          // a fault of the catalogue, planted in the candidate; "reference:NAME": there
  bool always_locate = false;  // operations are held to a third party even where nothing failed
  bool resume = false;
  bool quiet = false;              // no progress
  bool silent = false;             // nor remarks and warnings
  std::string command_line;        // to reproduce the run
  std::filesystem::path baseline;  // a file to be held against, or empty
  bool update_baseline = false;    // write it from this run instead
};

/// Which of a participant's taps a list names. Throws InputError when a name matches none.
bool tap_selected(const std::string& list, TapId tap);
void check_tap_list(const std::string& list, const std::vector<TapId>& known);

}  // namespace crossval
