// Tables made from kernels.inc, and the choice among them at run time.

#include <array>
#include <cstddef>
#include <cstdlib>

#include "engine/error.h"
#include "engine/kernels/counted_kernels.h"
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
constexpr std::size_t scalar_entries() {
  std::size_t entries = 0;
#define CROSSVAL_KERNEL(isa, operation, function) \
  if (Isa::isa == Isa::scalar) ++entries;
#include "engine/kernels/kernels.inc"
  return entries;
}
static_assert(scalar_entries() == kKernelsPerTable, "kernels.inc: an operation lacks its scalar kernel");

/// Where the entries of make_table(which) come from.
using KernelNames = std::array<std::string_view, kKernelsPerTable>;
constexpr KernelNames make_names(Isa which) {
  KernelNames names = {};
#define CROSSVAL_ISA(isa, base, runs, text) \
  if (which == Isa::isa && Isa::base != Isa::isa) names = make_names(Isa::base);
#include "engine/kernels/kernels.inc"
#define CROSSVAL_KERNEL(isa, operation, function)                                                  \
  if (which == Isa::isa)                                                                           \
    names[(offsetof(Kernels, operation) - offsetof(Kernels, quantize_row)) / sizeof(void (*)())] = \
        #isa "::" #function;
#include "engine/kernels/kernels.inc"
  return names;
}

#define CROSSVAL_ISA(isa, base, runs, description)  \
  constexpr Kernels k_##isa = make_table(Isa::isa); \
  constexpr KernelNames k_names_##isa = make_names(Isa::isa);
#include "engine/kernels/kernels.inc"
constexpr KernelNames kNoNames = {};

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

std::span<const std::string_view, kKernelsPerTable> kernel_names(const Kernels& table) {
#define CROSSVAL_ISA(isa, base, runs, description) \
  if (table.name == k_##isa.name) return k_names_##isa;
#include "engine/kernels/kernels.inc"
  return kNoNames;
}

void CountedKernels::add_to(KernelCounts& counts) const {
  const auto names = kernel_names(table_);
  for (std::size_t i = 0; i < counts_.size(); ++i)
    if (counts_[i] > 0) counts[std::string(names[i])] += counts_[i];
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
