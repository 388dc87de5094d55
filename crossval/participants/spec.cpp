#include "crossval/participants/spec.h"

#include <charconv>

#include "crossval/participants/engine_participant.h"
#include "engine/error.h"
#include "reference/oracle/participant.h"

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

std::unique_ptr<Participant> make_oracle_from(const std::filesystem::path& path,
                                              const ParticipantDefaults& defaults, bool round_taps) {
  return make_oracle(path, {.threads = defaults.threads, .round_taps = round_taps});
}

}  // namespace

ParticipantSpec parse_participant(std::string_view text) {
  ParticipantSpec spec;
  const auto colon = text.find(':');
  spec.kind = std::string(text.substr(0, colon));
  const std::string rest = colon == std::string_view::npos ? "" : std::string(text.substr(colon + 1));
  // Without bitnet.cpp and without the emulator the oracle is what `auto` can offer.
  if (spec.kind == "auto") spec.kind = "oracle";
  if (spec.kind == "emulator" || spec.kind == "bitnet.cpp" || spec.kind == "trace" || spec.kind == "exec" ||
      spec.kind == "self")
    throw InputError("participant `" + spec.kind +
                     "` is not there yet in this version; there are engine, oracle, auto");
  if (spec.kind != "engine" && spec.kind != "oracle")
    throw InputError("unknown participant `" + spec.kind.substr(0, 60) + "`; there are engine, oracle, auto");
  for (std::size_t at = 0; at < rest.size();) {
    const std::size_t end = std::min(rest.find(',', at), rest.size());
    const std::string item = rest.substr(at, end - at);
    const auto equals = item.find('=');
    const std::string key = item.substr(0, equals);
    const bool known = spec.kind == "engine" && (key == "isa" || key == "threads" || key == "rope");
    if (!known || equals == std::string::npos)
      throw InputError("participant `" + spec.kind + "` has no option `" + item.substr(0, 60) + "`" +
                       (spec.kind == "engine" ? "; it has isa=NAME, threads=N, rope=own|libm" : ""));
    spec.options[key] = item.substr(equals + 1);
    at = end + 1;
  }
  if (spec.options.contains("threads")) parse_threads(spec.options["threads"]);
  if (const std::string rope = option(spec, "rope", "own"); rope != "own" && rope != "libm")
    throw InputError("participant option rope=" + rope.substr(0, 60) + ": must be own or libm");
  return spec;
}

std::unique_ptr<Participant> make_participant(const ParticipantSpec& spec,
                                              std::shared_ptr<const bitnet::Model> model,
                                              const std::filesystem::path& path,
                                              const ParticipantDefaults& defaults) {
  if (spec.kind == "oracle") return make_oracle_from(path, defaults, false);
  return make_engine(
      std::move(model),
      {.isa = option(spec, "isa", defaults.isa),
       .threads = threads_of(spec, defaults),
       .rope = option(spec, "rope", "own") == "libm" ? bitnet::RopeMath::libm : bitnet::RopeMath::own});
}

std::unique_ptr<Participant> make_noise_twin(const ParticipantSpec& spec,
                                             std::shared_ptr<const bitnet::Model>,
                                             const std::filesystem::path& path,
                                             const ParticipantDefaults& defaults) {
  if (spec.kind == "oracle") return make_oracle_from(path, defaults, true);
  return nullptr;  // the engine has one way of computing: its self-noise is 0
}

std::string claim_of(const ParticipantSpec& candidate, const ParticipantSpec& reference) {
  const auto name = [](const ParticipantSpec& spec) {
    return spec.kind == "engine" ? std::string("engine") : "our " + spec.kind;
  };
  if (candidate.kind == reference.kind)
    return name(candidate) +
           " against itself; nothing but its consistency is shown, and no bitnet.cpp was involved";
  return name(candidate) + " against " + name(reference) + "; no bitnet.cpp was involved";
}

}  // namespace crossval
