// Writes a small corpus for fuzz_trace: fuzz_trace_seeds DIRECTORY.

#include "engine/fuzz_seeds.h"
#include "reference/trace/test_trace.h"

int main(int argc, char** argv) {
  using crossval::testing::test_trace;
  using crossval::testing::TestTrace;
  return bitnet::fuzzing::write_seeds("fuzz_trace_seeds", argc, argv,
                                      {{"full", test_trace(false).bytes()},
                                       {"sha256", test_trace(true).bytes()},
                                       {"no-tensors", TestTrace{test_trace().metadata, {}}.bytes()},
                                       {"empty-header", TestTrace::join("{}", "")}});
}
