#pragma once
// Small files tokenizer.json, to be changed in tests: the letters a, b, c, a merge, BOS and EOS.

#include <string>

namespace bitnet::testing {

inline std::string with(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  return at == std::string::npos ? "`" + what + "` is not in the text" : text.replace(at, what.size(), by);
}

inline const std::string& small_tokenizer_json() {
  static const std::string text = R"json({
  "version": "1.0",
  "added_tokens": [
    {"id": 4, "content": "<s>", "special": true},
    {"id": 5, "content": "</s>", "special": true},
    {"id": 6, "content": "<tool>", "special": false}
  ],
  "normalizer": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "post_processor": {"type": "Sequence", "processors": [
    {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                              {"Sequence": {"id": "A", "type_id": 0}}]}
  ]},
  "bos_token": "<s>",
  "eos_token": {"content": "</s>"},
  "eos_token_id": [5, 6],
  "chat_template": "{{ messages }}",
  "model": {"type": "BPE", "byte_fallback": false, "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3},
            "merges": ["a b"]}
})json";
  return text;
}

/// The same for SentencePiece, as old versions of transformers write it: a byte, and words behind a space.
inline const std::string& small_spm_tokenizer_json() {
  static const std::string text = R"json({
  "version": "1.0",
  "added_tokens": [
    {"id": 0, "content": "<unk>", "special": true},
    {"id": 1, "content": "<s>", "special": true},
    {"id": 2, "content": "</s>", "special": true},
    {"id": 11, "content": "\u2581\u2581", "special": false}
  ],
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "\u2581"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
  ]},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                              {"Sequence": {"id": "A", "type_id": 0}}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "<0x21>": 3, "\u2581ab": 4, "ab": 5, "\u2581a": 6,
                      "\u2581": 7, "b": 8, "a": 9},
            "merges": ["\u2581 ab", "\u2581a b", "a b", "\u2581 a"]}
})json";
  return text;
}

}  // namespace bitnet::testing
