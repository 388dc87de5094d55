#include "engine/cli/bench_profile.h"

#include <algorithm>
#include <iomanip>
#include <string>
#include <vector>

namespace bitnet {
namespace {

struct Line {
  std::string name;
  WorkCost cost;
};

/// The kinds of work that were done, most time first; then what remains of the phase, and the phase.
std::vector<Line> lines_of(const PhaseProfile& profile) {
  std::vector<Line> lines;
  WorkCost total{.seconds = profile.seconds};
  double rest = profile.seconds;
  for (std::size_t i = 0; i < kWorks; ++i) {
    const auto work = static_cast<Work>(i);
    const WorkCost& cost = profile.work[work];
    if (cost.calls == 0) continue;
    lines.push_back({std::string(to_string(work)), cost});
    total.calls += cost.calls;
    total.amount += cost.amount;
    rest -= cost.seconds;
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.cost.seconds > b.cost.seconds; });
  lines.push_back({"other", {.seconds = std::max(rest, 0.0)}});
  lines.push_back({"all", total});
  return lines;
}

double per_second(std::int64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

double percent(double part, double whole) {
  return whole > 0 ? 100 * part / whole : 0;
}

/// How near some work came to each limit.
struct Nearness {
  double read, int8, f32;
};

Nearness nearness(const WorkCost& cost, const Limits& limits) {
  return {percent(per_second(cost.amount.bytes, cost.seconds), limits.read),
          percent(per_second(cost.amount.int_operations, cost.seconds), limits.int8),
          percent(per_second(cost.amount.float_operations, cost.seconds), limits.f32)};
}

}  // namespace

void print_profile(std::ostream& out, std::string_view phase, const PhaseProfile& profile,
                   std::int64_t tokens, const Limits& limits) {
  out << phase << ", " << tokens << " tokens:\n"
      << "  kind of work    calls  ms/token  % time    GB/s  % read  int GOPS  % int8  GFLOPS   % f32\n"
      << std::fixed;
  for (const auto& [name, cost] : lines_of(profile)) {
    const auto column = [&](int width, int digits, double value) {
      out << std::setw(width) << std::setprecision(digits) << value;
    };
    const Nearness near = nearness(cost, limits);
    out << "  " << std::left << std::setw(12) << name << std::right << std::setw(9) << cost.calls;
    column(10, 3, cost.seconds * 1e3 / static_cast<double>(tokens));
    column(8, 1, percent(cost.seconds, profile.seconds));
    column(8, 1, per_second(cost.amount.bytes, cost.seconds) / 1e9);
    column(8, 1, near.read);
    column(10, 1, per_second(cost.amount.int_operations, cost.seconds) / 1e9);
    column(8, 1, near.int8);
    column(8, 1, per_second(cost.amount.float_operations, cost.seconds) / 1e9);
    column(8, 1, near.f32);
    out << "\n";
  }
}

nlohmann::json to_json(const PhaseProfile& profile, std::int64_t tokens, const Limits& limits) {
  nlohmann::json kinds = nlohmann::json::array();
  for (const auto& [name, cost] : lines_of(profile)) {
    const Nearness near = nearness(cost, limits);
    kinds.push_back({{"kind", name},
                     {"calls", cost.calls},
                     {"seconds", cost.seconds},
                     {"time_percent", percent(cost.seconds, profile.seconds)},
                     {"bytes", cost.amount.bytes},
                     {"read_percent", near.read},
                     {"int_operations", cost.amount.int_operations},
                     {"int8_percent", near.int8},
                     {"float_operations", cost.amount.float_operations},
                     {"f32_percent", near.f32}});
  }
  return {{"tokens", tokens}, {"seconds", profile.seconds}, {"kinds", std::move(kinds)}};
}

void print_limits(std::ostream& out, const Limits& limits) {
  out << std::fixed << std::setprecision(1) << "limits: memory read " << limits.read / 1e9 << " GB/s, int8 "
      << limits.int8 / 1e9 << " GOPS, f32 " << limits.f32 / 1e9 << " GFLOPS\n";
}

nlohmann::json to_json(const Limits& limits) {
  return {{"read_bytes_s", limits.read}, {"int8_ops_s", limits.int8}, {"f32_ops_s", limits.f32}};
}

}  // namespace bitnet
