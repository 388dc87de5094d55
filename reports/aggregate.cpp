#include "reports/aggregate.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/base64.h"
#include "reports/escape.h"
#include "reports/line_reader.h"
#include "reports/render.h"

namespace crossval::reports {

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "PASS";
    case Verdict::kFail:
      return "FAIL";
    case Verdict::kIncomparable:
      return "INCOMPARABLE";
    case Verdict::kInvalid:
      break;
  }
  return "INVALID";
}

const char* to_string(CaseState state) {
  switch (state) {
    case CaseState::kPass:
      return "PASS";
    case CaseState::kFail:
      return "FAIL";
    case CaseState::kIncomparable:
      return "INCOMPARABLE";
    case CaseState::kInvalid:
      return "INVALID";
    case CaseState::kSkipped:
      return "SKIPPED";
    case CaseState::kUnfinished:
      return "UNFINISHED";
    case CaseState::kNotRun:
      break;
  }
  return "NOT RUN";
}

double number_of(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text == "inf") return std::numeric_limits<double>::infinity();
    if (text == "-inf") return -std::numeric_limits<double>::infinity();
  }
  return std::nan("");
}

std::string text_of(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

namespace {

/// What one comparison adds to the grid.
Cell cell_of(const Comparison& c, std::uint32_t case_index) {
  Cell cell;
  cell.one_minus_cosine = 1 - c.cosine;
  cell.nmse = c.nmse;
  cell.norm_deviation = std::fabs(c.norm_ratio - 1);
  cell.max_abs = c.max_abs;
  cell.comparisons = 1;
  cell.failed = c.passed() ? 0 : 1;
  cell.values = c.count;
  cell.values_differing = c.bits;
  cell.integers_differing = c.integers_differing.value_or(0);
  cell.case_index = case_index;
  cell.step = c.step;
  cell.worst_failed = !c.passed();
  cell.worst_one_minus_cosine = cell.one_minus_cosine;
  cell.worst_nmse = c.nmse;
  return cell;
}

void keep_worst(double& kept, double other) {
  if (worse(other, kept)) kept = other;
}

}  // namespace

void TierFigures::add(const Comparison& c) {
  ++comparisons;
  keep_worst(one_minus_cosine, 1 - c.cosine);
  keep_worst(nmse, c.nmse);
  keep_worst(norm_deviation, std::fabs(c.norm_ratio - 1));
  if (c.passed()) return;
  ++failed;
  if (!first_failure) first_failure = c;
}

void TokenFigures::add(const TokenFigures& other) {
  steps += other.steps;
  same += other.same;
  explained += other.explained;
  unexplained += other.unexplained;
  smallest_margin = std::min(smallest_margin, other.smallest_margin);
}

namespace {

using nlohmann::json;

constexpr std::string_view kSchema = "crossval.results/1";
constexpr std::int64_t kLastStep = 1'000'000'000;
constexpr std::size_t kMaxGroups = 500;
constexpr std::size_t kMaxOpenSteps = 65536;

/// What is needed to read the rest of a case's records, until its `case` record comes.
struct OpenCase {
  std::uint32_t index = 0;
  std::vector<MarginPoint> flips;
  std::unordered_map<std::int64_t, double> logits_difference;  ///< by step
};

class Aggregator {
 public:
  explicit Aggregator(const std::filesystem::path& path) : lines_(path) {}

  Report run() {
    std::string_view line;
    while (lines_.next(line)) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      if (!take(line)) break;
    }
    if (!has_run_) {
      throw RecordError(lines_.path().string() +
                        (lines_.number() == 0
                             ? ": is empty; a crossval record file begins with a run record"
                             : ": holds no complete run record; it is no crossval record file"));
    }
    finish();
    return std::move(report_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw RecordError(lines_.path().string() + ":" + std::to_string(lines_.number()) + ": " + what);
  }

  /// A line that is no JSON: the last one was cut off when the writer was killed, any other is damage.
  bool cut_off(std::size_t bytes) {
    const std::uint64_t number = lines_.number();
    if (!lines_.at_last_line()) {
      throw RecordError(lines_.path().string() + ":" + std::to_string(number) +
                        ": the line is not valid JSON; this is no crossval record file, or it is damaged");
    }
    note("the last line (" + std::to_string(number) + ") was cut off after " + std::to_string(bytes) +
         " bytes and is left out");
    return false;
  }

  /// False where the file ends here.
  bool take(std::string_view line) {
    if (line.find("\"type\":\"comparison\"") != std::string_view::npos) return take_comparison(line);
    json record;
    // The callback bounds the depth: records of other types may hold whatever a participant says of itself.
    const json::parser_callback_t shallow = [this](int depth, json::parse_event_t event, json&) {
      if (depth > 64 &&
          (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start)) {
        fail("the record is nested too deeply");
      }
      return true;
    };
    try {
      record = json::parse(line.begin(), line.end(), shallow);
    } catch (const json::exception&) {  // no JSON, or a number that no double holds
      return cut_off(line.size());
    }
    if (!record.is_object()) fail("the line is no JSON object; this is no crossval record file");
    const std::string type = text_of(record, "type");
    if (type.empty()) fail("the record has no `type`; this is no crossval record file");
    if (!has_run_ && type != "run") {
      fail("the first record is `" + escape_terminal(shortened(type, 40)) +
           "`, not `run`; this is no crossval record file");
    }
    if (type == "run") {
      on_run(std::move(record));
    } else if (type == "plan") {
      on_plan(record);
    } else if (type == "tokens") {
      on_tokens(record);
    } else if (type == "comparison") {
      return take_comparison(line);
    } else if (type == "case") {
      on_case(record);
    } else if (type == "skip") {
      on_skip(record);
    } else if (type == "canary") {
      on_canary(record);
    } else if (type == "perf") {
      on_perf(record);
    } else if (type == "baseline") {
      on_baseline(record);
    } else if (type == "summary") {
      on_summary(std::move(record));
    }
    return true;
  }

  bool take_comparison(std::string_view line) {
    if (!has_run_) fail("the first record is `comparison`, not `run`; this is no crossval record file");
    std::string error;
    bool malformed = false;
    std::optional<Comparison> c = parse_comparison(line, error, malformed);
    if (!c) {
      if (malformed) return cut_off(line.size());
      fail(error);
    }
    on_comparison(std::move(*c));
    return true;
  }

  void note(std::string text) {
    if (report_.notes.size() < 50) report_.notes.push_back(std::move(text));
  }

  std::string string_field(const json& record, const char* name) const {
    const auto it = record.find(name);
    if (it == record.end() || !it->is_string()) {
      fail("the " + text_of(record, "type") + " record has no text `" + name + "`");
    }
    return it->get<std::string>();
  }

  /// An integer member; `fallback` where absent or null.
  std::int64_t integer_field(const json& record, const char* name, std::int64_t fallback = 0) const {
    const auto it = record.find(name);
    if (it == record.end() || it->is_null()) return fallback;
    if (!it->is_number_integer()) fail(std::string("`") + name + "` is no integer");
    if (it->is_number_unsigned() &&
        it->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(std::string("`") + name + "` is out of range");
    }
    return it->get<std::int64_t>();
  }

  std::uint64_t count_field(const json& record, const char* name) const {
    const std::int64_t value = integer_field(record, name);
    if (value < 0) fail(std::string("`") + name + "` is negative");
    return static_cast<std::uint64_t>(value);
  }

  std::int64_t step_field(const json& record) const {
    const std::int64_t step = integer_field(record, "step");
    if (step < 0 || step > kLastStep) fail("`step` is out of range");
    return step;
  }

  /// Text, or the bytes of its `_b64` twin.
  std::string bytes_field(const json& record, const std::string& name) const {
    const std::string twin = name + "_b64";
    std::string bytes = text_of(record, name.c_str());
    if (record.contains(twin)) {
      const std::optional<std::string> decoded = bitnet::base64_decode(text_of(record, twin.c_str()));
      if (!decoded) fail("`" + twin + "` is not base64");
      bytes = *decoded;
    }
    if (bytes.size() > kMaxTextBytes) {
      // Not in the midst of a character: what is cut must not look like damage.
      std::size_t end = kMaxTextBytes;
      while (end > kMaxTextBytes - 4 && (static_cast<unsigned char>(bytes[end]) & 0xC0) == 0x80) --end;
      bytes.resize(end);
      bytes += "…";
    }
    return bytes;
  }

  Verdict verdict_field(const json& record) const {
    const std::string text = string_field(record, "verdict");
    for (const Verdict v : {Verdict::kPass, Verdict::kFail, Verdict::kIncomparable, Verdict::kInvalid}) {
      if (text == to_string(v)) return v;
    }
    fail("`" + escape_terminal(shortened(text, 40)) + "` is no verdict");
  }

  std::optional<FirstFailure> first_failure_field(const json& record) const {
    const auto it = record.find("first_failure");
    if (it == record.end() || !it->is_object()) return std::nullopt;
    return FirstFailure{text_of(*it, "case"), integer_field(*it, "step", -1), text_of(*it, "tap"),
                        text_of(*it, "mode")};
  }

  std::uint32_t case_index(const std::string& id) {
    const auto [it, added] = index_of_case_.try_emplace(id, static_cast<std::uint32_t>(report_.cases.size()));
    if (added) {
      if (report_.cases.size() >= std::numeric_limits<std::uint32_t>::max()) fail("too many cases");
      report_.cases.emplace_back();
      report_.cases.back().id = id;
      report_.cases.back().state = CaseState::kNotRun;
    }
    return it->second;
  }

  std::uint32_t tap_index(const std::string& name) {
    const auto found = index_of_tap_.find(name);
    if (found != index_of_tap_.end()) return found->second;
    // More names than any model has taps: the rest share the last place.
    if (report_.taps.size() + 1 == StepGrid::kMaxTaps) {
      report_.taps.emplace_back("(other taps)");
      note("more than " + std::to_string(StepGrid::kMaxTaps - 1) +
           " names of taps; the rest are shown as one");
    }
    if (report_.taps.size() == StepGrid::kMaxTaps) return StepGrid::kMaxTaps - 1;
    const auto index = static_cast<std::uint32_t>(report_.taps.size());
    report_.taps.push_back(name);
    index_of_tap_.emplace(name, index);
    return index;
  }

  OpenCase& open_case(const std::string& id) {
    if (last_open_ != nullptr && last_id_ == id) return *last_open_;
    const auto [it, added] = open_.try_emplace(id);
    if (added) {
      it->second.index = case_index(id);
      CaseReport& c = report_.cases[it->second.index];
      // A case with records that was said to be skipped was begun all the same.
      if (c.state == CaseState::kNotRun || c.state == CaseState::kSkipped) c.state = CaseState::kUnfinished;
      if (has_ended(it->second.index)) note("case `" + id + "` goes on after its case record");
    }
    last_id_ = id;
    last_open_ = &it->second;
    return it->second;
  }

  bool has_ended(std::uint32_t index) const { return index < ended_.size() && ended_[index]; }

  void on_run(json record) {
    const std::string schema = text_of(record, "schema");
    if (schema != kSchema) {
      fail(schema.empty() ? "the run record has no `schema`; this is no crossval record file"
                          : "the records are `" + escape_terminal(shortened(schema, 60)) +
                                "`; this build reads `" + std::string(kSchema) + "`");
    }
    if (has_run_) fail("a second run record; files of several runs are joined with `crossval merge`");
    has_run_ = true;
    report_.claim = text_of(record, "claim");
    if (const auto it = record.find("taps"); it != record.end() && it->is_array()) {
      for (const json& tap : *it) {
        if (tap.is_string()) tap_index(split_tap(tap.get_ref<const std::string&>()).name);
      }
    }
    report_.run = std::move(record);
  }

  void on_plan(const json& record) {
    const auto it = record.find("cases");
    if (it == record.end() || !it->is_array()) fail("the plan record has no list `cases`");
    for (const json& id : *it) {
      if (!id.is_string()) fail("the plan record holds a case that is no text");
      const std::uint32_t index = case_index(id.get_ref<const std::string&>());
      if (index >= planned_.size()) planned_.resize(index + 1, false);
      if (!planned_[index]) ++report_.planned_cases;
      planned_[index] = true;
    }
  }

  void on_tokens(const json& record) {
    OpenCase& open = open_case(string_field(record, "case"));
    const std::int64_t step = step_field(record);
    const std::string verdict = string_field(record, "verdict");
    const double margin = record.contains("margin") ? number_of(record["margin"]) : std::nan("");
    TokenFigures one;
    one.steps = 1;
    one.smallest_margin = std::isnan(margin) ? one.smallest_margin : margin;
    if (verdict == "PASS") {
      one.same = 1;
    } else {
      ++(verdict == "EXPLAINED" ? one.explained : one.unexplained);
    }
    report_.tokens.add(one);
    TokenFigures& of_case = report_.cases[open.index].token_figures;
    of_case.add(one);
    if (verdict == "PASS") return;
    if (of_case.first_flip_step < 0 || step < of_case.first_flip_step) {
      of_case.first_flip_step = step;
      of_case.first_flip_candidate = integer_field(record, "candidate", -1);
      of_case.first_flip_reference = integer_field(record, "reference", -1);
    }
    if (open.flips.size() < MarginPlot::kMaxFlips) {
      open.flips.push_back({margin, std::nan(""), open.index, step, verdict == "EXPLAINED"});
    }
  }

  void on_comparison(Comparison c) {
    if (c.step > kLastStep) fail("`step` is out of range");
    OpenCase& open = open_case(c.case_id);
    CaseReport& of_case = report_.cases[open.index];
    const TapName name = split_tap(c.tap);
    report_.grid.add({c.mode, tap_index(name.name), static_cast<std::int32_t>(name.layer)}, c.step,
                     cell_of(c, open.index));
    (c.mode == Mode::kLocal ? of_case.local : of_case.free_running).add(c);
    ++of_case.comparisons;
    ++counted_;
    if (c.margin && c.mode == Mode::kFree) {
      report_.margins.add(*c.margin, c.max_abs);
      if (open.logits_difference.size() < kMaxOpenSteps) open.logits_difference[c.step] = c.max_abs;
    }
    if (c.passed()) return;
    ++report_.failed;
    keep_failure(open.index, of_case.failed++, std::move(c));
  }

  void keep_failure(std::uint32_t case_index, std::uint64_t rank, Comparison c) {
    if (rank >= failures_per_case_) return;
    std::vector<Failure>& kept = report_.failures;
    kept.push_back({case_index, static_cast<std::size_t>(rank), std::move(c)});
    if (kept.size() <= kMaxFailures) return;
    if (failures_per_case_ == 1) {
      kept.pop_back();
      return;
    }
    --failures_per_case_;
    std::erase_if(kept, [this](const Failure& f) { return f.rank >= failures_per_case_; });
  }

  void close(OpenCase& open) {
    for (MarginPoint& flip : open.flips) {
      // The step's logits may have been compared before or after its tokens.
      const auto it = open.logits_difference.find(flip.step);
      if (it != open.logits_difference.end()) flip.difference = it->second;
      report_.margins.add_flip(flip);
    }
  }

  void on_case(const json& record) {
    const std::string id = string_field(record, "id");
    const Verdict verdict = verdict_field(record);
    const auto it = open_.find(id);
    const std::uint32_t index = case_index(id);
    if (it != open_.end()) {
      close(it->second);
      last_open_ = nullptr;
      open_.erase(it);
    }
    if (has_ended(index)) {
      note("case `" + id + "` has more than one case record; the first counts");
      return;
    }
    if (index >= ended_.size()) ended_.resize(index + 1, false);
    ended_[index] = true;
    CaseReport& c = report_.cases[index];
    switch (verdict) {
      case Verdict::kPass:
        c.state = CaseState::kPass;
        break;
      case Verdict::kFail:
        c.state = CaseState::kFail;
        break;
      case Verdict::kIncomparable:
        c.state = CaseState::kIncomparable;
        break;
      case Verdict::kInvalid:
        c.state = CaseState::kInvalid;
        break;
    }
    c.prompt = bytes_field(record, "prompt");
    c.answer = bytes_field(record, "answer");
    c.reason = bytes_field(record, "problem");
    c.reproduce = text_of(record, "reproduce");
    if (const auto tokens = record.find("tokens"); tokens != record.end() && tokens->is_array()) {
      for (const json& token : *tokens) {
        if (c.tokens.size() == 4096) break;
        if (token.is_number_integer()) c.tokens.push_back(token.get<std::int64_t>());
      }
    }
    if (const auto expect = record.find("expect"); expect != record.end() && expect->is_object()) {
      Expectation e;
      e.kind = text_of(*expect, "kind");
      if (expect->contains("want") && !(*expect)["want"].is_string()) {
        e.want = (*expect)["want"].dump(-1, ' ', false, json::error_handler_t::replace);
      } else {
        e.want = bytes_field(*expect, "want");
      }
      if (e.want.size() > kMaxTextBytes) e.want = shortened(e.want, kMaxTextBytes / 4);
      const auto met = expect->find("met");
      e.met = met != expect->end() && met->is_boolean() && met->get<bool>();
      ++report_.expectations;
      if (e.met) ++report_.expectations_met;
      c.expect = std::move(e);
    }
    c.first_failure = first_failure_field(record);
    if (const auto flips = record.find("flips"); flips != record.end() && flips->is_object()) {
      c.token_figures.explained = std::max(c.token_figures.explained, count_field(*flips, "explained"));
      c.token_figures.unexplained = std::max(c.token_figures.unexplained, count_field(*flips, "unexplained"));
    }
  }

  void on_skip(const json& record) {
    const std::uint64_t count = record.contains("count") ? count_field(record, "count") : 1;
    const std::string reason = text_of(record, "reason");
    const std::string tap = split_tap(text_of(record, "tap")).name;
    skipped_ += count;
    if (count == 0 && !reason.empty()) note(reason);
    if (record.contains("case") && !record.contains("tap") && !record.contains("step")) {
      CaseReport& c = report_.cases[case_index(string_field(record, "case"))];
      if (c.state == CaseState::kNotRun) {
        c.state = CaseState::kSkipped;
        c.reason = reason;
      }
    }
    for (SkipGroup& group : report_.skips) {
      if (group.reason == reason && group.tap == tap) {
        group.count += count;
        ++group.records;
        return;
      }
    }
    if (report_.skips.size() == kMaxGroups) {
      report_.skips.push_back({"(other reasons)", "", 0, 0});
    }
    if (report_.skips.size() > kMaxGroups) {
      report_.skips.back().count += count;
      ++report_.skips.back().records;
      return;
    }
    report_.skips.push_back({reason, tap, count, 1});
  }

  void on_canary(const json& record) {
    Canary canary;
    canary.tap = text_of(record, "tap");
    canary.case_id = text_of(record, "case");
    canary.fault = text_of(record, "fault");
    canary.verdict = text_of(record, "verdict");
    canary.step = step_field(record);
    canary.caught =
        record.contains("caught") && record["caught"].is_boolean() && record["caught"].get<bool>();
    if (!canary.caught) ++canaries_missed_;
    if (report_.canaries.size() < kMaxGroups) report_.canaries.push_back(std::move(canary));
  }

  void on_perf(const json& record) {
    Performance p;
    p.participant = text_of(record, "participant");
    p.what = text_of(record, "what");
    p.tokens = count_field(record, "tokens");
    p.seconds = record.contains("seconds") ? number_of(record["seconds"]) : std::nan("");
    if (report_.performance.size() < kMaxGroups) report_.performance.push_back(std::move(p));
  }

  void on_baseline(const json& record) {
    BaselineReport& baseline = report_.baseline.emplace();
    baseline.file = bytes_field(record, "file");
    baseline.time = text_of(record, "time");
    baseline.headline = text_of(record, "headline");
    baseline.verdict = verdict_field(record);
    const auto rows = record.find("rows");
    if (rows == record.end() || !rows->is_array()) fail("the baseline record has no `rows`");
    const auto number = [](const json& row, const char* name) {
      return row.contains(name) ? number_of(row[name]) : std::nan("");
    };
    for (const json& row : *rows) {
      if (baseline.rows.size() == kMaxGroups) break;
      baseline.rows.push_back({.what = text_of(row, "what"),
                               .unit = text_of(row, "unit"),
                               .verdict = text_of(row, "verdict"),
                               .why = text_of(row, "why"),
                               .base = number(row, "base"),
                               .now = number(row, "now"),
                               .noise = number(row, "noise")});
    }
  }

  void on_summary(json record) {
    report_.verdict = verdict_field(record);
    report_.planned = count_field(record, "planned");
    report_.made = count_field(record, "made");
    report_.skipped = count_field(record, "skipped");
    report_.exit_code = static_cast<int>(integer_field(record, "exit", -1));
    report_.headline = text_of(record, "headline");
    // The verdict stands before the headline everywhere; once is enough.
    const std::string prefix = std::string(to_string(report_.verdict)) + ": ";
    if (report_.headline.starts_with(prefix)) report_.headline.erase(0, prefix.size());
    if (const auto it = record.find("cases"); it != record.end() && it->is_object()) {
      report_.counts = {count_field(*it, "pass"), count_field(*it, "fail"), count_field(*it, "incomparable"),
                        count_field(*it, "invalid")};
    } else {
      fail("the summary record has no `cases`");
    }
    report_.finished = true;
    report_.summary = std::move(record);
  }

  CaseCounts counted_cases() const {
    CaseCounts counts;
    for (const CaseReport& c : report_.cases) {
      if (c.state == CaseState::kPass) ++counts.pass;
      if (c.state == CaseState::kFail) ++counts.fail;
      if (c.state == CaseState::kIncomparable) ++counts.incomparable;
      if (c.state == CaseState::kInvalid) ++counts.invalid;
    }
    return counts;
  }

  /// A verdict that its own records do not bear out is worth nothing, a green one least of all.
  void check_summary(const CaseCounts& counted) {
    std::vector<std::string> contradictions;
    const auto contradicts = [&contradictions](std::string what) {
      contradictions.push_back(std::move(what));
    };
    const CaseCounts& said = report_.counts;
    if (said.pass != counted.pass || said.fail != counted.fail || said.incomparable != counted.incomparable ||
        said.invalid != counted.invalid) {
      const auto list = [](const CaseCounts& c) {
        return std::to_string(c.pass) + " passed, " + std::to_string(c.fail) + " failed, " +
               std::to_string(c.incomparable) + " incomparable, " + std::to_string(c.invalid) + " invalid";
      };
      contradicts("the summary counts cases as " + list(said) + "; the case records as " + list(counted));
    }
    constexpr int kExitOf[] = {0, 1, 3, 4};
    if (report_.exit_code != kExitOf[static_cast<int>(report_.verdict)]) {
      contradicts(std::string("the verdict ") + to_string(report_.verdict) + " does not go with exit code " +
                  std::to_string(report_.exit_code));
    }
    if (report_.verdict == Verdict::kPass) {
      if (report_.made == 0) contradicts("nothing was compared");
      if (report_.planned != report_.made + report_.skipped) {
        contradicts(std::to_string(report_.planned) + " comparisons were planned, but " +
                    std::to_string(report_.made) + " made and " + std::to_string(report_.skipped) +
                    " skipped");
      }
      if (counted.total() != counted.pass) contradicts("not every case passed");
      std::uint64_t failed = 0;
      for (const CaseReport& c : report_.cases) failed += c.failed;
      if (failed > 0) contradicts(std::to_string(failed) + " comparisons failed in cases that passed");
      if (canaries_missed_ > 0) contradicts("a canary was missed");
      if (report_.baseline && report_.baseline->verdict != Verdict::kPass)
        contradicts("the run is worse than its baseline");
      std::uint64_t missing = 0;
      for (const CaseReport& c : report_.cases) {
        if (c.state == CaseState::kNotRun || c.state == CaseState::kUnfinished) ++missing;
      }
      if (missing > 0) contradicts(std::to_string(missing) + " planned cases have no case record");
    }
    if (report_.made != counted_) {
      note("the summary speaks of " + std::to_string(report_.made) + " comparisons made; the records hold " +
           std::to_string(counted_));
    }
    if (report_.skipped != skipped_) {
      note("the summary speaks of " + std::to_string(report_.skipped) +
           " comparisons skipped; the skip records of " + std::to_string(skipped_));
    }
    if (contradictions.empty()) return;
    for (const std::string& what : contradictions) note("contradiction: " + what);
    report_.headline = "the records contradict their summary (" + std::string(to_string(report_.verdict)) +
                       "): " + contradictions.front();
    report_.verdict = Verdict::kInvalid;
    report_.exit_code = 4;
    report_.counts = counted;
  }

  void finish() {
    for (auto& [id, open] : open_) close(open);
    const CaseCounts counted = counted_cases();
    if (report_.finished) {
      check_summary(counted);
      return;
    }
    const std::uint64_t ended = counted.total();
    report_.verdict = Verdict::kInvalid;
    report_.exit_code = 4;
    report_.counts = counted;
    report_.made = counted_;
    report_.skipped = skipped_;
    report_.headline = "no summary record: the run did not finish (" + std::to_string(ended) + " of " +
                       std::to_string(std::max(report_.planned_cases, ended)) + " cases ended)";
  }

  LineReader lines_;
  Report report_;
  bool has_run_ = false;
  std::size_t failures_per_case_ = kMaxFailuresPerCase;
  std::uint64_t counted_ = 0;
  std::uint64_t skipped_ = 0;
  std::uint64_t canaries_missed_ = 0;
  std::unordered_map<std::string, std::uint32_t> index_of_case_;
  std::unordered_map<std::string, std::uint32_t> index_of_tap_;
  std::vector<bool> planned_;  ///< by case
  std::vector<bool> ended_;
  std::unordered_map<std::string, OpenCase> open_;
  std::string last_id_;
  OpenCase* last_open_ = nullptr;  ///< of open_, for the many records of one case in a row
};

}  // namespace

Report aggregate(const std::filesystem::path& results_jsonl) {
  return Aggregator(results_jsonl).run();
}

}  // namespace crossval::reports
