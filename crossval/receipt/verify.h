#pragma once
// Whether a receipt follows from the records beside it, and whether those hang together.

#include <filesystem>
#include <string>
#include <vector>

namespace crossval {

struct VerifyOptions {
  std::filesystem::path receipt;  // the file, or the folder that holds receipt.json
  std::filesystem::path model;    // to be hashed; empty: where the records say that it was
  std::filesystem::path prompts;  // likewise the suite
  bool strict = false;  // it must prove agreement with a real bitnet.cpp, and nothing be left unchecked
};

struct Verification {
  std::string claim, headline;          // as the receipt has them
  std::vector<std::string> mismatches;  // empty: it follows
  std::vector<std::string> unproven;    // strict: what it does not prove
  std::vector<std::string> notes;       // what could not be looked at here
};

/// Throws InputError where there is no receipt or no records beside it, or they are damaged.
Verification verify_receipt(const VerifyOptions& options);

}  // namespace crossval
