#pragma once
// A pass over results.jsonl. Comparisons, of which there may be millions, are read without building a
// document.

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "reports/comparison_record.h"

namespace crossval {

/// What a reader wants to see of each record; any of them may be left out.
struct RecordReader {
  std::function<void(std::string_view line)> line =
      {};  // every line, without its line feed, before it is read
  std::function<void(const reports::Comparison&, std::string_view line)> comparison = {};
  std::function<void(const nlohmann::json&)> other = {};  // records of all other types
};

/// Throws InputError that names file and line where a line is no record.
void read_records(const std::filesystem::path& results, const RecordReader& reader);

}  // namespace crossval
