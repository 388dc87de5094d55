#pragma once
// Safetensors files, made by hand, to be read or damaged in tests.

#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bitnet::testing {

struct TestTensor {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::string bytes;
};

struct TestSafetensors {
  std::map<std::string, std::string> metadata;
  std::vector<TestTensor> tensors;

  TestTensor& tensor(const std::string& name) {
    for (TestTensor& t : tensors)
      if (t.name == name) return t;
    tensors.push_back({name, "F32", {}, {}});
    return tensors.back();
  }
  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const TestTensor& t) { return t.name == name; });
  }

  std::string header() const {
    std::string text = R"({"__metadata__":)" + nlohmann::json(metadata).dump();
    std::size_t at = 0;
    for (const TestTensor& t : tensors) {
      text += "," + nlohmann::json(t.name).dump() + R"(:{"dtype":")" + t.dtype + R"(","shape":)" +
              nlohmann::json(t.shape).dump() + R"(,"data_offsets":[)" + std::to_string(at) + "," +
              std::to_string(at + t.bytes.size()) + "]}";
      at += t.bytes.size();
    }
    return text + "}";
  }
  std::string data() const {
    std::string bytes;
    for (const TestTensor& t : tensors) bytes += t.bytes;
    return bytes;
  }
  std::string bytes() const { return join(header(), data()); }

  static std::string join(const std::string& header, const std::string& data) {
    const std::uint64_t length = header.size();
    std::string out(sizeof length, '\0');
    std::memcpy(out.data(), &length, sizeof length);
    return out + header + data;
  }
};

}  // namespace bitnet::testing
