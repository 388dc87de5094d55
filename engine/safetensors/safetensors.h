#pragma once
// A safetensors file: tensors by name, and a map of texts. Read-only, mapped, fully validated.
// Source: the format section of the safetensors project's README: an 8-byte little-endian length, a JSON
// header, the tensors' bytes without a gap.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet {

class Safetensors {
 public:
  enum class Type : std::uint8_t {
    boolean,
    u8,
    i8,
    f8_e4m3,
    f8_e5m2,
    u16,
    i16,
    f16,
    bf16,
    u32,
    i32,
    f32,
    u64,
    i64,
    f64
  };
  struct Tensor {
    std::string name;
    Type type{};
    std::vector<std::uint64_t> shape;
    std::span<const std::byte> data;  // product of shape x size of type; aligned to nothing
    std::uint64_t elements() const;
  };

  /// Everything is checked before anything is used: lengths, JSON, duplicate names and keys, types, shapes
  /// against sizes, offsets without gap or overlap to the file's last byte. Each failure is an InputError of
  /// one line: "FILE: FIELD: what is wrong; what to do".
  static Safetensors open(const std::filesystem::path& path);
  /// The same for bytes in memory, which must outlive the object. `name` stands for the path in messages.
  static Safetensors parse(std::span<const std::byte> bytes, std::string name);

  Safetensors(Safetensors&&) noexcept;
  Safetensors& operator=(Safetensors&&) noexcept;
  ~Safetensors();

  const std::string& name() const { return name_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }
  /// In the order of their bytes.
  const std::vector<Tensor>& tensors() const { return tensors_; }

  /// Throws InputError("FILE: FIELD: WHAT"), harmless to print.
  [[noreturn]] void fail(std::string_view field, std::string_view what) const;

  /// "F32", "BF16", ...
  static std::string_view type_name(Type type);

 private:
  struct Map;
  explicit Safetensors(std::string name);
  void read(std::span<const std::byte> bytes);

  std::unique_ptr<Map> map_;
  std::string name_;
  std::map<std::string, std::string, std::less<>> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace bitnet
