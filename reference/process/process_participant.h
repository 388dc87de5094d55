#pragma once
// A program that speaks the participant protocol (PROTOCOL.md) as a participant: `exec:` and bitnet.cpp.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/config.h"
#include "reference/participant.h"
#include "reference/process/client.h"

namespace crossval {

struct ProcessOptions {
  ProgramOptions program;
  std::filesystem::path model;
  bitnet::Config config;  // of the model: which shapes its taps have
  int threads = 0;        // 0: as many as there are physical cores
  bool several = false;   // a single token, too, with the kernels for several
};

/// Starts the program, says `hello` and loads the model. Null when `several` is asked for and the program
/// does not list it. Throws InputError when the program cannot be started or answers with an error of kind
/// `input`; Incomparable for another protocol version or other dimensions than `config`'s; Invalid for
/// everything else that goes wrong, with the last request, how it ended and the end of its standard error.
///
/// Later failures are Invalid too (a listed tap that does not come: Incomparable) and end the program's
/// process group. It is started again when the next sequence begins, but not more than three times in a row
/// without a sequence that went well. eval's tensors are held against the taps' shapes before memory is set
/// aside for them. `tokenize` and `piece` pass on an InputError that the program answers with.
std::unique_ptr<Participant> make_process_participant(const ProcessOptions& options);

/// What the program says of itself before a model is loaded. Throws as above.
Hello probe_program(const ProgramOptions& options);

}  // namespace crossval
