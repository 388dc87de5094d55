#pragma once
// A participant with a fault planted into it.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "crossval/mistakes/mistake.h"
#include "engine/model/model.h"
#include "reference/participant.h"

namespace crossval {

/// A mistake and where it is made.
struct Fault {
  std::string name;                     // in the catalogue
  std::string mistake;                  // of mistake.h or text_mistake.h
  std::optional<bitnet::Tap> tap = {};  // all that the mistake can be made in, where none is named
  std::optional<int> layer = {};        // all, where none is named
};

/// What mistakes are made with, over this model: the engine's own operations, one thread.
Workbench make_workbench(std::shared_ptr<const bitnet::Model> model, const std::filesystem::path& path);

/// The participant, mistaken. The output of the operation is replaced before the next operation or the KV
/// cache reads it, so later taps, the cache and the tokens are wrong too; single operations are mistaken
/// likewise, unless the mistake is one of a forward pass. Throws InputError when the model leaves no room for
/// the mistake or the participant computes outside this program.
std::unique_ptr<Participant> plant(const Fault& fault, std::unique_ptr<Participant> inner,
                                   std::shared_ptr<const bitnet::Model> model,
                                   const std::filesystem::path& path);

}  // namespace crossval
