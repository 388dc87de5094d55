// Google Benchmark: every kernel of every instruction set this machine runs, on the shapes of BitNet b1.58
// 2B-4T (width 2560, FFN 6912, 20 heads of 128, 5 KV heads, vocabulary 128256), and the limits they are held
// against. One thread. Names read operation/isa/shape; the last number of a product's shape is the batch, the
// tokens that it is given at once. ops/s counts multiply-adds (or elements), bytes/s what must come from
// memory.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/kernels/huge_pages.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/limits.h"
#include "engine/kernels/test_values.h"

namespace bitnet {
namespace {

using testing_support::Random;
using testing_support::Values;

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

template <class T>
std::vector<T> drawn(std::int64_t n) {
  Random random(1);
  std::vector<T> x(size(n));
  testing_support::fill(x.data(), x.data() + x.size(), Values::ordinary, random);
  return x;
}

std::vector<float> floats(std::int64_t n) {
  return drawn<float>(n);
}

std::vector<f16> halves(std::int64_t n) {
  return drawn<f16>(n);
}

void report(benchmark::State& state, std::int64_t operations, std::int64_t bytes) {
  const auto iterations = static_cast<std::int64_t>(state.iterations());
  state.counters["ops/s"] =
      benchmark::Counter(static_cast<double>(iterations * operations), benchmark::Counter::kIsRate);
  state.SetBytesProcessed(iterations * bytes);
}

void bench_quantize_row(benchmark::State& state, const Kernels& k, std::int64_t n) {
  const std::vector<float> x = floats(n);
  std::vector<std::int8_t> codes(x.size());
  float scale = 0;
  std::int32_t sum = 0;
  for (auto _ : state) k.quantize_row(x.data(), n, codes.data(), &scale, &sum);
  report(state, n, 5 * n);
}

/// Enough matrices of one shape that a single row of activations finds none of them in a cache.
void bench_ternary_matmul(benchmark::State& state, const Kernels& k, std::int64_t rows, std::int64_t cols,
                          std::int64_t tokens) {
  const std::int64_t bytes = rows * cols / 4;
  const std::int64_t matrices = tokens == 1 ? std::max<std::int64_t>(1, (std::int64_t{1} << 28) / bytes) : 1;
  Random random(3);
  std::vector<std::uint8_t> codes(size(bytes * matrices));
  for (std::uint8_t& byte : codes) byte = static_cast<std::uint8_t>(random.bits() & 0xaa);
  std::vector<std::int8_t> x(size(tokens * cols));
  for (std::int8_t& q : x) q = static_cast<std::int8_t>(random.below(255) - 127);
  const std::vector<float> scales(size(tokens), 12.5f);
  const std::vector<std::int32_t> sums(size(tokens), 77);
  std::vector<float> y(size(tokens * rows));
  std::int64_t next = 0;
  for (auto _ : state) {
    const TernaryMatrix w = {&codes[size(next * bytes)], rows, cols, 0.5f};
    k.ternary_matmul(w, 0, rows, {x.data(), scales.data(), sums.data(), tokens, cols}, y.data(), rows);
    benchmark::ClobberMemory();
    next = (next + 1) % matrices;
  }
  report(state, rows * cols * tokens, bytes);
}

template <class W, class T, class Kernel>
void bench_matmul(benchmark::State& state, Kernel kernel, const std::vector<W>& w, std::int64_t rows,
                  std::int64_t n, const std::vector<T>& x) {
  const std::int64_t tokens = std::ssize(x) / n;
  std::vector<float> y(size(tokens * rows));
  for (auto _ : state) {
    kernel(w.data(), n, 0, rows, x.data(), tokens, n, y.data(), rows);
    benchmark::ClobberMemory();
  }
  report(state, rows * n * tokens, std::ssize(w) * static_cast<std::int64_t>(sizeof(W)));
}

void bench_matmul_q6_k(benchmark::State& state, const Kernels& k, std::int64_t rows, std::int64_t n,
                       std::int64_t tokens) {
  const auto w = drawn<q6_k::Block>(rows * n / q6_k::Block::kElements);
  const std::vector<float> x = floats(tokens * n);
  std::vector<ActivationBlock> blocks(x.size() / q6_k::Block::kElements);
  k.quantize_blocks(x.data(), tokens * n, blocks.data());
  std::vector<float> y(size(tokens * rows));
  for (auto _ : state) {
    k.matmul_q6_k(w.data(), n, 0, rows, blocks.data(), tokens, y.data(), rows);
    benchmark::ClobberMemory();
  }
  report(state, rows * n * tokens, std::ssize(w) * static_cast<std::int64_t>(sizeof(q6_k::Block)));
}

void bench_quantize_blocks(benchmark::State& state, const Kernels& k, std::int64_t n) {
  const std::vector<float> x = floats(n);
  std::vector<ActivationBlock> blocks(x.size() / q6_k::Block::kElements);
  for (auto _ : state) {
    k.quantize_blocks(x.data(), n, blocks.data());
    benchmark::ClobberMemory();
  }
  report(state, n, 6 * n);
}

template <class T>
void bench_decode(benchmark::State& state, void (*kernel)(const T*, std::int64_t, float*), std::int64_t n) {
  const auto row = drawn<T>(n / elements_in<T>);
  std::vector<float> y(size(n));
  for (auto _ : state) {
    kernel(row.data(), n, y.data());
    benchmark::ClobberMemory();
  }
  report(state, n, 4 * n + std::ssize(row) * static_cast<std::int64_t>(sizeof(T)));
}

void bench_rms_norm(benchmark::State& state, const Kernels& k, std::int64_t n, std::int64_t rows) {
  const std::vector<float> x = floats(n * rows);
  const std::vector<float> weight = floats(n);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    k.rms_norm(x.data(), rows, n, weight.data(), n, 1e-5f, y.data(), n);
    benchmark::ClobberMemory();
  }
  report(state, n * rows, 8 * n * rows);
}

void bench_rope(benchmark::State& state, const Kernels& k, RopePairing pairing) {
  std::vector<float> x = floats(20 * 128);
  const std::vector<float> cos(64, 0.6f);
  const std::vector<float> sin(64, 0.8f);
  for (auto _ : state) {
    k.rope(x.data(), 20, 128, 128, pairing, cos.data(), sin.data());
    benchmark::ClobberMemory();
  }
  report(state, 20 * 64, 8 * 20 * 128);
}

/// Pages of keys or values of five KV heads, in huge pages as the engine's are.
struct Cache {
  explicit Cache(std::int64_t cells)
      : storage(allocate_huge_pages((cells + 63) / 64 * kPage * static_cast<std::int64_t>(sizeof(f16)))) {
    auto* const data = reinterpret_cast<f16*>(storage.get());
    const std::vector<f16> page = halves(kPage);
    for (std::int64_t at = 0; at < (cells + 63) / 64 * kPage; at += kPage)
      pages.push_back(std::copy(page.begin(), page.end(), data + at) - kPage);
  }
  static constexpr std::int64_t kPage = kPageCells * 640;
  HugePages storage;
  std::vector<const f16*> pages;
};

/// From one row of scores to the next, as the engine has them: whole cache lines, an odd number of them.
std::int64_t scores_stride(std::int64_t cells) {
  return (cells + 15) / 16 * 16 | 16;
}

/// The first of them at the start of a cache line.
float* aligned(std::vector<float>& x) {
  x.resize(x.size() + 16, x.back());
  const std::size_t past = reinterpret_cast<std::uintptr_t>(x.data()) / sizeof(float) % 16;
  return x.data() + (past == 0 ? 0 : 16 - past);
}

/// One token of one head, the four heads of a token in decoding, those of sixteen tokens in a prompt.
constexpr QueryGroup kGroups[] = {{1, 1, 0}, {1, 4, 0}, {16, 4, 0}};

std::string shape_of(const QueryGroup& group, std::int64_t head_dim, std::int64_t cells) {
  return std::to_string(group.tokens * group.heads) + "x" + std::to_string(head_dim) + "x" +
         std::to_string(cells);
}

/// The last token sees all the cells.
QueryGroup seeing(QueryGroup group, std::int64_t cells) {
  group.cells = cells - group.tokens + 1;
  return group;
}

void bench_attn_scores(benchmark::State& state, const Kernels& k, const QueryGroup& group,
                       std::int64_t head_dim, std::int64_t cells) {
  const Cache cache(cells);
  const std::int64_t rows = group.tokens * group.heads;
  const std::vector<f16> q = halves(rows * head_dim);
  std::vector<float> scores(size(rows * scores_stride(cells)));
  float* const y = aligned(scores);
  for (auto _ : state) {
    k.attn_scores(seeing(group, cells), q.data(), group.heads * head_dim, cache.pages.data(), 640, head_dim,
                  head_dim, y, scores_stride(cells));
    benchmark::ClobberMemory();
  }
  report(state, rows * head_dim * cells, 2 * head_dim * cells);
}

void bench_softmax(benchmark::State& state, const Kernels& k, std::int64_t cells) {
  const std::vector<float> scores = floats(cells);
  std::vector<float> x = scores;
  for (auto _ : state) {
    std::copy(scores.begin(), scores.end(), x.begin());
    k.softmax(x.data(), cells, 0.088f);
    benchmark::ClobberMemory();
  }
  report(state, cells, 4 * cells);
}

void bench_attn_context(benchmark::State& state, const Kernels& k, const QueryGroup& group,
                        std::int64_t head_dim, std::int64_t cells) {
  const Cache cache(cells);
  const std::int64_t rows = group.tokens * group.heads;
  std::vector<float> probabilities(size(rows * scores_stride(cells)), 1.0f / static_cast<float>(cells));
  float* const p = aligned(probabilities);
  std::vector<float> out(size(rows * head_dim));
  for (auto _ : state) {
    k.attn_context(seeing(group, cells), p, scores_stride(cells), cache.pages.data(), head_dim, head_dim,
                   out.data(), group.heads * head_dim);
    benchmark::ClobberMemory();
  }
  report(state, rows * head_dim * cells, 2 * head_dim * cells);
}

template <class In, class Out>
void bench_unary(benchmark::State& state, void (*kernel)(const In*, std::int64_t, Out*), std::int64_t n,
                 const std::vector<In>& x) {
  std::vector<Out> y(x.size());
  for (auto _ : state) {
    kernel(x.data(), n, y.data());
    benchmark::ClobberMemory();
  }
  report(state, n, static_cast<std::int64_t>(sizeof(In) + sizeof(Out)) * n);
}

void bench_binary(benchmark::State& state, void (*kernel)(const float*, const float*, std::int64_t, float*),
                  std::int64_t n) {
  const std::vector<float> a = floats(n);
  std::vector<float> y(a.size());
  for (auto _ : state) {
    kernel(a.data(), a.data(), n, y.data());
    benchmark::ClobberMemory();
  }
  report(state, n, 12 * n);
}

void bench_screen_row(benchmark::State& state, const Kernels& k, std::int64_t n) {
  const std::vector<f16> w = halves(n);
  std::vector<std::int8_t> codes(w.size());
  float floats[3];
  for (auto _ : state) {
    k.screen_row(w.data(), n, codes.data(), &floats[0], &floats[1], &floats[2]);
    benchmark::ClobberMemory();
  }
  report(state, n, 3 * n);
}

template <class Kernel, class Code>
void bench_screen_bounds(benchmark::State& state, Kernel bounds, Code greatest, std::int64_t rows,
                         std::int64_t n, std::int64_t tokens) {
  Random random(4);
  const HugePages codes_memory = allocate_huge_pages(rows * n);
  auto* const codes = reinterpret_cast<std::int8_t*>(codes_memory.get());
  for (std::int64_t i = 0; i < rows * n; ++i) codes[i] = static_cast<std::int8_t>(random.below(255) - 127);
  const HugePages x_memory = allocate_huge_pages(tokens * n * static_cast<std::int64_t>(sizeof(Code)));
  auto* const x = reinterpret_cast<Code*>(x_memory.get());
  for (std::int64_t i = 0; i < tokens * n; ++i)
    x[i] = static_cast<Code>(random.below(2 * greatest + 1) - greatest);
  const std::vector<float> floats(size(rows), 0.5f);
  const std::vector<double> doubles(size(tokens), 0.5);
  std::vector<float> y(size(2 * tokens * rows));
  for (auto _ : state) {
    bounds({codes, floats.data(), floats.data(), floats.data(), n}, 0, rows,
           {x, doubles.data(), doubles.data(), doubles.data(), tokens}, y.data(), y.data() + tokens * rows,
           rows);
    benchmark::ClobberMemory();
  }
  report(state, rows * n * tokens, rows * n);
}

void bench_argmax(benchmark::State& state, const Kernels& k, std::int64_t n) {
  const std::vector<float> x = floats(n);
  for (auto _ : state) benchmark::DoNotOptimize(k.argmax(x.data(), n));
  report(state, n, 4 * n);
}

// One function for each operation, called by kernels.inc: a kernel that is not measured does not build.

using benchmark::RegisterBenchmark;

/// From decoding one sequence to prefill.
constexpr std::int64_t kBatches[] = {1, 8, 32, 128, 512};

std::string name(std::string_view operation, const Kernels& k, const std::string& shape) {
  return std::string(operation) + "/" + std::string(k.name) + "/" + shape;
}

void register_quantize_row(const Kernels& k) {
  for (const std::int64_t n : {2560, 6912}) {
    RegisterBenchmark(name("quantize_row", k, std::to_string(n)).c_str(),
                      [&k, n](benchmark::State& s) { bench_quantize_row(s, k, n); });
  }
}

void register_ternary_matmul(const Kernels& k) {
  struct Shape {
    std::int64_t rows, cols;
  };
  for (const Shape w :
       {Shape{2560, 2560}, Shape{640, 2560}, Shape{6912, 2560}, Shape{2560, 6912}, Shape{4096, 4096}}) {
    for (const std::int64_t tokens : kBatches) {
      const std::string shape =
          std::to_string(w.rows) + "x" + std::to_string(w.cols) + "x" + std::to_string(tokens);
      RegisterBenchmark(name("ternary_matmul", k, shape).c_str(), [&k, w, tokens](benchmark::State& s) {
        bench_ternary_matmul(s, k, w.rows, w.cols, tokens);
      });
    }
  }
}

/// The head for one token and, of a part of it, for several. W: type of its weights, T: of its input.
template <class W, class T, class Kernel>
void register_matmul(std::string_view operation, const Kernels& k, Kernel kernel) {
  constexpr std::int64_t n = 2560;
  for (const std::int64_t tokens : kBatches) {
    const std::int64_t rows = tokens == 1 ? 128256 : 16384;
    const std::string shape = std::to_string(rows) + "x2560x" + std::to_string(tokens);
    RegisterBenchmark(name(operation, k, shape).c_str(), [kernel, rows, tokens](benchmark::State& s) {
      bench_matmul(s, kernel, drawn<W>(rows * (n / elements_in<W>)), rows, n, drawn<T>(tokens * n));
    });
  }
}

void register_matmul_f16(const Kernels& k) {
  register_matmul<f16, f16>("matmul_f16", k, k.matmul_f16);
}
void register_matmul_f32(const Kernels& k) {
  register_matmul<float, float>("matmul_f32", k, k.matmul_f32);
}
void register_matmul_bf16(const Kernels& k) {
  register_matmul<bf16, float>("matmul_bf16", k, k.matmul_bf16);
}
void register_matmul_q8_0(const Kernels& k) {
  register_matmul<q8_0::Block, float>("matmul_q8_0", k, k.matmul_q8_0);
}
void register_matmul_q5_0(const Kernels& k) {
  register_matmul<q5_0::Block, float>("matmul_q5_0", k, k.matmul_q5_0);
}
void register_matmul_q4_k(const Kernels& k) {
  register_matmul<q4_k::Block, float>("matmul_q4_k", k, k.matmul_q4_k);
}
void register_matmul_q4_0(const Kernels& k) {
  register_matmul<q4_0::Block, float>("matmul_q4_0", k, k.matmul_q4_0);
}
void register_matmul_q6_k(const Kernels& k) {
  for (const std::int64_t tokens : kBatches) {
    const std::int64_t rows = tokens == 1 ? 128256 : 16384;
    RegisterBenchmark(
        name("matmul_q6_k", k, std::to_string(rows) + "x2560x" + std::to_string(tokens)).c_str(),
        [&k, rows, tokens](benchmark::State& s) { bench_matmul_q6_k(s, k, rows, 2560, tokens); });
  }
}

void register_quantize_blocks(const Kernels& k) {
  RegisterBenchmark(name("quantize_blocks", k, "2560").c_str(),
                    [&k](benchmark::State& s) { bench_quantize_blocks(s, k, 2560); });
}

template <class T>
void register_decode(std::string_view operation, const Kernels& k,
                     void (*kernel)(const T*, std::int64_t, float*)) {
  RegisterBenchmark(name(operation, k, "2560").c_str(),
                    [kernel](benchmark::State& s) { bench_decode(s, kernel, 2560); });
}

void register_decode_bf16(const Kernels& k) {
  register_decode("decode_bf16", k, k.decode_bf16);
}
void register_decode_q8_0(const Kernels& k) {
  register_decode("decode_q8_0", k, k.decode_q8_0);
}
void register_decode_q5_0(const Kernels& k) {
  register_decode("decode_q5_0", k, k.decode_q5_0);
}
void register_decode_q4_k(const Kernels& k) {
  register_decode("decode_q4_k", k, k.decode_q4_k);
}
void register_decode_q4_0(const Kernels& k) {
  register_decode("decode_q4_0", k, k.decode_q4_0);
}
void register_decode_q6_k(const Kernels& k) {
  register_decode("decode_q6_k", k, k.decode_q6_k);
}

void register_rms_norm(const Kernels& k) {
  for (const std::int64_t n : {2560, 6912}) {
    for (const std::int64_t rows : kBatches) {
      RegisterBenchmark(name("rms_norm", k, std::to_string(n) + "x" + std::to_string(rows)).c_str(),
                        [&k, n, rows](benchmark::State& s) { bench_rms_norm(s, k, n, rows); });
    }
  }
}

void register_rope(const Kernels& k) {
  RegisterBenchmark(name("rope", k, "neox").c_str(),
                    [&k](benchmark::State& s) { bench_rope(s, k, RopePairing::neox); });
  RegisterBenchmark(name("rope", k, "adjacent").c_str(),
                    [&k](benchmark::State& s) { bench_rope(s, k, RopePairing::adjacent); });
}

void register_attn_scores(const Kernels& k) {
  for (const QueryGroup& group : kGroups) {
    for (const std::int64_t head_dim : {80, 128}) {
      for (const std::int64_t cells : {64, 512, 4096}) {
        RegisterBenchmark(name("attn_scores", k, shape_of(group, head_dim, cells)).c_str(),
                          [&k, &group, head_dim, cells](benchmark::State& s) {
                            bench_attn_scores(s, k, group, head_dim, cells);
                          });
      }
    }
  }
}

void register_softmax(const Kernels& k) {
  for (const std::int64_t cells : {64, 512, 4096}) {
    RegisterBenchmark(name("softmax", k, std::to_string(cells)).c_str(),
                      [&k, cells](benchmark::State& s) { bench_softmax(s, k, cells); });
  }
}

void register_attn_context(const Kernels& k) {
  for (const QueryGroup& group : kGroups) {
    for (const std::int64_t cells : {32, 64, 512, 4096}) {
      RegisterBenchmark(
          name("attn_context", k, shape_of(group, 128, cells)).c_str(),
          [&k, &group, cells](benchmark::State& s) { bench_attn_context(s, k, group, 128, cells); });
    }
  }
}

void register_binary(std::string_view operation, const Kernels& k, decltype(Kernels::add) kernel) {
  RegisterBenchmark(name(operation, k, "6912").c_str(),
                    [kernel](benchmark::State& s) { bench_binary(s, kernel, 6912); });
}

template <class In, class Out>
void register_unary(std::string_view operation, const Kernels& k,
                    void (*kernel)(const In*, std::int64_t, Out*), const std::vector<In>& x) {
  RegisterBenchmark(name(operation, k, std::to_string(x.size())).c_str(), [kernel, x](benchmark::State& s) {
    bench_unary(s, kernel, static_cast<std::int64_t>(x.size()), x);
  });
}

void register_add(const Kernels& k) {
  register_binary("add", k, k.add);
}
void register_mul(const Kernels& k) {
  register_binary("mul", k, k.mul);
}
void register_relu_squared(const Kernels& k) {
  register_unary("relu_squared", k, k.relu_squared, floats(6912));
}
void register_silu(const Kernels& k) {
  register_unary("silu", k, k.silu, floats(6912));
}
void register_to_f16(const Kernels& k) {
  register_unary("to_f16", k, k.to_f16, floats(2560));
}
void register_to_f32(const Kernels& k) {
  register_unary("to_f32", k, k.to_f32, halves(2560));
}

void register_screen_row(const Kernels& k) {
  RegisterBenchmark(name("screen_row", k, "2560").c_str(),
                    [&k](benchmark::State& s) { bench_screen_row(s, k, 2560); });
}

template <class Kernel, class Code>
void register_bounds(std::string_view operation, const Kernels& k, Kernel bounds, Code greatest) {
  for (const std::int64_t tokens : kBatches) {
    const std::int64_t rows = tokens == 1 ? 128256 : 16384;
    RegisterBenchmark(
        name(operation, k, std::to_string(rows) + "x2560x" + std::to_string(tokens)).c_str(),
        [=](benchmark::State& s) { bench_screen_bounds(s, bounds, greatest, rows, 2560, tokens); });
  }
}
void register_screen_bounds(const Kernels& k) {
  register_bounds("screen_bounds", k, k.screen_bounds, std::int16_t{6500});
}
void register_screen_bounds_int8(const Kernels& k) {
  register_bounds("screen_bounds_int8", k, k.screen_bounds_int8, std::int8_t{127});
}

void register_argmax(const Kernels& k) {
  RegisterBenchmark(name("argmax", k, "128256").c_str(),
                    [&k](benchmark::State& s) { bench_argmax(s, k, 128256); });
}

template <class T>
void register_limit(std::string_view limit, const Kernels& k, std::int64_t (*loop)(const T*, std::int64_t)) {
  RegisterBenchmark(name(limit, k, "limit").c_str(), [loop](benchmark::State& s) {
    const std::vector<T> ones(64, T{1});
    std::int64_t done = 0;
    for (auto _ : s) done = loop(ones.data(), 100000);
    report(s, done, 0);
  });
}

void register_limit(std::string_view limit, const Kernels& k, decltype(LimitKernels::read) read) {
  RegisterBenchmark(name(limit, k, "limit").c_str(), [read](benchmark::State& s) {
    constexpr std::int64_t kBytes = std::int64_t{1} << 28;
    const HugePages memory = allocate_huge_pages(kBytes);
    std::fill_n(memory.get(), kBytes, std::byte{1});
    for (auto _ : s) benchmark::DoNotOptimize(read(memory.get(), kBytes));
    report(s, 0, kBytes);
  });
}

void register_all() {
  for (const Kernels* table : compiled_kernels()) {
    if (!supported(*table)) continue;
#define CROSSVAL_KERNEL(isa, operation, function) \
  if (table->name == #isa) register_##operation(*table);
#define CROSSVAL_LIMIT(isa, limit, function) \
  if (table->name == #isa) register_limit(#limit, *table, limit_kernels(*table).limit);
#include "engine/kernels/kernels.inc"
  }
}

}  // namespace
}  // namespace bitnet

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  bitnet::register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
