// Google Benchmark: tokens per second of the emulator on a model that is given, by width and by tokens per
// evaluation, logits included. Decode runs at positions 32 to 63. CPU time is that of all threads.
//   bench_emulator MODEL [--benchmark_filter=...]

#include <benchmark/benchmark.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "engine/gguf/gguf.h"
#include "reference/emulator/emulator.h"

namespace crossval {
namespace {

constexpr std::int64_t kDepth = 32;

void evaluate(Emulator& emulator, std::int64_t tokens) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < tokens; ++i)
    ids.push_back(static_cast<std::int32_t>((emulator.position() + i) * 7919 % emulator.config().n_vocab));
  emulator.forward(ids, {[](bitnet::TapId id) { return id.tap == bitnet::Tap::result_output; },
                         [](bitnet::TapId, std::span<const std::int64_t>, std::span<float> logits) {
                           benchmark::DoNotOptimize(logits.data());
                         }});
}

void bench(benchmark::State& state, const bitnet::gguf::File& file, int width, std::int64_t tokens) {
  EmulatorOptions options;
  options.width = width;
  Emulator emulator(file, options);
  for (auto _ : state) {
    if (tokens > 1 || emulator.position() == 0 || emulator.position() == 2 * kDepth) {
      state.PauseTiming();
      emulator.reset();
      if (tokens == 1) evaluate(emulator, kDepth);
      state.ResumeTiming();
    }
    evaluate(emulator, tokens);
  }
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * tokens), benchmark::Counter::kIsRate);
}

}  // namespace
}  // namespace crossval

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fputs("usage: bench_emulator MODEL [flags of Google Benchmark]\n", stderr);
    return 2;
  }
  try {
    const auto file = bitnet::gguf::File::open(argv[1]);
    for (const int width : {16, 8})
      for (const std::int64_t tokens : {1, 8, 32})
        benchmark::RegisterBenchmark(
            ("tokens=" + std::to_string(tokens) + "/width=" + std::to_string(width)).c_str(),
            [&file, width, tokens](benchmark::State& s) { crossval::bench(s, file, width, tokens); })
            ->Unit(benchmark::kMillisecond)
            ->MeasureProcessCPUTime()
            ->UseRealTime();
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_emulator: %s\n", error.what());
    return 2;
  }
  return 0;
}
