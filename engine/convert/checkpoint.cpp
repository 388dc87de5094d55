#include "engine/convert/checkpoint.h"

#include <nlohmann/json.hpp>
#include <set>

#include "engine/convert/json_object.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"

namespace bitnet::hf {
namespace {

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// The name of a file in the folder itself: one that led out of it would read what the user never meant.
bool is_plain_name(const std::string& name) {
  return name.ends_with(".safetensors") && name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

// The shard of each tensor.
std::map<std::string, std::string> read_index(const JsonObject& index) {
  const auto map = index.object("weight_map");
  if (!map) index.fail("weight_map", "missing: it names the shard of each tensor; download the file again");
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : map->json().items()) {
    if (!shard.is_string() || !is_plain_name(shard.get_ref<const std::string&>()))
      map->fail(tensor, "must be the name of a .safetensors file in the same folder, not `" +
                            gguf::printable(shard.dump(-1, ' ', true), 100) + "`");
    shards.emplace(tensor, shard.get_ref<const std::string&>());
  }
  if (shards.empty()) index.fail("weight_map", "names no tensor; download the file again");
  return shards;
}

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& folder) {
  Checkpoint c(folder.string());
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    c.fail("folder", "is no folder; give the one that holds config.json and model.safetensors");
  const bool whole = is_there(folder / kWhole);
  if (!is_there(folder / kIndex)) {
    if (!whole)
      c.fail(kWhole, std::string("missing, and ") + kIndex +
                         " too; weights in other files (pytorch_model.bin) are not read: save them as "
                         "safetensors");
    c.add(Safetensors::open(folder / kWhole));
    return c;
  }
  if (whole) c.fail(kWhole, std::string("stands beside ") + kIndex + "; remove the one that is not meant");

  const JsonObject index = JsonObject::open(folder / kIndex);
  const auto map = read_index(index);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map) shards.insert(shard);
  for (const std::string& shard : shards) {
    if (!is_there(folder / shard))
      index.fail("weight_map", "names `" + gguf::printable(shard, 100) +
                                   "`, which is not there; download the missing shard");
    Safetensors file = Safetensors::open(folder / shard);
    for (const Safetensors::Tensor& t : file.tensors()) {
      const auto named = map.find(t.name);
      if (named == map.end() || named->second != shard)
        file.fail(t.name, std::string("is here, but ") + kIndex +
                              " does not name it here; index and shards are of different checkpoints");
    }
    c.add(std::move(file));
  }
  for (const auto& [tensor, shard] : map)
    if (c.find(tensor) == nullptr)
      index.fail(tensor, "is not in `" + gguf::printable(shard, 100) +
                             "`; index and shards are of different checkpoints");
  return c;
}

void Checkpoint::add(Safetensors file) {
  const auto& tensors = file.tensors();
  for (std::size_t i = 0; i < tensors.size(); ++i) places_.emplace(tensors[i].name, Place{files_.size(), i});
  files_.push_back(std::move(file));
}

const Safetensors::Tensor* Checkpoint::find(std::string_view name) const {
  const auto it = places_.find(name);
  return it == places_.end() ? nullptr : &files_[it->second.file].tensors()[it->second.tensor];
}

std::vector<const Safetensors::Tensor*> Checkpoint::tensors() const {
  std::vector<const Safetensors::Tensor*> all;
  all.reserve(places_.size());
  for (const auto& [name, place] : places_) all.push_back(&files_[place.file].tensors()[place.tensor]);
  return all;
}

void Checkpoint::fail(std::string_view tensor, std::string_view what) const {
  if (const auto it = places_.find(tensor); it != places_.end()) files_[it->second.file].fail(tensor, what);
  throw InputError(gguf::printable_message(folder_) + ": " + gguf::printable(tensor, 200) + ": " +
                   gguf::printable_message(what));
}

}  // namespace bitnet::hf
