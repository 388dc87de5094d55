#include "reference/oracle/participant.h"

#include <string>

#include "reference/file_participant.h"

namespace crossval {
namespace {

class OracleParticipant final : public FileParticipant<Oracle> {
 public:
  using FileParticipant::FileParticipant;

  Identity identity() const override {
    return {"oracle",
            CROSSVAL_VERSION,
            kOwnCompiler,
            {{"arithmetic", options().round_taps ? "double, every tap rounded to binary32" : "double"},
             {"threads", std::to_string(evaluator().threads())}}};
  }
};

}  // namespace

std::unique_ptr<Participant> make_oracle(const std::filesystem::path& model, const OracleOptions& options) {
  return std::make_unique<OracleParticipant>(model, options);
}

}  // namespace crossval
