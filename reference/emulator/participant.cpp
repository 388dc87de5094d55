#include "reference/emulator/participant.h"

#include <string>

#include "reference/file_participant.h"

namespace crossval {
namespace {

std::string quantizer_name(emulation::Quantizer quantizer) {
  switch (quantizer) {
    case emulation::Quantizer::product:
      return "product";
    case emulation::Quantizer::fused:
      return "fused";
    case emulation::Quantizer::reported:
      return "reported";
  }
  return "";
}

std::string rope_name(emulation::Rope rope) {
  switch (rope) {
    case emulation::Rope::libm:
      return "libm";
    case emulation::Rope::own:
      return "own";
    case emulation::Rope::table:
      return "trace";
  }
  return "";
}

class EmulatorParticipant final : public FileParticipant<Emulator> {
 public:
  using FileParticipant::FileParticipant;

  Identity identity() const override {
    const EmulatorOptions& o = evaluator().options();
    return {"emulator",
            CROSSVAL_VERSION,
            kOwnCompiler,
            {{"width", std::to_string(o.width)},
             {"quantizer", quantizer_name(o.quantizer)},
             {"sums", o.sums == emulation::Sums::exact ? "exact" : "int16"},
             {"tinyblas", o.tinyblas ? "on" : "off"},
             {"rope", rope_name(o.rope)},
             {"generation", o.generation == EmulatorGeneration::second
                                ? "2"
                                : "reported-2026 (as reported by users, never checked against a build)"},
             {"batch", o.batch_class == EmulatorBatchClass::several ? "several tokens" : "by tokens"},
             {"threads", std::to_string(evaluator().threads())}}};
  }
};

}  // namespace

std::unique_ptr<Participant> make_emulator(const std::filesystem::path& model,
                                           const EmulatorOptions& options) {
  return std::make_unique<EmulatorParticipant>(model, options);
}

}  // namespace crossval
