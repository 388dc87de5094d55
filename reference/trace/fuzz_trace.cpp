// libFuzzer: whatever the bytes, parsing ends in a trace that can be replayed to its last row, or in one
// InputError of one line.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "engine/error.h"
#include "reference/errors.h"
#include "reference/trace/replay.h"
#include "reference/trace/test_trace.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// Reads every row, so that a sanitizer sees views that point elsewhere.
void replay(const std::shared_ptr<const crossval::Trace>& trace) {
  const auto participant = crossval::make_replay(trace, crossval::testing::test_config());
  for (const auto& [id, one] : trace->cases()) {
    participant->begin_case(id);
    for (const crossval::Trace::Step& step : one.steps)
      for (const crossval::Token token : step.tokens) {
        std::size_t shown = 0;
        participant->eval(
            std::span(&token, 1), [](crossval::TapId) { return true; },
            [&](crossval::Tensor&& tensor) {
              ++shown;
              require(tensor.rows() == 1);
              require(tensor.values.size() == static_cast<std::size_t>(tensor.offsets.back()));
              require(trace->hashed() ? tensor.hashes.size() == 1 : !tensor.row(0).empty());
            });
        require(shown == trace->taps().size());
        (void)participant->piece(token);
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    replay(std::make_shared<const crossval::Trace>(
        crossval::Trace::parse(std::as_bytes(std::span(data, size)), "f")));
  } catch (const bitnet::InputError& e) {
    const std::string_view message = e.what();
    require(message.starts_with("f: ") && message.find('\n') == std::string_view::npos);
  } catch (const crossval::Incomparable&) {
    // A whole trace, of another model than the test's.
  }
  return 0;
}
