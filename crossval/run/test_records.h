#pragma once
// The records of a run, as its tests read them.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace crossval {

inline std::vector<nlohmann::json> records(const std::filesystem::path& folder) {
  std::ifstream in(folder / "results.jsonl");
  std::vector<nlohmann::json> all;
  std::string line;
  while (std::getline(in, line)) all.push_back(nlohmann::json::parse(line));
  return all;
}

inline std::vector<nlohmann::json> of_type(const std::vector<nlohmann::json>& all, const std::string& type) {
  std::vector<nlohmann::json> some;
  for (const nlohmann::json& r : all)
    if (r["type"] == type) some.push_back(r);
  return some;
}

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace crossval
