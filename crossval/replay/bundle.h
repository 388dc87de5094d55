#pragma once
// A bundle: one failed comparison in one file, to be replayed where neither the model nor the participants
// are. A safetensors file (docs/reference/bundles.md); it holds figures and texts, and nothing that is run.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "crossval/compare/gates.h"
#include "crossval/lockstep/lockstep.h"
#include "crossval/replay/small_operation.h"
#include "reference/participant.h"

namespace crossval {

/// Where a run saves them, below --out.
inline constexpr const char* kBundleFolder = "replay";

/// No bundle is larger.
inline constexpr std::size_t kMostBundleBytes = 1'000'000;

struct Bundle {
  SmallOperation operation;
  std::vector<float> shown;      // what the accused side made of it, one value per output
  std::vector<float> evaluated;  // what the evaluator made of the same inputs

  // Whence it came.
  std::string case_id;
  std::int64_t step = 0;
  std::int64_t row = 0;      // within the step
  Side side{};               // the accused
  Identity participant;      // likewise: with `isa` and, where a fault was planted, `fault` among its details
  bool reproduced = false;   // it is our engine, and computed just this again from these inputs alone
  bool both_failed = false;  // the other side failed in the same operation
  std::string evaluator;     // "emulator", "oracle"
  std::string arbiter;       // "oracle", ...; empty: nobody was asked
  GateSet gates;             // those that cover the operation
  bool integers = false;     // whether integer products were compared

  // What the run said, in words.
  std::string who;       // "candidate wrong"
  std::string why;       // of the whole row: "nmse 0.2 > 1e-6"
  std::string likeness;  // "differs as if ...", or empty
  std::string model_sha256;
  std::string program;  // version, build and compiler of the crossval that saved it
  std::string command;  // that repeats the case; to be read, never run
};

/// The name of its file: case and tap, with everything replaced that a shell or a file system could take
/// otherwise.
std::string bundle_name(const Bundle& bundle);

/// As it lies in the file.
std::string encode_bundle(const Bundle& bundle);

/// Everything is checked before anything is used. Throws InputError("FILE: FIELD: what is wrong; what to
/// do").
Bundle open_bundle(const std::filesystem::path& path);
/// The same for bytes in memory; `name` stands for the path in messages.
Bundle parse_bundle(std::span<const std::byte> bytes, const std::string& name);

}  // namespace crossval
