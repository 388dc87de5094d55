#include "reference/llama_adapter/compiler_note.h"

#include <dlfcn.h>
#include <elf.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace crossval::llama_adapter {
namespace {

std::optional<std::vector<char>> bytes(std::ifstream& file, std::uint64_t at, std::uint64_t size) {
  constexpr std::uint64_t kMost = 1 << 20;
  if (size > kMost) return std::nullopt;
  std::vector<char> data(size);
  file.seekg(static_cast<std::streamoff>(at));
  file.read(data.data(), static_cast<std::streamsize>(size));
  if (!file) return std::nullopt;
  return data;
}

template <class Struct>
std::optional<Struct> read(std::ifstream& file, std::uint64_t at) {
  const auto data = bytes(file, at, sizeof(Struct));
  if (!data) return std::nullopt;
  Struct value;
  std::memcpy(&value, data->data(), sizeof value);
  return value;
}

}  // namespace

std::string compiler_note_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const auto header = read<Elf64_Ehdr>(file, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
    return {};
  const auto section = [&](std::uint64_t i) {
    return read<Elf64_Shdr>(file, header->e_shoff + i * header->e_shentsize);
  };
  const auto names_section = section(header->e_shstrndx);
  if (!names_section) return {};
  auto names = bytes(file, names_section->sh_offset, names_section->sh_size);
  if (!names) return {};
  names->push_back('\0');
  for (std::uint64_t i = 0; i < header->e_shnum; ++i) {
    const auto at = section(i);
    if (!at || at->sh_name >= names->size() || std::strcmp(names->data() + at->sh_name, ".comment") != 0)
      continue;
    auto text = bytes(file, at->sh_offset, at->sh_size);
    if (!text) return {};
    text->push_back('\0');
    // Zero-terminated notes, one per compiler. The start files of the C library bring GCC's into every file,
    // so another compiler's counts more.
    std::string found;
    for (std::size_t from = 0; from < text->size();) {
      const std::string note(text->data() + from);
      from += note.size() + 1;
      if (note.empty()) continue;
      if (found.empty() || note.find("clang") != std::string::npos) found = note;
    }
    return found;
  }
  return {};
}

std::string compiler_note(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || !info.dli_fname) return {};
  std::error_code error;
  if (std::filesystem::equivalent(info.dli_fname, "/proc/self/exe", error)) return {};
  return compiler_note_of_file(info.dli_fname);
}

}  // namespace crossval::llama_adapter
