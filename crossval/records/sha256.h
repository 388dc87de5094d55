#pragma once
// SHA-256 of texts and files, as lower-case hex, and of rows of values.

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "reference/participant.h"

namespace crossval {

std::string sha256_hex(std::string_view bytes);
/// Of the values' little-endian bytes.
Sha256 sha256_of(std::span<const float> row);
/// Throws InputError when the file cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace crossval
