#include "reference/llama_adapter/probes.h"

#include <dlfcn.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>
#include <vector>

#include "reference/llama_adapter/api.h"
#include "reference/llama_adapter/compiler_note.h"

namespace crossval::llama_adapter {
namespace {

using llama_api::Family;

// Functions that no public header declares, by the names of their symbols: optional.
template <class Function>
Function symbol(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));  // POSIX lets a function come as a void*
}

using QuantizeRow = void (*)(const float* x, void* y, std::int64_t n, float* scale, std::int32_t* sum);
using QuantizeMatrix = std::size_t (*)(const float* x, void* y, std::int64_t rows, std::int64_t columns,
                                       const float* importance);

constexpr ggml_type kI2S = static_cast<ggml_type>(36);

bool has_i2_s() {
  const char* name = ggml_type_name(kI2S);
  return name && std::string_view(name) == "i2_s";
}

// --- fingerprints ----------------------------------------------------------------------------------------

// fl(x * s) is a tie here and the exact product is not: rounding the product first gives -24, one rounding of
// multiply-and-add -23.
std::optional<std::string> quantizer() {
  const auto quantize = symbol<QuantizeRow>("quantize_row_i8_s");
  if (!quantize) return std::nullopt;
  std::array<float, 128> x{};
  x[0] = 2.92578125f;
  x[1] = -0x1.15306p-1f;
  // Room to spare: nothing says how much a library writes.
  std::array<std::int8_t, 1024> codes{};
  std::array<float, 16> scale{};
  std::array<std::int32_t, 16> sum{};
  quantize(x.data(), codes.data(), 128, scale.data(), sum.data());
  if (codes[1] == -24) return "product";
  if (codes[1] == -23) return "fused";
  return "unknown: code " + std::to_string(codes[1]);
}

std::optional<std::string> zero_row_scale() {
  const auto quantize = symbol<QuantizeRow>("quantize_row_i8_s");
  if (!quantize) return std::nullopt;
  const std::array<float, 128> x{};
  std::array<std::int8_t, 1024> codes{};
  std::array<float, 16> scale{};
  std::array<std::int32_t, 16> sum{};
  quantize(x.data(), codes.data(), 128, scale.data(), sum.data());
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(scale[0]));
  return text;
}

// One +1 in row 0, column 33 of a 4 x 128 matrix: where does its code 2 come to lie?
std::optional<std::string> i2_s_layout() {
  const auto quantize = symbol<QuantizeMatrix>("quantize_i2_s");
  if (!quantize || !has_i2_s()) return std::nullopt;
  std::vector<float> matrix(4 * 128, 0.0f);
  matrix[33] = 1.0f;
  std::vector<std::uint8_t> bytes(4096, 0);
  quantize(matrix.data(), bytes.data(), 4, 128, nullptr);
  constexpr std::uint8_t kZeros = 0x55;  // four codes 1
  const auto differs = [&](std::size_t at, int shift) {
    for (std::size_t i = 0; i < 128; ++i) {
      const auto expected = static_cast<std::uint8_t>(i == at ? (kZeros ^ (3 << shift)) : kZeros);
      if (bytes[i] != expected) return false;
    }
    return true;
  };
  if (differs(1, 4)) return "128";
  if (differs(1, 2)) return "64";
  if (differs(33, 6)) return "4-row";
  return "unknown";
}

// All codes 2 and all activations 127: 16-bit lanes wrap at 4096 elements.
std::optional<std::string> i2_s_sums() {
  const auto dot = symbol<llama_api::VecDot>("ggml_vec_dot_i2_i8_s");
  if (!dot || !has_i2_s()) return std::nullopt;
  constexpr int kLength = 4096;
  const std::vector<std::uint8_t> codes(kLength / 4 + 64, 0xaa);
  const std::vector<std::int8_t> activations(kLength + 64, 127);
  std::array<float, 64> sum{};
  dot(kLength, sum.data(), 0, codes.data(), 0, activations.data(), 0, 1);
  if (sum[0] == -8192.0f) return "int16";
  if (sum[0] == 1040384.0f) return "exact";
  return "unknown: " + std::to_string(sum[0]);
}

// The dot product of two F16 rows as bitnet.cpp's vector code adds it up: four accumulators of `lanes`,
// folded pairwise; what is left over goes into a double.
float dot_in_lanes(const std::vector<float>& x, const std::vector<float>& y, std::size_t lanes) {
  const std::size_t step = 4 * lanes;
  std::vector<float> sums(step, 0.0f);
  const std::size_t whole = x.size() / step * step;
  for (std::size_t i = 0; i < whole; ++i) sums[i % step] = std::fma(x[i], y[i], sums[i % step]);
  std::vector<float> lane(lanes);
  for (std::size_t l = 0; l < lanes; ++l)
    lane[l] = (sums[l] + sums[l + 2 * lanes]) + (sums[l + lanes] + sums[l + 3 * lanes]);
  float folded;
  if (lanes == 16) {
    for (std::size_t half = 8; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
    folded = lane[0];
  } else {
    for (std::size_t l = 0; l < 4; ++l) lane[l] = lane[l] + lane[l + 4];
    folded = (lane[0] + lane[1]) + (lane[2] + lane[3]);
  }
  double sum = static_cast<double>(folded);
  for (std::size_t i = whole; i < x.size(); ++i) sum += static_cast<double>(x[i] * y[i]);
  return static_cast<float>(sum);
}

std::optional<std::string> vec_dot_lanes() {
  const auto dot = llama_api::vec_dot(GGML_TYPE_F16);
  if (!dot) return std::nullopt;
  constexpr std::size_t kLength = 96;
  // Several rows: on one alone the two orders may agree by chance.
  bool is8 = true;
  bool is16 = true;
  std::uint32_t state = 1;
  const auto next = [&] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
  };
  for (int row = 0; row < 32; ++row) {
    std::vector<ggml_fp16_t> a(kLength);
    std::vector<ggml_fp16_t> b(kLength);
    std::vector<float> x(kLength);
    std::vector<float> y(kLength);
    for (std::size_t i = 0; i < kLength; ++i) {
      a[i] = ggml_fp32_to_fp16(next());
      b[i] = ggml_fp32_to_fp16(next());
      x[i] = ggml_fp16_to_fp32(a[i]);
      y[i] = ggml_fp16_to_fp32(b[i]);
    }
    float sum = 0.0f;
    dot(static_cast<int>(kLength), &sum, 0, a.data(), 0, b.data(), 0, 1);
    is8 = is8 && sum == dot_in_lanes(x, y, 8);
    is16 = is16 && sum == dot_in_lanes(x, y, 16);
  }
  if (is8 != is16) return is8 ? "8" : "16";
  return "unknown";
}

// --- who it is -------------------------------------------------------------------------------------------

void identify(std::map<std::string, std::string>& details) {
  switch (llama_api::family()) {
    case Family::ik:
      details["library"] = "ik_llama.cpp";
      details["generation"] = "ik";
      return;
    case Family::fork:
      details["library"] = has_i2_s() ? "bitnet.cpp" : "llama.cpp";
      // The products of several rows and columns came with the second generation.
      details["generation"] = !has_i2_s() ? "llama.cpp" : symbol<void*>("ggml_gemm_i2_i8_s") ? "2" : "1";
      return;
    case Family::llama_2025:
    case Family::llama_current:
      details["library"] = has_i2_s() ? "bitnet.cpp" : "llama.cpp";
      details["generation"] = has_i2_s()                                  ? "3"
                              : llama_api::family() == Family::llama_2025 ? "llama.cpp 2025"
                                                                          : "llama.cpp";
      return;
  }
}

std::string compiler() {
  // The library that computes, where it is one of several.
  for (const char* name : {"ggml_backend_cpu_init", "ggml_type_name"})
    if (const auto* at = symbol<const void*>(name)) {
      std::string note = compiler_note(at);
      if (!note.empty()) return note;
    }
  return CROSSVAL_LLAMA_COMPILER;
}

std::string commit() {
  std::string text = CROSSVAL_LLAMA_COMMIT;
  if (const auto ask = symbol<const char* (*)()>("ggml_commit"); text.empty() && ask) text = ask();
  return text == "unknown" ? std::string() : text;
}

}  // namespace

void start_library() {
  // Where backends are plug-ins nothing is there to compute with until they are loaded.
  if (const auto load = symbol<void (*)()>("ggml_backend_load_all")) load();
  llama_backend_init();
}

std::string library_build() {
  std::string text = compiler();
  std::string revision = commit();
  if (revision.empty()) revision = CROSSVAL_BITNET_COMMIT;
  if (text.empty()) text = "unknown compiler";
  return revision.empty() ? text : text + ", commit " + revision;
}

std::map<std::string, std::string> library_details() {
  std::map<std::string, std::string> details;
  identify(details);
  const auto set = [&](const char* key, const std::optional<std::string>& value) {
    if (value && !value->empty()) details[key] = *value;
  };
  set("compiler", compiler());
  set("commit", commit());
  set("checkout_commit", std::string(CROSSVAL_BITNET_COMMIT));
  if (const auto version = symbol<const char* (*)()>("ggml_version")) set("ggml_version", version());
  if (const auto number = symbol<const int*>("LLAMA_BUILD_NUMBER"))
    set("build_number", std::to_string(*number));
  const char* info = llama_print_system_info();
  set("system_info", info ? std::string(info) : std::string());
  set("quantizer", quantizer());
  set("zero_row_scale", zero_row_scale());
  set("i2_s_layout", i2_s_layout());
  set("i2_s_sums", i2_s_sums());
  set("vec_dot_lanes", vec_dot_lanes());
  if (details["library"] == "bitnet.cpp")
    set("tinyblas", std::string(symbol<void*>("llamafile_sgemm") ? "on" : "off"));
  return details;
}

}  // namespace crossval::llama_adapter
