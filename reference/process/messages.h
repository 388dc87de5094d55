#pragma once
// The participant protocol's messages (PROTOCOL.md), taken apart and checked. What does not fit is a Breach.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/config.h"
#include "reference/participant.h"

namespace crossval {

/// What came is not what the protocol says. The message says what was wrong with it.
class Breach : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Our protocol version.
inline constexpr int kProtocol = 1;

/// One JSON object. Throws Breach.
nlohmann::json parse_line(std::string_view line);
/// Sets message[key], or its `_b64` twin when the text is not UTF-8.
void put_message_text(nlohmann::ordered_json& message, const std::string& key, std::string_view text);
/// message[key] or the bytes of its `_b64` twin, which wins. Throws Breach when neither is there.
std::string message_text(const nlohmann::json& message, const std::string& key);

/// The answer to `hello`.
struct Hello {
  Identity identity;
  std::vector<std::string> taps;     // base names, as given
  std::vector<std::string> options;  // what `load` understands
};
/// Throws Breach; Incomparable for another protocol version.
Hello parse_hello(const nlohmann::json& answer);

/// The answer to `load`.
struct Loaded {
  std::int64_t n_vocab = 0, n_layer = 0, n_embd = 0, n_ctx = 0;
  std::vector<std::string> taps;  // full names; empty where it names none
  bool names_taps = false;
  std::map<std::string, std::string> details;
};
/// Throws Breach.
Loaded parse_loaded(const nlohmann::json& answer);

/// The taps of a model that base names ("Qcur#1") or full names ("Qcur-3#1") stand for, in canonical order;
/// names that are none of ours are left out.
std::vector<TapId> taps_named(const std::vector<std::string>& names, const bitnet::Config& config);

/// Whether a message announces a tensor (and is not an answer).
bool announces_tensor(const nlohmann::json& message);
/// The tensor that it announces, all its values 0, ready to be read into. Its shape is held against what the
/// tap must have for `rows` tokens from `position` on before anything is allocated. Throws Breach for names
/// unknown and for other shapes.
Tensor announced_tensor(const nlohmann::json& message, const bitnet::Config& config, std::int64_t position,
                        std::int64_t rows);

/// `tokens` of an answer. Throws Breach.
std::vector<Token> parse_tokens(const nlohmann::json& answer);
/// `pieces` of an answer, of which there must be `count`. Throws Breach.
std::vector<std::string> parse_pieces(const nlohmann::json& answer, std::size_t count);

}  // namespace crossval
