#pragma once
// SHA-256 of texts and files, as lower-case hex, and of rows of values.

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "reference/participant.h"

struct evp_md_ctx_st;

namespace crossval {

/// Of bytes that come one after another.
class RunningSha256 {
 public:
  /// Throws SystemError where the system's crypto library has no SHA-256.
  RunningSha256();
  void add(std::string_view bytes);
  /// Of all that has come so far; more may follow.
  Sha256 digest() const;
  std::string hex() const;

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

std::string sha256_hex(std::string_view bytes);
/// Of the values' little-endian bytes.
Sha256 sha256_of(std::span<const float> row);
/// Throws InputError when the file cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace crossval
