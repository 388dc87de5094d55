// libFuzzer: whatever the bytes, parsing ends in a bundle that has all that its operation reads, or in one
// InputError of one line.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "crossval/replay/bundle.h"
#include "engine/error.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void require_whole(const crossval::Bundle& b) {
  using crossval::OperationKind;
  const crossval::SmallOperation& o = b.operation;
  const crossval::SmallSizes sizes = crossval::sizes_of(o);
  require(o.outputs() > 0 && std::ssize(b.shown) == o.outputs() && std::ssize(b.evaluated) == o.outputs());
  require(std::ssize(o.a) == sizes.a && std::ssize(o.b) == sizes.b && std::ssize(o.history) == sizes.history);
  if (sizes.table_rows > 0) require(!o.table.empty() || std::ssize(o.ternary) == sizes.table_rows * o.width);
  require(!b.gates.gates.empty());
  // What was read can be written and read again.
  const std::string bytes = crossval::encode_bundle(b);
  if (bytes.size() <= crossval::kMostBundleBytes)
    require(crossval::parse_bundle(std::as_bytes(std::span(bytes)), "again").operation.columns == o.columns);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    require_whole(crossval::parse_bundle(std::as_bytes(std::span(data, size)), "f"));
  } catch (const bitnet::InputError& e) {
    const std::string_view message = e.what();
    require(message.starts_with("f: ") && message.find('\n') == std::string_view::npos);
  }
  return 0;
}
