#pragma once
// SHA-256 of texts and files, as lower-case hex.

#include <filesystem>
#include <string>
#include <string_view>

namespace crossval {

std::string sha256_hex(std::string_view bytes);
/// Throws InputError when the file cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace crossval
