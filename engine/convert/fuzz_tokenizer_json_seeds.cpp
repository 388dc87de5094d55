// Writes a small corpus for fuzz_tokenizer_json: fuzz_tokenizer_json_seeds DIRECTORY.

#include "engine/convert/test_tokenizer_json.h"
#include "engine/fuzz_seeds.h"

int main(int argc, char** argv) {
  using bitnet::testing::small_spm_tokenizer_json;
  using bitnet::testing::small_tokenizer_json;
  using bitnet::testing::with;
  const std::string pairs = with(small_tokenizer_json(), R"(["a b"])", R"([["a", "b"]])");
  const std::string steps =
      with(small_tokenizer_json(), R"({"type": "ByteLevel", "add_prefix_space": false)",
           R"({"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Contiguous"},
              {"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits", "individual_digits": true},
              {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated"}])");
  return bitnet::fuzzing::write_seeds("fuzz_tokenizer_json_seeds", argc, argv,
                                      {{"small", small_tokenizer_json()},
                                       {"pairs", pairs},
                                       {"steps", steps},
                                       {"pieces", small_spm_tokenizer_json()},
                                       {"empty", "{}"}});
}
