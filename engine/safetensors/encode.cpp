#include "engine/safetensors/encode.h"

#include <cstring>
#include <nlohmann/json.hpp>

namespace bitnet {

std::string encode_safetensors(const std::map<std::string, std::string>& metadata,
                               const std::vector<TensorToEncode>& tensors) {
  nlohmann::json header = {{"__metadata__", metadata}};
  std::uint64_t at = 0;
  for (const TensorToEncode& t : tensors) {
    header[t.name] = {{"dtype", Safetensors::type_name(t.type)},
                      {"shape", t.shape},
                      {"data_offsets", {at, at + t.data.size()}}};
    at += t.data.size();
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the values begin at a multiple of eight
  const std::uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += text;
  for (const TensorToEncode& t : tensors)
    bytes.append(reinterpret_cast<const char*>(t.data.data()), t.data.size());
  return bytes;
}

}  // namespace bitnet
