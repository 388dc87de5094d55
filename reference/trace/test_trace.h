#pragma once
// A small trace, made by hand, to be damaged in tests: one layer, widths of 2, a vocabulary of 3, the cases
// `a` (two steps) and `b/c` (one).

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "engine/model/config.h"
#include "engine/safetensors/test_file.h"

namespace crossval::testing {

using TestTensor = bitnet::testing::TestTensor;
using TestTrace = bitnet::testing::TestSafetensors;

inline bitnet::Config test_config() {
  bitnet::Config c;
  c.n_vocab = 3;
  c.n_ctx = 16;
  c.n_embd = 2;
  c.n_ff = 4;
  c.n_layer = 1;
  c.n_head = 1;
  c.n_head_kv = 1;
  c.head_dim = 2;
  c.n_rot = 2;
  return c;
}

inline std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline TestTrace test_trace(bool hashed = false) {
  TestTrace t;
  t.metadata = {{"schema", "crossval.trace/1"},
                {"model_sha256", std::string(64, '1')},
                {"suite_sha256", std::string(64, '2')},
                {"participant", "engine"},
                {"version", "1"},
                {"build", "none"},
                {"details", R"({"rope":"own"})"},
                {"values", hashed ? "sha256" : "full"},
                {"reference_batch", "1"},
                {"n_vocab", "3"},
                {"taps", R"(["result_output","kq-0","l_out-0"])"},
                {"tokens", R"({"a":[[1,2],[0]],"b/c":[[2]]})"},
                {"pieces", R"({"0":"YQ==","1":"Yg==","2":"/w=="})"},
                {"rope", "own"},
                {"rope_positions", "3"},
                {"rope_cos", "AACAPwAAAD8AAAA/"},
                {"rope_sin", "AAAAAAAAAD8AAAA/"}};
  float next = 0;
  std::string hash(32, 'a');
  struct Step {
    std::string name;
    std::uint64_t rows;
    std::uint64_t scores;
  };
  for (const Step& at : {Step{"a/0/", 2, 3}, Step{"a/1/", 1, 3}, Step{"b%2Fc/0/", 1, 1}}) {
    const auto add = [&](const std::string& tap, std::vector<std::uint64_t> shape) {
      std::size_t n = 1;
      for (const std::uint64_t d : shape) n *= d;
      std::vector<float> values(n);
      for (float& v : values) v = ++next;
      t.tensors.push_back({at.name + tap, "F32", std::move(shape), floats(values)});
    };
    const auto add_hashes = [&](const std::string& tap) {
      std::string bytes;
      for (std::uint64_t i = 0; i < at.rows; ++i, ++hash[0]) bytes += hash;
      t.tensors.push_back({at.name + tap + ".sha256", "U8", {at.rows, 32}, bytes});
    };
    if (hashed) {
      for (const char* tap : {"kq-0", "l_out-0", "result_output"}) add_hashes(tap);
      add("l_out-0", {1, 2});
      add("result_output", {1, 3});
    } else {
      add("kq-0", {at.scores});
      add("l_out-0", {at.rows, 2});
      add("result_output", {at.rows, 3});
    }
  }
  return t;
}

}  // namespace crossval::testing
