#include "reports/comparison_record.h"

#include <limits>
#include <nlohmann/json.hpp>

namespace crossval::reports {
namespace {

using nlohmann::json;

enum class Field {
  kOther,
  kType,
  kCase,
  kStep,
  kTap,
  kMode,
  kRow,
  kRows,
  kCosine,
  kNmse,
  kNormRatio,
  kMaxAbs,
  kCosineTrimmed,
  kAt,
  kGot,
  kExpected,
  kBits,
  kCount,
  kGate,
  kVerdict,
  kWhy,
  kSide,
  kBlame,
  kIntegers,
  kMargin,
  kKl
};

Field field_of(const std::string& key) {
  struct Entry {
    std::string_view name;
    Field field;
  };
  static constexpr Entry kFields[] = {{"type", Field::kType},
                                      {"case", Field::kCase},
                                      {"step", Field::kStep},
                                      {"tap", Field::kTap},
                                      {"mode", Field::kMode},
                                      {"row", Field::kRow},
                                      {"rows", Field::kRows},
                                      {"cosine", Field::kCosine},
                                      {"nmse", Field::kNmse},
                                      {"norm_ratio", Field::kNormRatio},
                                      {"max_abs", Field::kMaxAbs},
                                      {"cosine_trimmed", Field::kCosineTrimmed},
                                      {"at", Field::kAt},
                                      {"got", Field::kGot},
                                      {"expected", Field::kExpected},
                                      {"bits", Field::kBits},
                                      {"count", Field::kCount},
                                      {"gate", Field::kGate},
                                      {"verdict", Field::kVerdict},
                                      {"why", Field::kWhy},
                                      {"side", Field::kSide},
                                      {"blame", Field::kBlame},
                                      {"margin", Field::kMargin},
                                      {"kl", Field::kKl},
                                      {"integers_differing", Field::kIntegers}};
  for (const Entry& e : kFields) {
    if (e.name == key) return e.field;
  }
  return Field::kOther;
}

/// Fields of version 1 are flat; whatever else a later writer adds may be nested and is passed over.
class Handler : public json::json_sax_t {
 public:
  Comparison record;
  std::string error;
  bool malformed = false;
  bool has_case = false, has_step = false, has_tap = false, has_mode = false, has_verdict = false;
  std::string type;

  bool null() override { return scalar_done(); }
  bool boolean(bool /*value*/) override { return unexpected("a boolean", false); }
  bool number_integer(number_integer_t value) override { return integer(value, static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return real(static_cast<double>(value));
    }
    return integer(static_cast<std::int64_t>(value), static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return real(value); }
  bool binary(binary_t& /*value*/) override { return false; }

  bool string(string_t& value) override {
    if (depth_ != 1) return scalar_done();
    switch (field_) {
      case Field::kType:
        type = std::move(value);
        return true;
      case Field::kCase:
        has_case = true;
        record.case_id = std::move(value);
        return true;
      case Field::kTap:
        has_tap = true;
        record.tap = std::move(value);
        return true;
      case Field::kMode:
        has_mode = true;
        if (value == "local") {
          record.mode = Mode::kLocal;
        } else if (value == "free") {
          record.mode = Mode::kFree;
        } else {
          return fail("`mode` is neither local nor free");
        }
        return true;
      case Field::kGate:
        record.gate = std::move(value);
        return true;
      case Field::kVerdict:
        has_verdict = true;
        record.verdict = std::move(value);
        return true;
      case Field::kWhy:
        record.why = std::move(value);
        return true;
      case Field::kSide:
        record.side = std::move(value);
        return true;
      case Field::kBlame:
        record.blame = std::move(value);
        return true;
      case Field::kOther:
        return true;
      default:
        if (value == "nan") return real(std::nan(""));
        if (value == "inf") return real(std::numeric_limits<double>::infinity());
        if (value == "-inf") return real(-std::numeric_limits<double>::infinity());
        return unexpected("a string", true);
    }
  }

  bool start_object(std::size_t /*size*/) override {
    if (depth_ == 1 && field_ != Field::kOther) return unexpected("an object", true);
    return deeper();
  }
  bool start_array(std::size_t /*size*/) override {
    if (depth_ == 0) return fail("the line is no JSON object");
    if (depth_ == 1 && field_ != Field::kOther && field_ != Field::kAt) return unexpected("an array", true);
    at_index_ = 0;
    return deeper();
  }
  bool key(string_t& value) override {
    if (depth_ == 1) {
      field_ = field_of(value);
      name_ = value;
    }
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& e) override {
    malformed = true;
    error = e.what();
    return false;
  }

 private:
  bool fail(std::string what) {
    error = std::move(what);
    return false;
  }
  bool deeper() {
    ++depth_;
    return depth_ <= 64 || fail("is nested too deeply");
  }
  bool scalar_done() { return depth_ > 0 || fail("the line is no JSON object"); }
  bool unexpected(const char* kind, bool always) {
    if (depth_ == 0) return fail("the line is no JSON object");
    if (depth_ == 1 && (always || field_ != Field::kOther)) return fail("`" + name_ + "` is " + kind);
    return true;
  }
  bool integer(std::int64_t value, double as_real) {
    if (depth_ == 2 && field_ == Field::kAt) {
      if (at_index_ == 0) record.at_row = value;
      if (at_index_ == 1) record.at_column = value;
      ++at_index_;
      return true;
    }
    if (depth_ != 1) return scalar_done();
    switch (field_) {
      case Field::kStep:
        has_step = true;
        record.step = value;
        return value >= 0 || fail("`step` is negative");
      case Field::kRow:
        record.row = value;
        return true;
      case Field::kRows:
        record.rows = value;
        return true;
      case Field::kBits:
        record.bits = static_cast<std::uint64_t>(value);
        return value >= 0 || fail("`bits` is negative");
      case Field::kCount:
        record.count = static_cast<std::uint64_t>(value);
        return value >= 0 || fail("`count` is negative");
      case Field::kIntegers:
        record.integers_differing = static_cast<std::uint64_t>(value);
        return value >= 0 || fail("`integers_differing` is negative");
      default:
        return real(as_real);
    }
  }
  bool real(double value) {
    if (depth_ != 1) return scalar_done();
    switch (field_) {
      case Field::kCosine:
        record.cosine = value;
        return true;
      case Field::kNmse:
        record.nmse = value;
        return true;
      case Field::kNormRatio:
        record.norm_ratio = value;
        return true;
      case Field::kMaxAbs:
        record.max_abs = value;
        return true;
      case Field::kCosineTrimmed:
        record.cosine_trimmed = value;
        return true;
      case Field::kGot:
        record.got = value;
        return true;
      case Field::kExpected:
        record.expected = value;
        return true;
      case Field::kMargin:
        record.margin = value;
        return true;
      case Field::kKl:
        record.kl = value;
        return true;
      case Field::kOther:
        return true;
      default:
        return unexpected("a number of the wrong kind", true);
    }
  }

  int depth_ = 0;
  int at_index_ = 0;
  Field field_ = Field::kOther;
  std::string name_;
};

}  // namespace

std::optional<Comparison> parse_comparison(std::string_view line, std::string& error, bool& malformed) {
  Handler handler;
  const bool complete = json::sax_parse(line.begin(), line.end(), &handler);
  malformed = handler.malformed;
  if (!complete) {
    error = handler.error.empty() ? "the line is no comparison record" : handler.error;
    return std::nullopt;
  }
  for (const auto& [present, name] :
       {std::pair{handler.has_case, "case"}, std::pair{handler.has_step, "step"},
        std::pair{handler.has_tap, "tap"}, std::pair{handler.has_mode, "mode"},
        std::pair{handler.has_verdict, "verdict"}}) {
    if (!present) {
      error = std::string("the comparison has no `") + name + "`";
      return std::nullopt;
    }
  }
  return std::move(handler.record);
}

TapName split_tap(std::string_view tap) {
  const std::size_t hash = tap.find('#');
  const std::string_view base = tap.substr(0, hash);
  const std::string_view occurrence = hash == std::string_view::npos ? std::string_view{} : tap.substr(hash);
  const std::size_t dash = base.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return {std::string(tap), -1};
  const std::string_view digits = base.substr(dash + 1);
  if (digits.empty() || digits.size() > 6) return {std::string(tap), -1};
  std::int64_t layer = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return {std::string(tap), -1};
    layer = layer * 10 + (c - '0');
  }
  return {std::string(base.substr(0, dash)) + std::string(occurrence), layer};
}

}  // namespace crossval::reports
