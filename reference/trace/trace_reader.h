#pragma once
// Reads a trace (crossval.trace/1, docs/reference/traces.md): the recorded taps of one participant over a
// suite.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/safetensors/safetensors.h"
#include "reference/participant.h"

namespace crossval {

class Trace {
 public:
  /// Maps the file and checks all of it before anything is used: the container (Safetensors), the metadata,
  /// and that every tap of every step of every case is there in full, and nothing else. Each failure is an
  /// InputError of one line that names file, field and mend.
  static Trace open(const std::filesystem::path& path);
  /// The same for bytes in memory, which must outlive the trace.
  static Trace parse(std::span<const std::byte> bytes, std::string name);

  /// The cosines and sines that the participant turned its queries and keys by: [positions][n_rot / 2].
  struct Rope {
    std::int64_t positions = 0;
    std::string source;  // "libm" or "own"
    std::vector<float> cosines;
    std::vector<float> sines;
  };
  struct Stored {
    std::span<const std::byte> values;  // F32; of a hashed trace only the last row's, of few taps
    std::span<const std::byte> hashes;  // 32 bytes per row, of a hashed trace
  };
  struct Step {
    std::int64_t position = 0;  // of the first token
    std::vector<Token> tokens;
    std::vector<Stored> taps;  // one per entry of Trace::taps
  };
  struct Case {
    std::string id;
    std::vector<Step> steps;
  };

  const std::string& name() const { return file_.name(); }
  const std::string& model_sha256() const { return model_sha256_; }
  const std::string& suite_sha256() const { return suite_sha256_; }
  /// Of the participant that was recorded.
  const Identity& identity() const { return identity_; }
  /// Whether it keeps most rows as SHA-256 only.
  bool hashed() const { return hashed_; }
  /// Tokens per evaluation that the participant was given.
  std::int64_t reference_batch() const { return reference_batch_; }
  std::int64_t n_vocab() const { return n_vocab_; }
  /// In canonical order; result_output among them.
  const std::vector<TapId>& taps() const { return taps_; }
  /// As JSON text; empty where the participant has no second way of computing.
  const std::string& self_noise() const { return self_noise_; }
  const std::optional<Rope>& rope() const { return rope_; }
  const std::map<std::string, Case, std::less<>>& cases() const { return cases_; }
  /// The bytes of a token that was recorded; nothing of others.
  std::optional<std::string> piece(Token token) const;

  /// Throws InputError("FILE: FIELD: WHAT").
  [[noreturn]] void fail(std::string_view field, std::string_view what) const { file_.fail(field, what); }

 private:
  explicit Trace(bitnet::Safetensors file);
  const std::string& text(const char* key) const;
  std::int64_t number(const char* key, std::int64_t largest) const;
  void read_identity();
  void read_taps();
  void read_cases();
  void read_pieces();
  void read_rope();
  void place(const bitnet::Safetensors::Tensor& tensor);
  void check_complete() const;

  bitnet::Safetensors file_;
  std::string model_sha256_, suite_sha256_;
  Identity identity_;
  bool hashed_ = false;
  std::int64_t reference_batch_ = 1;
  std::int64_t n_vocab_ = 0;
  std::vector<TapId> taps_;
  std::map<TapId, std::size_t> tap_places_;
  std::string self_noise_;
  std::optional<Rope> rope_;
  std::map<std::string, Case, std::less<>> cases_;
  std::map<Token, std::string> pieces_;
};

/// Whether a hashed trace keeps the values of the last row of each step of this tap.
bool keeps_last_row(TapId tap);

/// The names of a trace's tensors: CASE/STEP/TAP, with ".sha256" where it holds hashes. Slashes and percent
/// signs of the case id are written as %2F and %25.
struct TraceName {
  std::string case_id;
  std::int64_t step = 0;
  TapId tap;
  bool hashes = false;
};
std::string to_string(const TraceName& name);
std::optional<TraceName> parse_trace_name(std::string_view text);

}  // namespace crossval
