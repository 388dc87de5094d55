#include "crossval/records/sha256.h"

#include <openssl/evp.h>

#include <bit>
#include <fstream>
#include <memory>
#include <vector>

#include "engine/error.h"

namespace crossval {
namespace {

using Context = std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)>;

Context new_context() {
  return {EVP_MD_CTX_new(), EVP_MD_CTX_free};
}

}  // namespace

RunningSha256::RunningSha256() : context_(new_context()) {
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
    throw bitnet::SystemError("SHA-256 is not available from the system's crypto library");
}

void RunningSha256::add(std::string_view bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

Sha256 RunningSha256::digest() const {
  const Context copy = new_context();
  if (!copy || EVP_MD_CTX_copy_ex(copy.get(), context_.get()) != 1)
    throw bitnet::SystemError("SHA-256: the system's crypto library has no memory left");
  Sha256 bytes{};
  EVP_DigestFinal_ex(copy.get(), bytes.data(), nullptr);
  return bytes;
}

std::string RunningSha256::hex() const {
  std::string text;
  for (const std::uint8_t byte : digest()) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  RunningSha256 hash;
  hash.add(bytes);
  return hash.hex();
}

Sha256 sha256_of(std::span<const float> row) {
  static_assert(std::endian::native == std::endian::little);
  RunningSha256 hash;
  hash.add({reinterpret_cast<const char*>(row.data()), row.size_bytes()});
  return hash.digest();
}

std::string sha256_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw bitnet::InputError(path.string() + ": cannot be read");
  RunningSha256 hash;
  std::vector<char> buffer(std::size_t{1} << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0)
    hash.add({buffer.data(), static_cast<std::size_t>(in.gcount())});
  if (in.bad()) throw bitnet::InputError(path.string() + ": cannot be read to its end");
  return hash.hex();
}

}  // namespace crossval
