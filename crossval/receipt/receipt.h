#pragma once
// A receipt: what a run shows, and the hashes of all it was shown with. Everything in it follows from the
// records (results.jsonl), so that anybody can make it again and compare (verify.h).

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace crossval {

inline constexpr const char* kReceiptSchema = "crossval.receipt/1";

/// The receipt of the run that these records are of. Throws InputError where they are damaged or unfinished.
nlohmann::json make_receipt(const std::filesystem::path& results);
/// Writes it as receipt.json beside the records. Throws InputError, and OutputError when the disk is full.
void write_receipt(const std::filesystem::path& folder);

/// Why such a run does not prove anything about bitnet.cpp, by its `run` and `summary` records: no reference
/// of it, a planted fault, another verdict than PASS. Empty: it does.
std::vector<std::string> why_not_strict(const nlohmann::json& run, const nlohmann::json& summary);

}  // namespace crossval
