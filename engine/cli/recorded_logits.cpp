#include "engine/cli/recorded_logits.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "engine/safetensors/safetensors.h"

namespace bitnet {
namespace {

using Json = nlohmann::json;

// As it stands in the names of tensors.
std::string escaped(std::string_view id) {
  std::string out;
  for (const char c : id) {
    if (c == '/')
      out += "%2F";
    else if (c == '%')
      out += "%25";
    else
      out += c;
  }
  return out;
}

const Safetensors::Tensor& rows_of(const Safetensors& file, const std::string& name, std::size_t tokens,
                                   std::int64_t n_vocab) {
  const auto& tensors = file.tensors();
  const auto found = std::ranges::find(tensors, name, &Safetensors::Tensor::name);
  if (found == tensors.end()) file.fail(name, "missing; record the logits too (--taps all)");
  if (found->type != Safetensors::Type::f32 || found->shape.size() != 2 || found->shape[0] == 0 ||
      found->shape[0] > tokens || found->shape[1] != static_cast<std::uint64_t>(n_vocab))
    file.fail(name, "must be F32, a row of " + std::to_string(n_vocab) +
                        " for each token or the last ones; was it recorded for another model?");
  return *found;
}

RecordedCase read_case(const Safetensors& file, const std::string& id, const Json& steps,
                       std::int64_t n_vocab) {
  RecordedCase c;
  for (std::size_t step = 0; step < steps.size(); ++step) {
    for (const Json& token : steps[step]) {
      c.tokens.push_back(token.get<Token>());
      if (c.tokens.back() < 0 || c.tokens.back() >= n_vocab)
        file.fail("tokens", "a token of case " + id + " is none of the model's");
    }
    const std::size_t n = steps[step].size();
    const auto& t = rows_of(file, escaped(id) + "/" + std::to_string(step) + "/result_output", n, n_vocab);
    const auto rows = static_cast<std::size_t>(t.shape[0]), width = static_cast<std::size_t>(n_vocab);
    for (std::size_t row = 0; row < rows; ++row) {
      RecordedRow& r = c.rows.emplace_back();
      r.position = c.tokens.size() - rows + row;
      r.logits.resize(width);
      std::memcpy(r.logits.data(), t.data.data() + row * width * sizeof(float), width * sizeof(float));
    }
  }
  return c;
}

}  // namespace

std::vector<RecordedCase> read_recorded_logits(const std::filesystem::path& trace, std::int64_t n_vocab) {
  const Safetensors file = Safetensors::open(trace);
  const auto tokens = file.metadata().find("tokens");
  if (tokens == file.metadata().end())
    file.fail("tokens", "missing from the metadata; give a trace that `crossval record` wrote");
  std::vector<RecordedCase> cases;
  try {
    const Json all = Json::parse(tokens->second);
    for (const auto& [id, steps] : all.items()) cases.push_back(read_case(file, id, steps, n_vocab));
  } catch (const Json::exception&) {
    file.fail("tokens", "must be an object of lists of lists of ids; record the trace again");
  }
  if (std::ranges::all_of(cases, [](const RecordedCase& c) { return c.rows.empty(); }))
    file.fail("tokens", "has no case; record the trace again");
  return cases;
}

}  // namespace bitnet
