// Google Benchmark: drawing one token from 128,256 logits, the vocabulary of BitNet b1.58 2B-4T. One thread.
// Names read rules/logits: bell-shaped ones, and rising ones, of which each displaces one that was kept.

#include <benchmark/benchmark.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/generate/sampling.h"

namespace bitnet {
namespace {

constexpr std::size_t kVocabulary = 128256;

std::vector<float> bell_shaped() {
  Random random(1);
  std::vector<float> logits(kVocabulary);
  for (float& x : logits) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += random.uniform();
    x = static_cast<float>(2.5 * (sum - 6));
  }
  return logits;
}

std::vector<float> rising() {
  std::vector<float> logits(kVocabulary);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i) * 1e-4f;
  return logits;
}

void bench_sample(benchmark::State& state, const SamplingParams& params, const std::vector<float>& logits) {
  Sampler sampler(params);
  std::vector<Token> history;
  for (Token token = 0; token < 64; ++token) history.push_back(token * 1999);
  for (auto _ : state) benchmark::DoNotOptimize(sampler.sample(logits, history));
}

void register_all() {
  SamplingParams greedy;
  SamplingParams usual;
  usual.temperature = 0.8f;
  usual.top_k = 40;
  usual.top_p = 0.95f;
  SamplingParams penalised = usual;
  penalised.repetition_penalty = 1.1f;
  SamplingParams nucleus = usual;
  nucleus.top_k = 0;
  SamplingParams plain = nucleus;
  plain.top_p = 1;
  const std::pair<const char*, SamplingParams> rules[] = {{"greedy", greedy},
                                                          {"top_k_40_top_p_0.95", usual},
                                                          {"top_k_40_top_p_0.95_penalty", penalised},
                                                          {"top_p_0.95", nucleus},
                                                          {"temperature", plain}};
  const std::pair<const char*, std::vector<float>> logits[] = {{"bell", bell_shaped()}, {"rising", rising()}};
  for (const auto& [rule, params] : rules)
    for (const auto& [shape, values] : logits)
      benchmark::RegisterBenchmark((std::string(rule) + "/" + shape).c_str(), bench_sample, params, values)
          ->Unit(benchmark::kMicrosecond);
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
