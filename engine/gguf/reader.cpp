// Parses and validates a GGUF file. Nothing is believed: every count is held against the bytes that are left
// before anything is allocated for it, every offset against the file.

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "engine/error.h"
#include "engine/gguf/foreign.h"
#include "engine/gguf/gguf.h"
#include "engine/gguf/mapping.h"
#include "engine/gguf/printable.h"
#include "engine/gguf/value_type.h"

namespace bitnet::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

struct File::Impl {
  Mapping mapping;  // empty when the bytes belong to somebody else
  std::span<const std::byte> bytes;
  std::string name;
  std::uint32_t version = 0;
  std::uint64_t alignment = 32;
  std::uint64_t data_offset = 0;
  std::vector<KeyValue> key_values;
  std::vector<Tensor> tensors;
  // Indices sorted by name: look-ups cost log n whatever names a file chooses, which hashing would not
  // promise.
  std::vector<std::uint32_t> keys_by_name;
  std::vector<std::uint32_t> tensors_by_name;

  // `self` is the File around this, for look-ups and messages.
  void parse(const File& self);
  void place_tensors(const File& self);
};

namespace {

constexpr std::uint64_t kMaxKeyBytes = 65535;     // gguf.md
constexpr std::uint64_t kMaxNameBytes = 64;       // gguf.md
constexpr std::uint64_t kMaxAlignment = 1 << 20;  // far above any page size
constexpr std::uint64_t kMaxElements = std::numeric_limits<std::int64_t>::max();
// Vectors start no larger than this, whatever a file claims; real entries make them grow.
constexpr std::uint64_t kMaxReserve = 1 << 16;
constexpr std::uint64_t kMaxReserveStrings = 1 << 19;  // vocabularies and their merges
constexpr std::uint64_t kMaxCount = 1 << 30;           // indices are 32 bits wide
// The least that one entry takes in the file.
constexpr std::uint64_t kMinKeyValueBytes = 8 + 1 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
constexpr std::uint64_t kMinStringBytes = 8;

std::string quoted(std::string_view name) {
  // Appended, not chained: GCC 12 warns of an overlap that is not there (its bug 105651).
  std::string text = "`";
  text += printable(name, 100);
  return text += '`';
}

[[noreturn]] void fail_file(const std::string& file, std::string_view field, std::string_view what) {
  throw InputError(printable_message(file) + ": " + printable_message(field) + ": " +
                   printable_message(what));
}

// Reads on and knows where it is, for messages.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  // What is being read: "key 3 of 24", then "key `general.name`".
  void at(std::string_view kind, std::uint64_t index, std::uint64_t count) {
    kind_ = kind;
    index_ = index;
    count_ = count;
    name_ = {};
  }
  void named(std::string_view name) { name_ = name; }

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return bytes_.size() - position_; }

  template <class T>
  T read() {
    need(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }

  std::span<const std::byte> take(std::uint64_t n) {
    need(n);
    const auto part = bytes_.subspan(position_, n);
    position_ += n;
    return part;
  }

  std::string_view string(const char* what) {
    const auto length = read<std::uint64_t>();
    if (length > left())
      fail(std::string(what) + " claims a length of " + std::to_string(length) + " bytes, but only " +
           std::to_string(left()) +
           " are left in the file; it is damaged or cut short, download or copy it again");
    const auto part = take(length);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  [[noreturn]] void fail(const std::string& what) const { fail_file(file_, field(), what); }

 private:
  void need(std::uint64_t n) const {
    if (n > left())
      fail("the file ends here, at byte " + std::to_string(bytes_.size()) +
           "; it was cut short, download or copy it again");
  }

  std::string field() const {
    std::string kind(kind_);
    if (!name_.empty()) return kind + " " + quoted(name_);
    if (count_ == 0) return kind;
    return kind + " " + std::to_string(index_ + 1) + " of " + std::to_string(count_);
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::uint64_t position_ = 0;
  std::string_view kind_ = "header";
  std::uint64_t index_ = 0;
  std::uint64_t count_ = 0;
  std::string_view name_;
};

struct Header {
  std::uint32_t version = 0;
  std::uint64_t n_tensors = 0;
  std::uint64_t n_kv = 0;
};

void check_count(const Cursor& in, std::uint64_t count, std::uint64_t min_bytes, const char* what) {
  const std::uint64_t room = std::min(in.left() / min_bytes, kMaxCount);
  if (count > room)
    in.fail("claims " + std::to_string(count) + " " + what + ", but the file has room for at most " +
            std::to_string(room) + "; it is damaged or cut short, download or copy it again");
}

Header read_header(Cursor& in, std::span<const std::byte> bytes) {
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) in.fail(describe_foreign_file(bytes));
  in.take(4);
  Header header;
  in.at("version", 0, 0);
  header.version = in.read<std::uint32_t>();
  if (header.version == 1)
    in.fail("is 1, which no current program reads; convert the model again (2 and 3 are supported)");
  // A small version in the upper half is a small version with its bytes swapped.
  if ((header.version & 0xffffu) == 0 && header.version != 0)
    in.fail("the file is big-endian; convert it with gguf_convert_endian.py to little-endian");
  if (header.version != 2 && header.version != 3)
    in.fail("is " + std::to_string(header.version) + ", which is unknown; 2 and 3 are supported");
  in.at("header", 0, 0);
  header.n_tensors = in.read<std::uint64_t>();
  header.n_kv = in.read<std::uint64_t>();
  check_count(in, header.n_tensors, kMinTensorBytes, "tensors");
  check_count(in, header.n_kv, kMinKeyValueBytes, "keys");
  return header;
}

ValueType read_value_type(Cursor& in) {
  const auto number = in.read<std::uint32_t>();
  if (number > static_cast<std::uint32_t>(ValueType::f64))
    in.fail("value type " + std::to_string(number) +
            " is unknown; the file is damaged or newer than this program");
  return static_cast<ValueType>(number);
}

[[noreturn]] void fail_boolean(const Cursor& in, unsigned value) {
  in.fail("a boolean must be 0 or 1, not " + std::to_string(value) + "; the file is damaged");
}

Array read_array(Cursor& in) {
  Array array;
  array.type = read_value_type(in);
  if (array.type == ValueType::array)
    in.fail("arrays of arrays are not supported; write the key as a flat array");
  array.count = in.read<std::uint64_t>();
  if (array.type == ValueType::string) {
    check_count(in, array.count, kMinStringBytes, "strings");
    array.strings.reserve(static_cast<std::size_t>(std::min(array.count, kMaxReserveStrings)));
    for (std::uint64_t i = 0; i < array.count; ++i)
      array.strings.push_back(in.string("a string in the array"));
    return array;
  }
  const std::uint64_t size = value_type_bytes(array.type);
  check_count(in, array.count, size, "array elements");
  array.bytes = in.take(array.count * size);
  if (array.type == ValueType::boolean)
    for (const std::byte b : array.bytes)
      if (std::to_integer<unsigned>(b) > 1) fail_boolean(in, std::to_integer<unsigned>(b));
  return array;
}

Value read_value(Cursor& in) {
  switch (read_value_type(in)) {
    case ValueType::u8:
      return in.read<std::uint8_t>();
    case ValueType::i8:
      return in.read<std::int8_t>();
    case ValueType::u16:
      return in.read<std::uint16_t>();
    case ValueType::i16:
      return in.read<std::int16_t>();
    case ValueType::u32:
      return in.read<std::uint32_t>();
    case ValueType::i32:
      return in.read<std::int32_t>();
    case ValueType::f32:
      return in.read<float>();
    case ValueType::u64:
      return in.read<std::uint64_t>();
    case ValueType::i64:
      return in.read<std::int64_t>();
    case ValueType::string:
      return in.string("the value");
    case ValueType::array:
      return read_array(in);
    case ValueType::boolean: {
      const auto value = in.read<std::uint8_t>();
      if (value > 1) fail_boolean(in, value);
      return value == 1;
    }
    case ValueType::f64:
      break;
  }
  return in.read<double>();
}

// Other programs cut names at the first zero byte, so two names could become one there.
void check_name(const Cursor& in, std::string_view name, std::uint64_t max_bytes) {
  if (name.empty()) in.fail("has an empty name; the file is damaged");
  if (name.size() > max_bytes)
    in.fail("has a name of " + std::to_string(name.size()) + " bytes, the format allows " +
            std::to_string(max_bytes) + "; the file is damaged");
  if (name.find('\0') != std::string_view::npos) in.fail("has a zero byte in its name; the file is damaged");
}

std::vector<File::KeyValue> read_key_values(Cursor& in, std::uint64_t count) {
  std::vector<File::KeyValue> out;
  out.reserve(static_cast<std::size_t>(std::min(count, kMaxReserve)));
  for (std::uint64_t i = 0; i < count; ++i) {
    in.at("key", i, count);
    const std::string_view key = in.string("its name");
    check_name(in, key, kMaxKeyBytes);
    in.named(key);
    out.push_back({key, read_value(in)});
  }
  return out;
}

void read_shape(Cursor& in, Tensor& tensor) {
  const auto n_dims = in.read<std::uint32_t>();
  if (n_dims < 1 || n_dims > 4)
    in.fail("has " + std::to_string(n_dims) + " dimensions; 1 to 4 are allowed, the file is damaged");
  tensor.n_dims = static_cast<int>(n_dims);
  std::uint64_t elements = 1;
  for (std::uint32_t d = 0; d < n_dims; ++d) {
    tensor.ne[d] = in.read<std::uint64_t>();
    if (tensor.ne[d] == 0) in.fail("dimension " + std::to_string(d) + " is 0; the file is damaged");
    if (tensor.ne[d] > kMaxElements / elements)
      in.fail("its number of elements overflows; the file is damaged");
    elements *= tensor.ne[d];
  }
}

constexpr std::string_view kSupportedTypes =
    "F32, F16, BF16, I2_S, TL1, TL2, TQ1_0, TQ2_0, IQ1_BN, IQ2_BN, IQ2_BN_R4, Q8_0, Q6_K, Q5_0, Q4_K and "
    "Q4_0 can be read";

TensorType read_tensor_type(Cursor& in, std::uint32_t number) {
  const auto type = tensor_type(number);
  if (!type && type_name(number).empty())
    in.fail(type_text(number) + " is not supported; " + std::string(kSupportedTypes) +
            ". Is the file damaged?");
  if (!type)
    in.fail(type_text(number) + " is not supported; " + std::string(kSupportedTypes) +
            ". Quantize the model to I2_S");
  if (*type == TensorType::i8_s)
    in.fail(type_text(number) + " is for activations and never stands in a file; convert the model again");
  return *type;
}

std::vector<Tensor> read_tensor_infos(Cursor& in, std::uint64_t count) {
  std::vector<Tensor> out;
  out.reserve(static_cast<std::size_t>(std::min(count, kMaxReserve)));
  for (std::uint64_t i = 0; i < count; ++i) {
    in.at("tensor", i, count);
    Tensor tensor;
    tensor.name = in.string("its name");
    check_name(in, tensor.name, kMaxNameBytes);
    in.named(tensor.name);
    read_shape(in, tensor);
    tensor.number = in.read<std::uint32_t>();
    tensor.type = read_tensor_type(in, tensor.number);
    tensor.offset = in.read<std::uint64_t>();
    const auto size = tensor_bytes(tensor.type, tensor.ne[0], tensor.rows());
    if (!size && tensor.ne[0] % block_elements(tensor.type) != 0)
      in.fail("a row of " + std::to_string(tensor.ne[0]) + " elements does not divide into the blocks of " +
              std::to_string(block_elements(tensor.type)) + " of " + type_text(tensor.number) +
              "; the file is damaged or was written by a broken converter");
    if (!size)
      in.fail("the size of " + type_text(tensor.number) +
              " with this shape is not known here; quantize the model to I2_S");
    out.push_back(tensor);
  }
  return out;
}

std::uint64_t read_alignment(const File& file) {
  const auto alignment = file.get<std::uint32_t>("general.alignment").value_or(32);
  if (alignment == 0 || !std::has_single_bit(alignment) || alignment > kMaxAlignment)
    file.fail("general.alignment", "must be a power of two, at most " + std::to_string(kMaxAlignment) +
                                       ", not " + std::to_string(alignment) + "; the file is damaged");
  return alignment;
}

// Parts of a split model hold part of the tensors each; alone they look like damaged files.
void refuse_split(const File& file) {
  const Value* value = file.find("split.count");
  if (value == nullptr) return;
  const std::uint64_t count = std::visit(
      [](const auto& v) -> std::uint64_t {
        if constexpr (std::is_integral_v<std::decay_t<decltype(v)>>)
          return v > 0 ? static_cast<std::uint64_t>(v) : 0;
        else
          return 0;
      },
      *value);
  if (count > 1)
    file.fail("split.count",
              "the model is split into " + std::to_string(count) +
                  " files, which is not supported; merge the parts with llama-gguf-split --merge");
}

template <class Named>
std::vector<std::uint32_t> sorted_by_name(const std::vector<Named>& items, std::string_view Named::*name) {
  std::vector<std::uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) { return items[a].*name < items[b].*name; });
  return order;
}

template <class Named>
const Named* first_duplicate(const std::vector<Named>& items, const std::vector<std::uint32_t>& order,
                             std::string_view Named::*name) {
  for (std::size_t i = 1; i < order.size(); ++i)
    if (items[order[i - 1]].*name == items[order[i]].*name) return &items[order[i]];
  return nullptr;
}

template <class Named>
const Named* find_by_name(const std::vector<Named>& items, const std::vector<std::uint32_t>& order,
                          std::string_view Named::*name, std::string_view wanted) {
  const auto it =
      std::ranges::lower_bound(order, wanted, {}, [&](std::uint32_t i) { return items[i].*name; });
  return it != order.end() && items[*it].*name == wanted ? &items[*it] : nullptr;
}

std::string tensor_field(const Tensor& tensor) {
  return "tensor " + quoted(tensor.name);
}

// Settles what the tensor is, and returns its bytes. `slot` bytes lie between its start and `next`, which
// says what comes there and what to do.
std::uint64_t settle(const File& file, Tensor& tensor, std::uint64_t slot, const std::string& next) {
  tensor.type = type_by_space(tensor.type, tensor.ne[0], tensor.rows(), slot, file.alignment());
  const auto foreign = describe_foreign_layout(tensor.type, tensor.number, tensor.ne[0], tensor.rows(), slot,
                                               file.alignment());
  if (!foreign.empty()) file.fail(tensor_field(tensor), type_text(tensor.number) + ": " + foreign);
  const std::uint64_t size = tensor_bytes(tensor.type, tensor.ne[0], tensor.rows()).value();
  if (slot < size)
    file.fail(tensor_field(tensor), "takes " + std::to_string(size) + " bytes from offset " +
                                        std::to_string(tensor.offset) + ", but " + std::to_string(slot) +
                                        " bytes further " + next);
  return size;
}

}  // namespace

// Sets the data of each tensor after checking that it lies in the file, aligned, and overlaps with no other.
void File::Impl::place_tensors(const File& self) {
  const std::uint64_t section = bytes.size() - std::min<std::uint64_t>(data_offset, bytes.size());
  for (const Tensor& tensor : tensors) {
    if (tensor.offset % alignment != 0)
      self.fail(tensor_field(tensor), "its offset " + std::to_string(tensor.offset) +
                                          " is no multiple of the alignment " + std::to_string(alignment) +
                                          "; the file is damaged");
    if (tensor.offset >= section)
      self.fail(tensor_field(tensor), "starts at byte " + std::to_string(tensor.offset) +
                                          " of the data, of which " + std::to_string(section) +
                                          " are in the file; it was cut short, download or copy it again");
  }
  std::vector<std::uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, {}, [&](std::uint32_t i) { return std::pair(tensors[i].offset, i); });
  for (std::size_t i = 0; i < order.size(); ++i) {
    Tensor& tensor = tensors[order[i]];
    std::uint64_t end = section;
    std::string next = "the file ends; it was cut short, download or copy it again";
    if (i + 1 < order.size()) {
      end = tensors[order[i + 1]].offset;
      next = tensor_field(tensors[order[i + 1]]) + " starts; they overlap, the file is damaged";
    }
    const std::uint64_t size = settle(self, tensor, end - tensor.offset, next);
    tensor.data = bytes.subspan(data_offset + tensor.offset, size);
  }
}

void File::Impl::parse(const File& self) {
  Cursor in(bytes, name);
  const Header header = read_header(in, bytes);
  version = header.version;

  key_values = read_key_values(in, header.n_kv);
  keys_by_name = sorted_by_name(key_values, &KeyValue::key);
  if (const auto* twice = first_duplicate(key_values, keys_by_name, &KeyValue::key))
    self.fail("key " + quoted(twice->key),
              "occurs twice; the file is damaged or was written by a broken converter");
  alignment = read_alignment(self);
  refuse_split(self);

  in.at("header", 0, 0);
  check_count(in, header.n_tensors, kMinTensorBytes, "tensors");
  tensors = read_tensor_infos(in, header.n_tensors);
  tensors_by_name = sorted_by_name(tensors, &Tensor::name);
  if (const auto* twice = first_duplicate(tensors, tensors_by_name, &Tensor::name))
    self.fail(tensor_field(*twice), "occurs twice; the file is damaged or was written by a broken converter");
  data_offset = (in.position() + alignment - 1) / alignment * alignment;
  place_tensors(self);
}

File File::parse(std::span<const std::byte> bytes, std::string name) {
  auto impl = std::make_unique<Impl>();
  impl->bytes = bytes;
  impl->name = std::move(name);
  File file(std::move(impl));
  file.impl_->parse(file);
  return file;
}

File File::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  impl->mapping = Mapping(path);
  impl->bytes = impl->mapping.bytes();
  impl->name = path.string();
  File file(std::move(impl));
  file.impl_->parse(file);
  return file;
}

File::File(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
File::File(File&&) noexcept = default;
File& File::operator=(File&&) noexcept = default;
File::~File() = default;

const std::string& File::name() const {
  return impl_->name;
}
std::uint32_t File::version() const {
  return impl_->version;
}
std::uint64_t File::alignment() const {
  return impl_->alignment;
}
std::uint64_t File::file_bytes() const {
  return impl_->bytes.size();
}
std::uint64_t File::data_offset() const {
  return impl_->data_offset;
}
const std::vector<File::KeyValue>& File::key_values() const {
  return impl_->key_values;
}
const std::vector<Tensor>& File::tensors() const {
  return impl_->tensors;
}

const Value* File::find(std::string_view key) const {
  const auto* found = find_by_name(impl_->key_values, impl_->keys_by_name, &KeyValue::key, key);
  return found ? &found->value : nullptr;
}

const Tensor* File::find_tensor(std::string_view name) const {
  return find_by_name(impl_->tensors, impl_->tensors_by_name, &Tensor::name, name);
}

void File::fail(std::string_view field, std::string_view what) const {
  fail_file(impl_->name, field, what);
}

}  // namespace bitnet::gguf
