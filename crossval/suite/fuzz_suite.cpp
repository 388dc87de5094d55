// libFuzzer target: any bytes are either a suite or one InputError of one line.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "crossval/suite/suite.h"
#include "engine/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const crossval::Suite suite =
        crossval::parse_suite({reinterpret_cast<const char*>(data), size}, "fuzz.json");
    if (suite.cases.empty()) std::abort();
    for (const auto& c : suite.cases)
      if (c.id.empty() || (c.messages.empty() && c.tokens.empty())) std::abort();
  } catch (const bitnet::InputError& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
