#pragma once
// Which compiler made a shared library.

#include <string>

namespace crossval::llama_adapter {

/// The note that the compiler left in the ELF file that holds `address`; empty where it cannot be told, and
/// for an address in this program itself, whose notes tell of its own compiler too.
std::string compiler_note(const void* address);

/// The same of a file. Empty when it is no 64-bit little-endian ELF file, or has no note.
std::string compiler_note_of_file(const std::string& path);

}  // namespace crossval::llama_adapter
