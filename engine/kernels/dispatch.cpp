// Tables made from kernels.inc, and the choice among them at run time.

#include <array>
#include <cstddef>
#include <cstdlib>

#include "engine/error.h"
#include "engine/kernels/cpu.h"
#include "engine/kernels/declare.h"

namespace bitnet {
namespace {

enum class Isa {
#define CROSSVAL_ISA(isa, base, runs, description) isa,
#include "engine/kernels/kernels.inc"
  count,
};

#define CROSSVAL_ISA(isa, base, runs, description) \
  static_assert(Isa::base <= Isa::isa, "kernels.inc: list the base of " #isa " before it");
#include "engine/kernels/kernels.inc"

/// The table of `which`: its base's entries, overwritten by its own.
constexpr Kernels make_table(Isa which) {
  Kernels table = {};
#define CROSSVAL_ISA(isa, base, runs, text)                   \
  if (which == Isa::isa) {                                    \
    if (Isa::base != Isa::isa) table = make_table(Isa::base); \
    table.name = #isa;                                        \
    table.description = text;                                 \
  }
#include "engine/kernels/kernels.inc"
#define CROSSVAL_KERNEL(isa, operation, function) \
  if (which == Isa::isa) table.operation = isa::function;
#include "engine/kernels/kernels.inc"
  return table;
}

/// Every operation of the table has an entry for scalar, so that every table is complete.
constexpr std::size_t kOperations = (sizeof(Kernels) - offsetof(Kernels, quantize_row)) / sizeof(void (*)());
constexpr std::size_t scalar_entries() {
  std::size_t entries = 0;
#define CROSSVAL_KERNEL(isa, operation, function) \
  if (Isa::isa == Isa::scalar) ++entries;
#include "engine/kernels/kernels.inc"
  return entries;
}
static_assert(scalar_entries() == kOperations, "kernels.inc: an operation lacks its scalar kernel");

#define CROSSVAL_ISA(isa, base, runs, description) constexpr Kernels k_##isa = make_table(Isa::isa);
#include "engine/kernels/kernels.inc"

constexpr std::size_t kTables = static_cast<std::size_t>(Isa::count);

/// Best first, where kernels.inc has worst first.
constexpr std::array<const Kernels*, kTables> kBestFirst = [] {
  std::array<const Kernels*, kTables> tables = {};
#define CROSSVAL_ISA(isa, base, runs, description) \
  tables[kTables - 1 - static_cast<std::size_t>(Isa::isa)] = &k_##isa;
#include "engine/kernels/kernels.inc"
  return tables;
}();

std::string available() {
  std::string names;
  for (const Kernels* kernels : kBestFirst) {
    if (!supported(*kernels)) continue;
    if (!names.empty()) names += ", ";
    names += kernels->name;
  }
  return names;
}

}  // namespace

std::span<const Kernels* const> compiled_kernels() {
  return kBestFirst;
}

bool supported(const Kernels& kernels) {
#define CROSSVAL_ISA(isa, base, runs, description) \
  if (kernels.name == k_##isa.name) return cpu::runs();
#include "engine/kernels/kernels.inc"
  return false;
}

const Kernels& select_kernels(std::string_view isa) {
  std::string source = "--isa";
  std::string wanted(isa);
  if (wanted.empty()) {
    if (const char* forced = std::getenv("CROSSVAL_FORCE_ISA"); forced != nullptr && *forced != '\0') {
      source = "CROSSVAL_FORCE_ISA";
      wanted = forced;
    }
  }
  std::string reason = "unknown";
  for (const Kernels* kernels : kBestFirst) {
    if (!wanted.empty() && kernels->name != wanted) continue;
    if (supported(*kernels)) return *kernels;
    reason = "this machine cannot run the";
  }
  std::string message = source;
  message += ": " + reason + " instruction set '" + wanted + "'; available: " + available();
  throw InputError(message);
}

}  // namespace bitnet
