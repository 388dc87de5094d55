#pragma once
// Writes GGUF v3: the header first, then the tensors streamed one after another, then an atomic rename.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/formats/tensor_type.h"
#include "engine/gguf/gguf.h"

namespace bitnet::gguf {

/// A value to be written. Arrays are vectors.
using WriteValue = std::variant<std::uint32_t, std::int32_t, std::uint64_t, std::int64_t, float, double, bool,
                                std::string, std::vector<std::string>, std::vector<float>,
                                std::vector<std::int32_t>, std::vector<std::uint32_t>>;

/// Usage: add every key and tensor declaration, then `begin()`, then `write(bytes)` once per tensor in the
/// order of declaration (may be given in pieces with `append`), then `finish()`. The file appears under its
/// name only in `finish`; until then it is NAME.tmp, which the destructor removes. Throws SystemError when
/// the disk is full or not writable, InputError for duplicate names, for a path that cannot be a file and for
/// tensors whose size is not defined, std::logic_error when used in another order. `general.alignment` is
/// written when the alignment is not 32.
class Writer {
 public:
  explicit Writer(std::filesystem::path path, std::uint32_t alignment = 32);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void add(std::string key, WriteValue value);
  void add(const File::KeyValue& key_value);  // copies a key of another file, whatever its type
  void add_tensor(std::string name, std::vector<std::uint64_t> ne, TensorType type);
  void begin();
  void append(std::span<const std::byte> bytes);  // of the current tensor; moves on when it is complete
  /// `verify` reads what was written, before it has its name; what it throws leaves no file.
  void finish(const std::function<void(const std::filesystem::path& temporary)>& verify = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitnet::gguf
