#include "crossval/participants/program.h"

#include <unistd.h>

#include <cstdlib>
#include <map>

#include "engine/error.h"
#include "reference/process/process_participant.h"
#include "reference/process/words.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAdapter = "crossval-llama-adapter";

// Between its evaluations a reference waits for us. OpenMP's threads spin meanwhile, for 200 ms unless told,
// on cores that the other sides compute on; what the user set is left alone. No result depends on it.
std::map<std::string, std::string> adapter_environment() {
  if (std::getenv("KMP_BLOCKTIME") || std::getenv("OMP_WAIT_POLICY")) return {};
  return {{"KMP_BLOCKTIME", "1"}};  // milliseconds
}

}  // namespace

std::optional<fs::path> find_llama_adapter() {
  fs::path path;
  if (const char* named = std::getenv("CROSSVAL_LLAMA_ADAPTER")) {
    if (named == std::string("none")) return std::nullopt;
    path = named;
  } else {
    std::error_code error;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    if (error) return std::nullopt;
    path = self.parent_path() / kAdapter;
  }
  if (::access(path.c_str(), X_OK) != 0) return std::nullopt;
  return fs::absolute(path);
}

std::string llama_adapter_mend() {
  return std::string(
             "build it: cmake --preset release -DBITNET_CPP_DIR=DIR, DIR a checkout or build folder of "
             "bitnet.cpp, ik_llama.cpp or llama.cpp; ") +
         kAdapter + " is then beside crossval (or name it in CROSSVAL_LLAMA_ADAPTER)";
}

std::vector<std::string> program_words(const ParticipantSpec& spec) {
  if (spec.kind == "exec") return split_words(spec.options.at("words"));
  const auto adapter = find_llama_adapter();
  if (!adapter)
    throw bitnet::InputError("participant `bitnet.cpp`: its adapter is not there; " + llama_adapter_mend());
  return {adapter->string()};
}

std::unique_ptr<Participant> make_program(const ParticipantSpec& spec, const bitnet::Config& config,
                                          const fs::path& model, const ParticipantDefaults& defaults,
                                          bool several) {
  return make_process_participant(
      {.program = {.words = program_words(spec),
                   .name = spec.kind,
                   .timeout = Seconds(defaults.timeout),
                   .environment =
                       spec.kind == "exec" ? std::map<std::string, std::string>{} : adapter_environment()},
       .model = model,
       .config = config,
       .threads = defaults.threads,
       .several = several});
}

}  // namespace crossval
