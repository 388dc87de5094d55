// Writes a small corpus for fuzz_tokenizer_json: fuzz_tokenizer_json_seeds DIRECTORY.

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "engine/convert/test_tokenizer_json.h"

namespace {

bool write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  return out.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_tokenizer_json_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path dir = argv[1];
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  using bitnet::testing::small_tokenizer_json;
  using bitnet::testing::with;
  const std::string pairs = with(small_tokenizer_json(), R"(["a b"])", R"([["a", "b"]])");
  const std::string steps =
      with(small_tokenizer_json(), R"({"type": "ByteLevel", "add_prefix_space": false)",
           R"({"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Contiguous"},
              {"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits", "individual_digits": true},
              {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated"}])");
  const bool ok = write(dir / "small", small_tokenizer_json()) && write(dir / "pairs", pairs) &&
                  write(dir / "steps", steps) && write(dir / "empty", "{}");
  if (!ok) std::fprintf(stderr, "fuzz_tokenizer_json_seeds: %s cannot be written\n", argv[1]);
  return ok ? 0 : 4;
}
