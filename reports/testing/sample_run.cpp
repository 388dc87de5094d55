#include "reports/testing/sample_run.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "engine/base64.h"
#include "reports/escape.h"

namespace crossval::reports::testing {
namespace {

using nlohmann::json;

const std::vector<std::string> kLayerTaps = {
    "attn_norm",   "Qcur#1",   "Qcur#2",        "Kcur#1",       "Kcur#2",   "Vcur",     "kq",
    "kq_soft_max", "attn_ctx", "attn_sub_norm", "attn_out",     "ffn_inp",  "ffn_norm", "ffn_gate",
    "ffn_up",      "ffn_act",  "ffn_par",       "ffn_sub_norm", "ffn_down", "l_out"};

bool is_integer_product(const std::string& tap) {
  return tap == "Qcur#1" || tap == "Kcur#1" || tap == "Vcur" || tap == "attn_out" || tap == "ffn_gate" ||
         tap == "ffn_up" || tap == "ffn_down";
}

std::string with_layer(const std::string& tap, int layer) {
  const std::size_t hash = tap.find('#');
  const std::string number = "-" + std::to_string(layer);
  return hash == std::string::npos ? tap + number : tap.substr(0, hash) + number + tap.substr(hash);
}

/// The same stream on every platform.
class Noise {
 public:
  double next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state_ >> 11) / 9007199254740992.0;
  }

 private:
  std::uint64_t state_ = 20240229;
};

void put_text(json& record, const std::string& key, const std::string& bytes) {
  if (is_valid_utf8(bytes)) {
    record[key] = bytes;
  } else {
    record[key + "_b64"] = bitnet::base64_encode(bytes);
  }
}

json number(double value) {
  if (std::isnan(value)) return "nan";
  return value;
}

class Maker {
 public:
  explicit Maker(const SampleOptions& options) : o_(options), text_(valid_utf8(options.hostile)) {}

  std::vector<json> make() {
    run();
    json ids = json::array();
    for (int i = 0; i < o_.cases; ++i) ids.push_back(id(i));
    out_.push_back({{"type", "plan"}, {"cases", ids}});
    for (int i = 0; i < o_.cases; ++i) one_case(i);
    if (o_.with_summary) summary();
    return std::move(out_);
  }

 private:
  std::string id(int i) const {
    static const char* kNames[] = {"sum-2+2", "capital-france", "colour-of-snow", "passage-3"};
    return (i < 4 ? std::string(kNames[i]) : "case-" + std::to_string(i)) + text_;
  }

  void run() {
    json taps = json::array({"inp_embd"});
    for (int layer = 0; layer < o_.layers; ++layer) {
      for (const std::string& tap : kLayerTaps) taps.push_back(with_layer(tap, layer));
    }
    taps.push_back("result_norm");
    taps.push_back("result_output");
    const auto gate = [](const char* name, const char* mode, const char* metric, json covered, json except,
                         double threshold, bool noise) {
      return json{{"name", name},
                  {"mode", mode},
                  {"metric", metric},
                  {"taps", std::move(covered)},
                  {"except", std::move(except)},
                  {"first_step", 0},
                  {"threshold", threshold},
                  {"limit", (std::string(metric) == "cosine" ? ">= " : "<= ") + json(threshold).dump()},
                  {"or_within_noise", noise},
                  {"min_compared", 1},
                  {"source", "crossval's default gates"}};
    };
    const json products = {"Qcur#1", "Kcur#1", "Vcur", "attn_out", "ffn_gate", "ffn_up", "ffn_down"};
    const json trunk = {"l_out", "result_norm", "result_output"};
    const json none = json::array();
    const json model = {{"path", "fixtures/model/bundled.gguf" + text_},
                        {"sha256", "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"},
                        {"arch", "bitnet-b1.58"},
                        {"name", "crossval bundled" + text_},
                        {"n_layer", o_.layers},
                        {"n_embd", 256},
                        {"n_vocab", 1024},
                        {"warnings", json::array()}};
    out_.push_back(
        {{"type", "run"},
         {"schema", "crossval.results/1"},
         {"time", "2025-11-21T08:02:00Z"},
         {"claim", "engine against our oracle; no bitnet.cpp was involved"},
         {"crossval", {{"version", "0.1.0"}, {"build", "Release"}, {"compiler", "GNU 12.2.0"}}},
         {"model", model},
         {"reference_model", nullptr},
         {"suite",
          {{"path", "fixtures/suites/qa.json"}, {"sha256", std::string(64, 'a')}, {"cases", o_.cases}}},
         {"gates",
          {{"sha256", std::string(64, 'b')},
           {"source", "default"},
           {"list",
            {gate("local.integers", "local", "integers_differing", products, none, 0, false),
             gate("local.cosine", "local", "cosine", {"*"}, products, 0.99999, false),
             gate("local.nmse", "local", "nmse", {"*"}, products, 1e-6, false),
             gate("free.cosine", "free", "cosine", trunk, none, 0.999, false),
             gate("free.tap.cosine", "free", "cosine", {"*"}, trunk, 0.999, true)}}}},
         {"candidate",
          {{"name", "engine" + text_},
           {"version", "0.1.0"},
           {"build", "Release, GNU 12.2.0"},
           {"isa", "avx2"},
           {"threads", 2},
           {"details", {{"rope", "own"}, {"kernels", {{"dot", "dot_i2s_i8_avx2"}}}, {"note", "n" + text_}}},
           {"sources",
            {{"attn_norm", {{"function", "avx2::rms_norm"}, {"file", "engine/norm.cpp"}, {"line", 7}}},
             {"ffn_act",
              {{"function", "avx2::silu"},
               {"file", "engine/element wise" + text_ + ".cpp"},
               {"line", 66}}}}}}},
         {"reference",
          {{"name", "oracle"},
           {"version", "0.1.0"},
           {"build", "Release, GNU 12.2.0"},
           {"isa", "none"},
           {"threads", 1},
           {"details", {{"rope", "own"}, {"precision", "binary64"}}}}},
         {"arbiter", nullptr},
         {"tokens_from", "reference"},
         {"reference_batch", 1},
         {"shard", {{"index", 0}, {"count", 1}}},
         {"host", {{"cpu", "x86-64, 2 cores"}, {"cores", 2}, {"os", "Debian GNU/Linux 12"}}},
         {"taps", taps},
         {"skipped_taps",
          json::array({{{"tap", "ffn_moe-0"}, {"reason", "the reference does not show it" + text_}}})},
         {"reproduce",
          "crossval run --model fixtures/model/bundled.gguf --prompts fixtures/suites/qa.json"}});
  }

  void comparison(const std::string& case_id, int step, const std::string& tap, int layer, const char* mode,
                  bool bad) {
    const bool local = std::string(mode) == "local";
    const double depth = 1 + std::max(layer, 0);
    double error =
        local ? 1e-14 * std::pow(10, 2 * noise_.next()) : 2e-9 * depth * depth * (0.5 + noise_.next());
    const bool product = local && is_integer_product(tap);
    std::uint64_t bits = static_cast<std::uint64_t>(noise_.next() * (local ? 6 : 200));
    if (product || tap == "inp_embd") {
      error = 0;
      bits = 0;
    }
    if (bad) {
      error = local ? 0.31 + 0.05 * noise_.next() : 0.02 + 0.2 * noise_.next();
      bits = 249;
    }
    json record = {{"type", "comparison"},
                   {"case", case_id},
                   {"step", step},
                   {"tap", layer < 0 ? tap : with_layer(tap, layer)},
                   {"mode", mode},
                   {"row", step == 0 ? 3 : 0},
                   {"rows", step == 0 ? 7 : 1},
                   {"cosine", 1 - error},
                   {"nmse", number(2 * error)},
                   {"norm_ratio", 1 + (bad ? 0.4 : std::sqrt(error) / 10)},
                   {"max_abs", bad ? 1.25 : std::sqrt(error)},
                   {"at", {step == 0 ? 3 : 0, 117}},
                   {"got", bad ? 1.5 : 0.25},
                   {"expected", 0.25},
                   {"bits", bits},
                   {"count", 256},
                   {"cosine_trimmed", 1 - error},
                   {"gate", local ? "local.cosine" : "free.tap.cosine"},
                   {"verdict", bad ? "FAIL" : "PASS"}};
    if (product) record["integers_differing"] = 0;
    if (bad) record["why"] = "cosine " + json(1 - error).dump() + (local ? " < 0.99999" : " < 0.999") + text_;
    if (tap == "result_output" && !local) {
      record["margin"] = margin_;
      record["kl"] = error / 3;
      record["top1"] = true;
      record["topk"] = 1.0;
    }
    if (bad) ++failed_;
    ++made_;
    out_.push_back(std::move(record));
  }

  void one_case(int i) {
    const bool failing = o_.failing_case == i;
    const bool odd = i == o_.cases - 1 && o_.last_case_verdict != "PASS";
    const int steps = odd ? 1 : o_.steps;
    const std::string case_id = id(i);
    const std::uint64_t made_before = made_;
    const std::uint64_t failed_before = failed_;
    json tokens = json::array();
    std::uint64_t explained = 0;
    std::uint64_t unexplained = 0;
    for (int step = 0; step < steps; ++step) {
      const bool wrong = failing && step >= 1;
      // A narrow margin now and then, where a flip is no fault.
      margin_ = i % 97 == 5 && step == 1 ? 3e-6 : 0.05 * std::pow(10, 2.2 * noise_.next());
      for (int layer = -1; layer <= o_.layers; ++layer) {
        const auto both = [&](const std::string& tap, int at, bool local_bad, bool free_bad) {
          comparison(case_id, step, tap, at, "local", local_bad);
          comparison(case_id, step, tap, at, "free", free_bad);
        };
        if (layer == -1) {
          both("inp_embd", -1, false, false);
        } else if (layer == o_.layers) {
          both("result_norm", -1, false, wrong);
          both("result_output", -1, false, wrong);
        } else {
          bool seen = false;
          for (const std::string& tap : kLayerTaps) {
            const bool guilty = wrong && layer == 1 && tap == "ffn_act";
            seen = seen || guilty;
            both(tap, layer, guilty, wrong && (layer > 1 || seen));
          }
        }
      }
      const bool flip = wrong && step == steps - 1;
      const bool excused = !wrong && margin_ < 1e-5;
      if (flip) ++unexplained;
      if (excused) ++explained;
      out_.push_back({{"type", "tokens"},
                      {"case", case_id},
                      {"step", step},
                      {"fed", {17 + step}},
                      {"candidate", flip || excused ? 9 : 5},
                      {"reference", 5},
                      {"margin", margin_},
                      {"verdict", flip      ? "FAIL"
                                  : excused ? "EXPLAINED"
                                            : "PASS"}});
      tokens.push_back(5);
    }
    if (i == 0 && o_.steps > 0) {
      out_.push_back({{"type", "skip"},
                      {"case", case_id},
                      {"step", 0},
                      {"tap", "kq-0"},
                      {"count", 1},
                      {"reason", "the participant lists it, but has no cells to show" + text_}});
      ++skipped_;
    }
    const std::string verdict = odd ? o_.last_case_verdict : failing ? "FAIL" : "PASS";
    json record = {{"type", "case"},
                   {"id", case_id},
                   {"verdict", verdict},
                   {"tokens", tokens},
                   {"expect", nullptr},
                   {"flips", {{"explained", explained}, {"unexplained", unexplained}}},
                   {"comparisons", made_ - made_before},
                   {"failed", failed_ - failed_before},
                   {"first_failure", nullptr}};
    put_text(record, "prompt", "Q: what is case " + std::to_string(i) + "?\nA:" + o_.hostile);
    put_text(record, "answer", (failing ? "five" : " Paris") + o_.hostile);
    if (i % 2 == 0) record["expect"] = {{"kind", "equals"}, {"want", "Paris" + text_}, {"met", !failing}};
    if (failing) record["first_failure"] = {{"step", 1}, {"tap", "ffn_act-1"}, {"mode", "local"}};
    if (odd) put_text(record, "problem", "the reference died: signal 9" + o_.hostile);
    ++(verdict == "PASS"           ? pass_
       : verdict == "FAIL"         ? fail_
       : verdict == "INCOMPARABLE" ? incomparable_
                                   : invalid_);
    out_.push_back(std::move(record));
  }

  void summary() {
    const std::string verdict = invalid_ > 0        ? "INVALID"
                                : incomparable_ > 0 ? "INCOMPARABLE"
                                : fail_ > 0         ? "FAIL"
                                                    : "PASS";
    const int exit = verdict == "PASS" ? 0 : verdict == "FAIL" ? 1 : verdict == "INCOMPARABLE" ? 3 : 4;
    out_.push_back({{"type", "perf"},
                    {"participant", "engine"},
                    {"tokens", 120},
                    {"seconds", 0.5},
                    {"what", "all evaluations"}});
    if (o_.last_case_verdict == "PASS") {
      out_.push_back({{"type", "canary"},
                      {"tap", "ffn_act-0"},
                      {"case", id(0)},
                      {"step", 0},
                      {"fault", "one row zeroed"},
                      {"caught", true},
                      {"verdict", "PASS"}});
    }
    json noise = json::object();
    for (const std::string& tap : kLayerTaps) noise[tap] = {2e-13, 4e-8};
    noise["result_output"] = {3e-13, 5e-8};
    out_.push_back(
        {{"type", "summary"},
         {"planned", made_ + skipped_},
         {"made", made_},
         {"skipped", skipped_},
         {"verdict", verdict},
         {"exit", exit},
         {"headline",
          verdict == "PASS" ? "every comparison is within its gate" + text_
          : verdict == "FAIL"
              ? "ffn_act-1 is the first operation that differs (case " + id(*o_.failing_case) + ", step 1)"
              : "case " + id(o_.cases - 1) + " could not be judged: the reference died"},
         {"cases",
          {{"pass", pass_}, {"fail", fail_}, {"incomparable", incomparable_}, {"invalid", invalid_}}},
         {"self_noise", noise},
         {"logit_noise", 4e-6},
         {"first_failure",
          o_.failing_case
              ? json{{"case", id(*o_.failing_case)}, {"step", 1}, {"tap", "ffn_act-1"}, {"mode", "local"}}
              : json(nullptr)},
         {"located",
          o_.failing_case
              ? json{{"case", id(*o_.failing_case)},
                     {"step", 1},
                     {"who", "candidate wrong"},
                     {"tap", "ffn_act-1"},
                     {"row", 0},
                     {"why", "nmse 0.31 > 1e-06"},
                     {"likeness", "differs as if the gate were not activated: 0 bits left" + text_},
                     {"bundle", "replay/x-ffn_act-1.crossval-bundle"}}
              : json(nullptr)},
         {"quadrant", o_.failing_case ? json("candidate wrong") : json(nullptr)}});
  }

  const SampleOptions& o_;
  std::string text_;
  std::vector<json> out_;
  Noise noise_;
  double margin_ = 0;
  std::uint64_t made_ = 0, failed_ = 0, skipped_ = 0;
  std::uint64_t pass_ = 0, fail_ = 0, incomparable_ = 0, invalid_ = 0;
};

}  // namespace

std::vector<json> sample_records(const SampleOptions& options) {
  return Maker(options).make();
}

std::string to_jsonl(const std::vector<json>& records) {
  std::string out;
  for (const json& record : records) out += record.dump() + "\n";
  return out;
}

ScratchDirectory::ScratchDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "crossval-reports-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
  path_ = pattern;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path ScratchDirectory::write(const std::string& name, const std::string& bytes) const {
  std::filesystem::path path = path_ / name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

std::string ScratchDirectory::read(const std::string& name) const {
  return read_file(path_ / name);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path.string() + " is missing");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace crossval::reports::testing
