#include "crossval/compare/gates.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "crossval/records/sha256.h"
#include "engine/error.h"

namespace crossval {
namespace {

using bitnet::InputError;
using nlohmann::json;

double value_of(Metric metric, const Measured& m) {
  switch (metric) {
    case Metric::cosine:
      return m.row.cosine;
    case Metric::nmse:
      return m.row.nmse;
    case Metric::norm_ratio_error:
      return std::abs(m.row.norm_ratio - 1);
    case Metric::integers_differing:
      return m.integers_differing ? static_cast<double>(*m.integers_differing) : 0;
    case Metric::bits:
      return static_cast<double>(m.row.bits);
    case Metric::kl:
      return m.kl.value_or(0);
    case Metric::share_of_bound:
      return m.bound ? m.bound->share : 0;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

bool holds(const Gate& gate, double value) {
  return gate.metric == Metric::cosine ? value >= gate.threshold : value <= gate.threshold;
}

// How much of the allowed distance from the ideal is used up.
double severity_of(const Gate& gate, double value) {
  const double distance = gate.metric == Metric::cosine ? 1 - value : value;
  const double allowed = gate.metric == Metric::cosine ? 1 - gate.threshold : gate.threshold;
  if (std::isnan(distance)) return std::numeric_limits<double>::infinity();
  if (distance <= 0) return 0;
  return allowed > 0 ? distance / allowed : std::numeric_limits<double>::infinity();
}

std::string describe_failure(const Gate& gate, double value, const Measured& m) {
  std::ostringstream text;
  if (gate.metric == Metric::share_of_bound && m.bound) {
    text.precision(4);
    text << m.bound->difference << " at " << m.bound->at << " where rounding allows "
         << m.bound->bound * gate.threshold;
    return text.str();
  }
  text.precision(9);
  text << to_string(gate.metric) << " " << value << (gate.metric == Metric::cosine ? " < " : " > ")
       << gate.threshold;
  return text.str();
}

// Whether, and how far, the rounding of the input explains the row. NaN explains nothing.
bool explained(const Gate& gate, const Measured& m) {
  return gate.or_within_rounding && m.rounding && m.rounding->share <= 1;
}

std::string describe_rounding(const RoundingFigures& r) {
  std::ostringstream text;
  text.precision(4);
  if (std::abs(r.gain) > r.gain_bound && std::abs(r.gain) / r.gain_bound >= r.share)
    text << ", and a gain of " << r.gain << " where rounding the input explains " << r.gain_bound;
  else
    text << ", and " << std::abs(r.difference) << " at " << r.at << " where rounding the input explains "
         << r.bound;
  return text.str();
}

Metric parse_metric(const std::string& name, const std::string& where) {
  for (Metric m : {Metric::cosine, Metric::nmse, Metric::norm_ratio_error, Metric::integers_differing,
                   Metric::bits, Metric::kl, Metric::share_of_bound})
    if (name == to_string(m)) return m;
  throw InputError(where +
                   ".metric: unknown metric; known are cosine, nmse, norm_ratio_error, integers_differing, "
                   "bits, kl, share_of_bound");
}

Gate read_gate(const json& value, const std::string& where) {
  if (!value.is_object()) throw InputError(where + ": must be an object");
  const auto required = [&](const char* key) -> const json& {
    const auto it = value.find(key);
    if (it == value.end()) throw InputError(where + "." + key + ": is missing");
    return *it;
  };
  const auto strings = [&](const char* key) {
    std::vector<std::string> out;
    const auto it = value.find(key);
    if (it == value.end()) return out;
    if (!it->is_array()) throw InputError(where + "." + key + ": must be an array of globs");
    for (const json& item : *it) {
      if (!item.is_string()) throw InputError(where + "." + key + ": must be an array of globs");
      out.push_back(item.get<std::string>());
    }
    return out;
  };
  const auto integer = [&](const char* key, std::int64_t otherwise) {
    const auto it = value.find(key);
    if (it == value.end()) return otherwise;
    if (!it->is_number_integer() || it->get<std::int64_t>() < 0)
      throw InputError(where + "." + key + ": must be an integer from 0");
    return it->get<std::int64_t>();
  };
  for (const auto& [key, unused] : value.items()) {
    static const std::vector<std::string> kKnown = {
        "name",      "mode",         "metric", "taps", "except",          "first_step",        "last_step",
        "threshold", "min_compared", "source", "date", "or_within_noise", "or_within_rounding"};
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end())
      throw InputError(where + ": unknown key `" + key.substr(0, 60) + "`");
  }
  Gate gate;
  const json& name = required("name");
  const json& mode = required("mode");
  const json& metric = required("metric");
  const json& threshold = required("threshold");
  if (!name.is_string() || name.get<std::string>().empty())
    throw InputError(where + ".name: must be a string");
  gate.name = name.get<std::string>();
  if (mode != "local" && mode != "free") throw InputError(where + ".mode: must be local or free");
  gate.mode = mode == "local" ? Mode::local : Mode::free;
  if (!metric.is_string()) throw InputError(where + ".metric: must be a string");
  gate.metric = parse_metric(metric.get<std::string>(), where);
  if (!threshold.is_number()) throw InputError(where + ".threshold: must be a number");
  gate.threshold = threshold.get<double>();
  gate.taps = strings("taps");
  if (gate.taps.empty()) throw InputError(where + ".taps: is missing or empty; write [\"*\"] for all");
  gate.except = strings("except");
  gate.first_step = integer("first_step", 0);
  gate.last_step = integer("last_step", INT64_MAX);
  gate.min_compared = integer("min_compared", 1);
  const auto flag = [&](const char* key) {
    const auto it = value.find(key);
    if (it == value.end()) return false;
    if (!it->is_boolean()) throw InputError(where + "." + key + ": must be true or false");
    return it->get<bool>();
  };
  gate.or_within_noise = flag("or_within_noise");
  gate.or_within_rounding = flag("or_within_rounding");
  if (const auto it = value.find("source"); it != value.end() && it->is_string())
    gate.source = it->get<std::string>();
  if (const auto it = value.find("date"); it != value.end() && it->is_string())
    gate.date = it->get<std::string>();
  return gate;
}

std::string hash_of(const std::vector<Gate>& gates) {
  json list = json::array();
  for (const Gate& gate : gates) list.push_back(to_json(gate));
  return sha256_hex(list.dump());
}

}  // namespace

std::string_view to_string(Mode mode) {
  return mode == Mode::local ? "local" : "free";
}

std::string_view to_string(Metric metric) {
  switch (metric) {
    case Metric::cosine:
      return "cosine";
    case Metric::nmse:
      return "nmse";
    case Metric::norm_ratio_error:
      return "norm_ratio_error";
    case Metric::integers_differing:
      return "integers_differing";
    case Metric::bits:
      return "bits";
    case Metric::kl:
      return "kl";
    case Metric::share_of_bound:
      return "share_of_bound";
  }
  return "cosine";
}

bool matches_glob(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool Gate::covers(Mode m, bitnet::TapId tap, std::int64_t step) const {
  if (m != mode || step < first_step || step > last_step) return false;
  const std::string full = bitnet::to_string(tap);
  const auto any = [&](const std::vector<std::string>& globs) {
    return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
      return matches_glob(glob, bitnet::base_name(tap.tap)) || matches_glob(glob, full);
    });
  };
  return any(taps) && !any(except);
}

GateSet default_gates(double min_cosine, const std::string& quantization_noise) {
  const std::vector<std::string> products = {"Qcur#1",   "Kcur#1", "Vcur",    "attn_out",
                                             "ffn_gate", "ffn_up", "ffn_down"};
  const std::vector<std::string> trunk = {"l_out", "result_norm", "result_output"};
  const std::string source = "crossval's default gates";
  const std::string noise = quantization_noise.empty() ? "" : "; noise: " + quantization_noise;
  const bool noisy = !noise.empty();
  const std::string free_source = (min_cosine == 0.999 ? source : "--min-cosine") + noise;
  const auto gate = [&](std::string name, Mode mode, Metric metric, std::vector<std::string> taps,
                        std::vector<std::string> except, double threshold, bool or_within_noise,
                        const std::string& from) {
    Gate g;
    g.name = std::move(name);
    g.mode = mode;
    g.metric = metric;
    g.taps = std::move(taps);
    g.except = std::move(except);
    g.threshold = threshold;
    g.or_within_noise = or_within_noise;
    g.or_within_rounding = mode == Mode::local;
    g.source = from;
    return g;
  };
  GateSet set;
  set.gates = {
      gate("local.integers", Mode::local, Metric::integers_differing, products, {}, 0, false, source),
      gate("local.product", Mode::local, Metric::nmse, products, {}, 1e-12, false, source),
      gate("local.cosine", Mode::local, Metric::cosine, {"*"}, products, 0.99999, false, source),
      gate("local.norm_ratio", Mode::local, Metric::norm_ratio_error, {"*"}, products, 1e-3, false, source),
      gate("local.nmse", Mode::local, Metric::nmse, {"*"}, products, 1e-6, false, source),
      gate("local.bound", Mode::local, Metric::share_of_bound, {"*"}, {"result_output"}, 1, false,
           source_of_bounds()),
      gate("free.cosine", Mode::free, Metric::cosine, trunk, {}, min_cosine, noisy, free_source),
      gate("free.norm_ratio", Mode::free, Metric::norm_ratio_error, trunk, {}, 0.02, noisy, source + noise),
      gate("free.tap.cosine", Mode::free, Metric::cosine, {"*"}, trunk, min_cosine, true, free_source),
      gate("free.tap.norm_ratio", Mode::free, Metric::norm_ratio_error, {"*"}, trunk, 0.02, true,
           source + noise),
  };
  set.sha256 = hash_of(set.gates);
  return set;
}

GateSet self_gates() {
  Gate every_bit;
  every_bit.name = "self.bits";
  every_bit.mode = Mode::free;
  every_bit.metric = Metric::bits;
  every_bit.taps = {"*"};
  every_bit.threshold = 0;
  every_bit.source = "one result everywhere: the engine's sums have one order";
  GateSet set;
  set.gates = {every_bit};
  set.sha256 = hash_of(set.gates);
  return set;
}

GateSet load_gates(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw InputError(path + ": cannot be read; check the path given with --gates");
  json document;
  try {
    document = json::parse(in);
  } catch (const json::exception& e) {
    throw InputError(path + ": not valid JSON: " + e.what());
  }
  if (!document.is_object() || document.value("schema", json()) != "crossval.gates/1")
    throw InputError(path + ": schema: must be crossval.gates/1");
  const auto list = document.find("gates");
  if (list == document.end()) throw InputError(path + ": gates: is missing");
  GateSet set = parse_gates(*list, path + ": gates");
  set.source = path;
  return set;
}

GateSet parse_gates(const json& list, const std::string& where) {
  if (!list.is_array() || list.empty()) throw InputError(where + ": must be a non-empty array");
  GateSet set;
  set.source = where;
  for (std::size_t i = 0; i < list.size(); ++i) {
    set.gates.push_back(read_gate(list[i], where + "[" + std::to_string(i) + "]"));
    if (set.gates.back().source.empty()) set.gates.back().source = where;
  }
  set.sha256 = hash_of(set.gates);
  return set;
}

json to_json(const Gate& gate) {
  json out = {{"name", gate.name},
              {"mode", to_string(gate.mode)},
              {"metric", to_string(gate.metric)},
              {"taps", gate.taps},
              {"except", gate.except},
              {"first_step", gate.first_step},
              {"threshold", gate.threshold},
              {"limit", (gate.metric == Metric::cosine ? ">= " : "<= ") + json(gate.threshold).dump()},
              {"or_within_noise", gate.or_within_noise},
              {"or_within_rounding", gate.or_within_rounding},
              {"min_compared", gate.min_compared},
              {"source", gate.source}};
  if (gate.last_step != INT64_MAX) out["last_step"] = gate.last_step;
  if (!gate.date.empty()) out["date"] = gate.date;
  return out;
}

Judgement judge(const GateSet& set, Mode mode, bitnet::TapId tap, std::int64_t step,
                const Measured& measured) {
  Judgement j;
  bool only_excusable = true;
  for (const Gate& gate : set.gates) {
    if (!gate.covers(mode, tap, step)) continue;
    const double value = value_of(gate.metric, measured);
    const bool within = holds(gate, value), excused = !within && explained(gate, measured);
    const bool ok = within || excused;
    const double severity = excused ? measured.rounding->share : severity_of(gate, value);
    if (!ok) only_excusable = only_excusable && gate.or_within_noise;
    // The gate to name: a failing one before any passing one, then the one most exhausted.
    const bool nearer = !j.gate || (!ok && j.pass) || (ok == j.pass && severity > j.severity);
    if (nearer) {
      j.gate = &gate;
      j.severity = severity;
      j.why = ok ? "" : describe_failure(gate, value, measured);
      if (!ok && gate.or_within_rounding && measured.rounding) j.why += describe_rounding(*measured.rounding);
    }
    j.pass = j.pass && ok;
  }
  j.excusable = !j.pass && only_excusable;
  return j;
}

bool within_noise(const RowMetrics& row, const Noise& noise) {
  return 1 - row.cosine <= 2 * noise.cosine && std::abs(row.norm_ratio - 1) <= 2 * noise.norm;
}

}  // namespace crossval
