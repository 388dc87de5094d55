#include "crossval/participants/spec.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "crossval/participants/engine_participant.h"
#include "crossval/participants/one_by_one.h"
#include "crossval/participants/program.h"
#include "crossval/participants/self_participant.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "reference/emulator/participant.h"
#include "reference/oracle/participant.h"
#include "reference/trace/replay.h"

namespace crossval {
namespace {

using bitnet::InputError;

int parse_threads(const std::string& text) {
  int n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < 1 || n > 1024)
    throw InputError("participant option threads=" + text + ": must be a number from 1 to 1024");
  return n;
}

std::string option(const ParticipantSpec& spec, const std::string& key, const std::string& otherwise) {
  const auto it = spec.options.find(key);
  return it == spec.options.end() ? otherwise : it->second;
}

int threads_of(const ParticipantSpec& spec, const ParticipantDefaults& defaults) {
  const auto it = spec.options.find("threads");
  return it == spec.options.end() ? defaults.threads : parse_threads(it->second);
}

// The table of the trace in use, where rope=trace asks for it.
std::optional<bitnet::RecordedRope> recorded_rope(const ParticipantSpec& spec,
                                                  const ParticipantDefaults& defaults) {
  if (option(spec, "rope", "") != "trace") return std::nullopt;
  if (!defaults.rope)
    throw InputError("participant `" + spec.kind +
                     "`: rope=trace needs a trace with a RoPE table as the other participant, such as "
                     "--reference trace:FILE; or give another rope=");
  return defaults.rope;
}

std::unique_ptr<Participant> make_oracle_from(const ParticipantSpec& spec, const std::filesystem::path& path,
                                              const ParticipantDefaults& defaults, bool round_taps) {
  return make_oracle(path, {.threads = defaults.threads,
                            .ternary = ternary_options(spec, defaults.ternary),
                            .round_taps = round_taps});
}

constexpr const char* kKinds = "engine, oracle, emulator, bitnet.cpp, self, auto, trace:FILE, exec:WORDS";

// The options of a participant and their values, the default first; none listed: any text.
using Known = std::map<std::string, std::vector<std::string>>;

std::vector<std::string> ways_of_self() {
  std::vector<std::string> ways = self_ways();
  ways.insert(ways.begin(), "all");
  return ways;
}

const Known* options_of(const std::string& kind) {
  static const std::vector<std::string> kLayouts{"x86", "arm", "4-row"};
  static const std::map<std::string, Known> kOptions{
      {"engine", {{"isa", {}}, {"threads", {}}, {"rope", {"own", "libm", "trace"}}, {"layout", kLayouts}}},
      {"oracle", {{"layout", kLayouts}}},
      {"bitnet.cpp", {}},
      {"self", {{"as", ways_of_self()}}},
      {"emulator",
       {{"width", {"16", "8"}},
        {"quantizer", {"product", "fused"}},
        {"sums", {"exact", "int16"}},
        {"tinyblas", {"on", "off"}},
        {"rope", {"libm", "own", "trace"}},
        {"layout", kLayouts},
        {"generation", {"2", "reported-2026"}}}},
  };
  const auto it = kOptions.find(kind);
  return it == kOptions.end() ? nullptr : &it->second;
}

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : separator).append(word);
  return text;
}

// "; it has isa=..., rope=own|libm".
std::string list_of(const Known& known) {
  std::vector<std::string> items;
  for (const auto& [key, values] : known)
    items.push_back(key + "=" + (values.empty() ? "..." : joined(values, "|")));
  return items.empty() ? "" : "; it has " + joined(items, ", ");
}

std::unique_ptr<Participant> make_emulator_from(const ParticipantSpec& spec,
                                                const std::filesystem::path& path,
                                                const ParticipantDefaults& defaults,
                                                EmulatorBatchClass batch_class) {
  EmulatorOptions options;
  options.width = option(spec, "width", "16") == "8" ? 8 : 16;
  if (option(spec, "quantizer", "product") == "fused") options.quantizer = emulation::Quantizer::fused;
  if (option(spec, "sums", "exact") == "int16") options.sums = emulation::Sums::int16;
  options.tinyblas = option(spec, "tinyblas", "on") == "on";
  if (option(spec, "rope", "libm") == "own") options.rope = emulation::Rope::own;
  if (const auto table = recorded_rope(spec, defaults)) {
    options.rope = emulation::Rope::table;
    options.rope_table = {.cosines = table->cos, .sines = table->sin};
  }
  if (option(spec, "generation", "2") != "2") options.generation = EmulatorGeneration::reported_2026;
  options.batch_class = batch_class;
  options.ternary = ternary_options(spec, defaults.ternary);
  options.threads = defaults.threads;
  return make_emulator(path, options);
}

}  // namespace

ParticipantSpec parse_participant(std::string_view text) {
  ParticipantSpec spec;
  const auto colon = text.find(':');
  spec.kind = std::string(text.substr(0, colon));
  const std::string rest = colon == std::string_view::npos ? "" : std::string(text.substr(colon + 1));
  if (spec.kind == "auto") {
    if (!rest.empty())
      throw InputError("participant `auto` has no options; name the participant to set them");
    if (find_llama_adapter()) return {.kind = "bitnet.cpp"};
    // Without bitnet.cpp the emulator stands in, with the engine's own sines and cosines.
    return {.kind = "emulator", .options = {{"rope", "own"}}};
  }
  if (spec.kind == "trace") {
    if (rest.empty()) throw InputError("participant `trace` needs its file: trace:FILE");
    spec.options["file"] = rest;
    return spec;
  }
  if (spec.kind == "exec") {
    if (rest.empty()) throw InputError("participant `exec` needs a program: exec:WORDS");
    spec.options["words"] = rest;
    program_words(spec);  // refused now, not when the models are loaded
    return spec;
  }
  const Known* known = options_of(spec.kind);
  if (!known) throw InputError("unknown participant `" + spec.kind.substr(0, 60) + "`; there are " + kKinds);
  for (std::size_t at = 0; at < rest.size();) {
    const std::size_t end = std::min(rest.find(',', at), rest.size());
    const std::string item = rest.substr(at, end - at);
    const auto equals = item.find('=');
    const std::string key = item.substr(0, equals);
    const auto it = known->find(key);
    if (it == known->end() || equals == std::string::npos)
      throw InputError("participant `" + spec.kind + "` has no option `" + item.substr(0, 60) + "`" +
                       list_of(*known));
    const std::string value = item.substr(equals + 1);
    const std::vector<std::string>& values = it->second;
    if (!values.empty() && std::ranges::find(values, value) == values.end())
      throw InputError("participant option " + key + "=" + value.substr(0, 60) + ": must be " +
                       joined(values, " or "));
    if (key == "threads") parse_threads(value);
    spec.options[key] = value;
    at = end + 1;
  }
  return spec;
}

bitnet::gguf::TernaryOptions ternary_options(const ParticipantSpec& spec,
                                             const bitnet::gguf::TernaryOptions& otherwise) {
  bitnet::gguf::TernaryOptions options = otherwise;
  const std::string name = option(spec, "layout", "");
  if (!name.empty()) options.layout = bitnet::parse_i2s_layout(name);
  return options;
}

bitnet::ContextOptions engine_options(const ParticipantSpec& spec, const ParticipantDefaults& defaults) {
  return {.isa = option(spec, "isa", defaults.isa),
          .threads = threads_of(spec, defaults),
          .rope = option(spec, "rope", "own") == "libm" ? bitnet::RopeMath::libm : bitnet::RopeMath::own,
          .recorded_rope = recorded_rope(spec, defaults)};
}

namespace {

std::unique_ptr<Participant> wrapped(const ParticipantDefaults& defaults,
                                     std::unique_ptr<Participant> participant) {
  return participant && defaults.wrap ? defaults.wrap(std::move(participant)) : std::move(participant);
}

std::unique_ptr<Participant> make_bare(const ParticipantSpec& spec,
                                       std::shared_ptr<const bitnet::Model> model,
                                       const std::filesystem::path& path,
                                       const ParticipantDefaults& defaults) {
  if (spec.kind == "oracle") return make_oracle_from(spec, path, defaults, false);
  if (spec.kind == "emulator") return make_emulator_from(spec, path, defaults, EmulatorBatchClass::by_tokens);
  if (spec.kind == "exec" || spec.kind == "bitnet.cpp")
    return make_program(spec, model->config(), path, defaults, /*several=*/false);
  if (spec.kind == "trace") return make_replay(spec.trace, model->config());
  if (spec.kind == "self") {
    if (spec.of->kind == "engine")
      return make_self(std::move(model), engine_options(*spec.of, defaults), option(spec, "as", "all"));
    auto again = make_bare(*spec.of, model, path, defaults);
    return make_one_by_one(std::move(again), model->config());
  }
  return make_engine(std::move(model), engine_options(spec, defaults));
}

}  // namespace

std::unique_ptr<Participant> make_participant(const ParticipantSpec& spec,
                                              std::shared_ptr<const bitnet::Model> model,
                                              const std::filesystem::path& path,
                                              const ParticipantDefaults& defaults) {
  return wrapped(defaults, make_bare(spec, std::move(model), path, defaults));
}

std::unique_ptr<Participant> make_noise_twin(const ParticipantSpec& spec,
                                             const std::shared_ptr<const bitnet::Model>& model,
                                             const std::filesystem::path& path,
                                             const ParticipantDefaults& defaults,
                                             std::int64_t tokens_per_evaluation) {
  if (spec.kind == "oracle") return wrapped(defaults, make_oracle_from(spec, path, defaults, true));
  if (tokens_per_evaluation > 1 &&
      (spec.kind == "emulator" || spec.kind == "exec" || spec.kind == "bitnet.cpp"))
    return make_one_by_one(make_participant(spec, model, path, defaults), model->config());
  if (spec.kind == "emulator")
    return wrapped(defaults, make_emulator_from(spec, path, defaults, EmulatorBatchClass::several));
  if (spec.kind == "exec" || spec.kind == "bitnet.cpp")
    return wrapped(defaults, make_program(spec, model->config(), path, defaults, /*several=*/true));
  return nullptr;  // the engine has one way of computing: its self-noise is 0
}

std::string claim_of(const ParticipantSpec& candidate, const ParticipantSpec& reference) {
  const auto name = [](const ParticipantSpec& spec) {
    if (spec.kind == "engine") return std::string("engine");
    if (spec.kind == "bitnet.cpp") return "live " + spec.probed;
    if (spec.kind == "exec") return "the program that calls itself " + spec.probed;
    if (spec.kind == "trace") return "a recorded trace of " + spec.recorded;
    if (spec.kind != "emulator") return "our " + spec.kind;
    return std::string("our emulator of bitnet.cpp") +
           (option(spec, "generation", "2") == "2" ? "" : " (generation 3 as reported, never checked)");
  };
  if (reference.kind == "self")
    return name(candidate) + " against its own invariants: " +
           (candidate.kind == "engine"
                ? "kernels, threads, batch splits, neighbours, saved and forked sequences"
                : "one token per evaluation against several") +
           "; no reference was involved";
  if (candidate.kind == reference.kind && candidate.kind != "trace" &&
      (candidate.kind != "exec" || candidate.options == reference.options))
    return name(candidate) + " against itself; nothing but its consistency is shown" +
           (candidate.kind == "bitnet.cpp" || candidate.kind == "exec" ? ""
                                                                       : ", and no bitnet.cpp was involved");
  // What a program of the user's is, only the user knows.
  const auto involved = [](const ParticipantSpec& spec) {
    return spec.kind == "bitnet.cpp" || spec.kind == "exec" || spec.recorded.starts_with("bitnet.cpp");
  };
  return name(candidate) + " against " + name(reference) +
         (involved(candidate) || involved(reference) ? "" : "; no bitnet.cpp was involved");
}

std::string probed_by(const ParticipantSpec& spec, const Participant& participant) {
  const Identity id = participant.identity();
  std::string text;
  const auto add = [&text](const std::string& part) {
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  };
  if (spec.kind == "bitnet.cpp") {
    const auto generation = id.details.find("generation");
    if (generation != id.details.end()) add("generation " + generation->second);
    add(id.build);
    const auto library = id.details.find("library");
    text = (library == id.details.end() ? "bitnet.cpp" : library->second) + " (" + text + ")";
  } else if (spec.kind == "exec") {
    add(id.name + (id.version.empty() ? "" : " ") + id.version);
    add(id.build);
  }
  return bitnet::gguf::printable(text, 300);
}

}  // namespace crossval
