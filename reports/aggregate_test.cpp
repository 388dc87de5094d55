#include "reports/aggregate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "reports/failure_text.h"
#include "reports/line_reader.h"
#include "reports/render.h"
#include "reports/testing/sample_run.h"

namespace crossval::reports {
namespace {

using nlohmann::json;
using testing::SampleOptions;
using testing::ScratchDirectory;

Report aggregated(const std::string& jsonl) {
  const ScratchDirectory scratch;
  return aggregate(scratch.write("results.jsonl", jsonl));
}

std::string error_of(const std::string& jsonl) {
  try {
    aggregated(jsonl);
  } catch (const RecordError& e) {
    return e.what();
  }
  return {};
}

std::vector<json> passing() {
  return testing::sample_records({});
}

std::vector<json> failing() {
  SampleOptions options;
  options.failing_case = 2;
  return testing::sample_records(options);
}

json& find(std::vector<json>& records, const std::string& type) {
  for (json& r : records) {
    if (r["type"] == type) return r;
  }
  throw std::runtime_error("no " + type);
}

TEST(SplitTap, FindsTheLayer) {
  const auto is = [](const char* tap, const std::string& name, std::int64_t layer) {
    const TapName split = split_tap(tap);
    return split.name == name && split.layer == layer;
  };
  EXPECT_TRUE(is("ffn_act-3", "ffn_act", 3));
  EXPECT_TRUE(is("Qcur-12#2", "Qcur#2", 12));
  EXPECT_TRUE(is("inp_embd", "inp_embd", -1));
  EXPECT_TRUE(is("result_output", "result_output", -1));
  EXPECT_TRUE(is("a-b", "a-b", -1));
  EXPECT_TRUE(is("-3", "-3", -1));
  EXPECT_TRUE(is("x-", "x-", -1));
  EXPECT_TRUE(is("x-12345678901234567890", "x-12345678901234567890", -1));
  EXPECT_TRUE(is("", "", -1));
}

TEST(ParseComparison, ReadsEveryField) {
  std::string error;
  bool malformed = false;
  const auto c = parse_comparison(
      R"({"type":"comparison","case":"a\"b","step":2,"tap":"l_out-1","mode":"local","row":3,"rows":7,"cosine":0.5,"nmse":"inf",)"
      R"("norm_ratio":"nan","max_abs":1,"at":[3,117],"got":-1.5,"expected":"-inf","bits":4,"count":256,"cosine_trimmed":0.25,)"
      R"("gate":"g","verdict":"FAIL","why":"w","integers_differing":9,"kl":1e-3,"margin":0.75,"noise":[1e-9,2e-9],)"
      R"("later":{"at":[1],"cosine":7,"x":[{"tap":"no"}]},"top1":true,"topk":0.9})",
      error, malformed);
  ASSERT_TRUE(c) << error;
  EXPECT_EQ(c->case_id, "a\"b");
  EXPECT_EQ(c->step, 2);
  EXPECT_EQ(c->tap, "l_out-1");
  EXPECT_EQ(c->mode, Mode::kLocal);
  EXPECT_EQ(c->row, 3);
  EXPECT_EQ(c->rows, 7);
  EXPECT_EQ(c->cosine, 0.5);
  EXPECT_TRUE(std::isinf(c->nmse));
  EXPECT_TRUE(std::isnan(c->norm_ratio));
  EXPECT_EQ(c->max_abs, 1);
  EXPECT_EQ(c->at_row, 3);
  EXPECT_EQ(c->at_column, 117);
  EXPECT_EQ(c->got, -1.5);
  EXPECT_EQ(c->expected, -INFINITY);
  EXPECT_EQ(c->bits, 4U);
  EXPECT_EQ(c->count, 256U);
  EXPECT_EQ(c->cosine_trimmed, 0.25);
  EXPECT_EQ(c->gate, "g");
  EXPECT_EQ(c->why, "w");
  EXPECT_EQ(c->integers_differing, 9U);
  EXPECT_EQ(c->kl, 1e-3);
  EXPECT_EQ(c->margin, 0.75);
  EXPECT_FALSE(c->passed());
}

TEST(ParseComparison, NamesWhatIsWrong) {
  const json good = {{"type", "comparison"}, {"case", "a"},    {"step", 0},
                     {"tap", "l_out-1"},     {"mode", "free"}, {"verdict", "PASS"}};
  const auto error_with = [&good](const char* field, const json& value) {
    json record = good;
    if (value.is_null()) {
      record.erase(field);
    } else {
      record[field] = value;
    }
    std::string error;
    bool malformed = false;
    EXPECT_FALSE(parse_comparison(record.dump(), error, malformed)) << record.dump();
    EXPECT_FALSE(malformed);
    return error;
  };
  for (const char* field : {"case", "step", "tap", "mode", "verdict"}) {
    EXPECT_NE(error_with(field, nullptr).find(std::string("`") + field + "`"), std::string::npos);
    EXPECT_NE(error_with(field, {{"x", 1}}).find(std::string("`") + field + "`"), std::string::npos);
    EXPECT_NE(error_with(field, json::array()).find(std::string("`") + field + "`"), std::string::npos);
  }
  EXPECT_NE(error_with("step", -1).find("negative"), std::string::npos);
  EXPECT_NE(error_with("step", 1.5).find("`step`"), std::string::npos);
  EXPECT_NE(error_with("mode", "both").find("`mode`"), std::string::npos);
  EXPECT_NE(error_with("cosine", "NaN").find("`cosine`"), std::string::npos);
  EXPECT_NE(error_with("cosine", true).find("`cosine`"), std::string::npos);
  EXPECT_NE(error_with("bits", -4).find("`bits`"), std::string::npos);
}

TEST(LineReader, GivesLinesAcrossItsChunks) {
  const ScratchDirectory scratch;
  std::string bytes;
  std::vector<std::string> expected;
  for (int i = 0; i < 30; ++i) {
    expected.emplace_back(static_cast<std::size_t>(i * i * 200), static_cast<char>('a' + i % 26));
    bytes += expected.back() + (i == 29 ? "" : "\n");
  }
  LineReader reader(scratch.write("x", bytes));
  std::string_view line;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(reader.next(line));
    EXPECT_EQ(line, expected[i]);
    EXPECT_EQ(reader.number(), i + 1);
    EXPECT_EQ(reader.at_last_line(), i + 1 == expected.size());
  }
  EXPECT_FALSE(reader.next(line));
}

TEST(LineReader, RefusesALineWithoutEnd) {
  const ScratchDirectory scratch;
  LineReader reader(scratch.write("x", std::string(LineReader::kLongestLine + (std::size_t{2} << 20), ' ')));
  std::string_view line;
  EXPECT_THROW(reader.next(line), RecordError);
}

TEST(Aggregate, CountsWhatTheRecordsHold) {
  const Report report = aggregated(testing::to_jsonl(passing()));
  EXPECT_EQ(report.verdict, Verdict::kPass);
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_TRUE(report.finished);
  EXPECT_TRUE(report.notes.empty());
  EXPECT_EQ(report.counts.pass, 4U);
  EXPECT_EQ(report.counts.total(), 4U);
  // 4 cases, 3 steps, 3 taps without and 20 with layers in 3 layers, two modes.
  EXPECT_EQ(report.made, 4U * 3 * (3 + 3 * 20) * 2);
  EXPECT_EQ(report.planned, report.made + report.skipped);
  EXPECT_EQ(report.failed, 0U);
  EXPECT_EQ(report.tokens.steps, 12U);
  EXPECT_EQ(report.tokens.same, 12U);
  EXPECT_EQ(report.expectations, 2U);
  EXPECT_EQ(report.expectations_met, 2U);
  EXPECT_EQ(report.margins.total(), 12U);
  ASSERT_EQ(report.taps.size(), 23U);
  EXPECT_EQ(report.taps.front(), "inp_embd");
  EXPECT_EQ(report.taps[2], "Qcur#1");
  EXPECT_EQ(report.taps.back(), "result_output");
  std::uint64_t in_grid = 0;
  report.grid.for_each(
      [&in_grid](const GridRow&, std::uint32_t, const Cell& cell) { in_grid += cell.comparisons; });
  EXPECT_EQ(in_grid, report.made);
}

TEST(Aggregate, KeepsFailuresAndCountsTheRest) {
  SampleOptions options;
  options.failing_case = 2;
  const Report report = aggregated(testing::to_jsonl(testing::sample_records(options)));
  EXPECT_EQ(report.verdict, Verdict::kFail);
  EXPECT_EQ(report.exit_code, 1);
  ASSERT_EQ(report.failures.size(), kMaxFailuresPerCase);
  EXPECT_GT(report.failed, kMaxFailuresPerCase);
  EXPECT_EQ(report.failures[0].comparison.tap, "ffn_act-1");
  EXPECT_EQ(report.failures[0].comparison.mode, Mode::kLocal);
  EXPECT_EQ(report.failures[0].comparison.step, 1);
  const CaseReport& c = report.cases[2];
  EXPECT_EQ(c.state, CaseState::kFail);
  EXPECT_EQ(c.failed, report.failed);
  ASSERT_TRUE(c.local.first_failure);
  EXPECT_EQ(c.local.failed, 2U);
  EXPECT_EQ(c.free_running.first_failure->tap, "ffn_act-1");
  EXPECT_EQ(c.token_figures.unexplained, 1U);
  EXPECT_EQ(report.margins.flips().size(), 1U);
  EXPECT_FALSE(report.margins.flips()[0].explained);
  EXPECT_EQ(report.margins.flips()[0].difference, 1.25);
  EXPECT_FALSE(c.expect->met);
}

TEST(Aggregate, NanIsAFailureThatIsSeen) {
  std::vector<json> records = passing();
  json& c = find(records, "comparison");
  c["cosine"] = "nan";
  c["verdict"] = "FAIL";
  find(records, "case")["verdict"] = "FAIL";
  json& summary = find(records, "summary");
  summary["verdict"] = "FAIL";
  summary["exit"] = 1;
  summary["cases"] = {{"pass", 3}, {"fail", 1}, {"incomparable", 0}, {"invalid", 0}};
  const Report report = aggregated(testing::to_jsonl(records));
  EXPECT_EQ(report.verdict, Verdict::kFail);
  bool seen = false;
  report.grid.for_each([&seen](const GridRow&, std::uint32_t, const Cell& cell) {
    seen = seen || std::isnan(cell.one_minus_cosine);
  });
  EXPECT_TRUE(seen);
  EXPECT_TRUE(std::isnan(report.cases[0].local.one_minus_cosine));
}

TEST(Aggregate, ARunWithoutSummaryIsInvalid) {
  std::vector<json> records = passing();
  records.pop_back();
  // Up to the middle of the third case.
  std::size_t third = 0;
  for (std::size_t i = 0, cases = 0; i < records.size(); ++i) {
    if (records[i]["type"] == "case" && ++cases == 2) third = i + 10;
  }
  records.resize(third);
  const Report report = aggregated(testing::to_jsonl(records));
  EXPECT_FALSE(report.finished);
  EXPECT_EQ(report.verdict, Verdict::kInvalid);
  EXPECT_EQ(report.exit_code, 4);
  EXPECT_EQ(report.headline, "no summary record: the run did not finish (2 of 4 cases ended)");
  EXPECT_EQ(report.counts.pass, 2U);
  EXPECT_EQ(report.cases[2].state, CaseState::kUnfinished);
  EXPECT_GT(report.cases[2].comparisons, 0U) << "what was computed stays";
  EXPECT_EQ(report.cases[3].state, CaseState::kNotRun);
}

TEST(Aggregate, ACutOffLastLineIsLeftOutAndNoted) {
  const std::string whole = testing::to_jsonl(passing());
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  // Wherever the summary is cut, the run is one that did not finish.
  for (std::size_t end = last + 1; end < whole.size() - 1; end += 7) {
    const Report report = aggregated(whole.substr(0, end));
    EXPECT_EQ(report.verdict, Verdict::kInvalid);
    EXPECT_FALSE(report.finished);
    ASSERT_EQ(report.notes.size(), 1U);
    EXPECT_NE(report.notes[0].find("was cut off after " + std::to_string(end - last) + " bytes"),
              std::string::npos)
        << report.notes[0];
  }
  EXPECT_TRUE(aggregated(whole.substr(0, whole.size() - 1)).finished) << "only the line feed is missing";
  // A comparison takes the other path through the reader.
  const std::size_t comparison = whole.find("\"type\":\"comparison\"");
  const std::size_t line = whole.rfind('\n', comparison) + 1;
  const Report report = aggregated(whole.substr(0, comparison + 25));
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_NE(report.notes[0].find("after " + std::to_string(comparison + 25 - line)), std::string::npos);
}

TEST(Aggregate, DamageElsewhereIsAnErrorThatNamesTheLine) {
  std::string jsonl = testing::to_jsonl(passing());
  const std::size_t second = jsonl.find('\n') + 1;
  EXPECT_NE(error_of(jsonl.insert(second, "{\"type\":\"plan\",\n"))
                .find("results.jsonl:2: the line is not valid JSON"),
            std::string::npos);
  std::string glued = testing::to_jsonl(passing());
  const std::size_t comparison = glued.find("\"type\":\"comparison\"");
  glued.erase(glued.find('\n', comparison), 1);
  EXPECT_NE(error_of(glued).find("not valid JSON"), std::string::npos);
}

TEST(Aggregate, ANumberBeyondADoubleIsDamage) {
  const std::string jsonl = testing::to_jsonl(passing());
  const std::size_t end = jsonl.find('\n') + 1;
  for (const std::string bad :
       {R"({"type":"perf","seconds":1e999})", R"({"type":"comparison","cosine":1e999})"}) {
    EXPECT_NE(error_of(jsonl.substr(0, end) + bad + "\n" + jsonl.substr(end))
                  .find(":2: the line is not valid JSON"),
              std::string::npos);
  }
}

TEST(Aggregate, OtherFilesAreRefused) {
  EXPECT_NE(error_of("").find("is empty"), std::string::npos);
  EXPECT_NE(error_of("\n\n").find("no complete run record"), std::string::npos);
  EXPECT_NE(error_of("{\"type\":\"run\"").find("no complete run record"), std::string::npos);
  EXPECT_NE(error_of("hello\nworld\n").find(":1: the line is not valid JSON"), std::string::npos);
  EXPECT_NE(error_of("[1]\n").find("no JSON object"), std::string::npos);
  EXPECT_NE(error_of("{\"a\":1}\n").find("no `type`"), std::string::npos);
  EXPECT_NE(error_of("{\"type\":\"summary\"}\n").find("not `run`"), std::string::npos);
  EXPECT_NE(error_of("{\"type\":\"comparison\"}\n").find("not `run`"), std::string::npos);
  EXPECT_NE(error_of("{\"type\":\"run\"}\n").find("no `schema`"), std::string::npos);
  const std::string newer = error_of("{\"type\":\"run\",\"schema\":\"crossval.results/2\"}\n");
  EXPECT_NE(
      newer.find(
          "results.jsonl:1: the records are `crossval.results/2`; this build reads `crossval.results/1`"),
      std::string::npos)
      << newer;
  EXPECT_THROW(aggregate("/nonexistent/results.jsonl"), RecordError);
  EXPECT_THROW(aggregate(std::filesystem::temp_directory_path()), RecordError);
}

TEST(Aggregate, BadRecordsAreNamed) {
  const auto with = [](const json& extra) {
    std::vector<json> records = passing();
    records.resize(1);
    records.push_back(extra);
    return error_of(testing::to_jsonl(records));
  };
  EXPECT_NE(with({{"type", "plan"}}).find(":2: the plan record has no list `cases`"), std::string::npos);
  EXPECT_NE(with({{"type", "case"}, {"id", "a"}, {"verdict", "GREEN"}}).find("`GREEN` is no verdict"),
            std::string::npos);
  EXPECT_NE(with({{"type", "case"}, {"verdict", "PASS"}}).find("`id`"), std::string::npos);
  EXPECT_NE(with({{"type", "case"}, {"id", "a"}, {"verdict", "PASS"}, {"answer_b64", "*"}})
                .find("`answer_b64` is not base64"),
            std::string::npos);
  EXPECT_NE(with({{"type", "tokens"}, {"case", "a"}, {"step", "x"}, {"verdict", "PASS"}})
                .find("`step` is no integer"),
            std::string::npos);
  EXPECT_NE(with({{"type", "tokens"}, {"case", "a"}, {"step", -1}, {"verdict", "PASS"}})
                .find("`step` is out of range"),
            std::string::npos);
  EXPECT_NE(with({{"type", "skip"}, {"count", -1}, {"reason", ""}}).find("`count` is negative"),
            std::string::npos);
  EXPECT_NE(with({{"type", "skip"}, {"count", 18446744073709551615ULL}}).find("`count` is out of range"),
            std::string::npos);
  json deep = 1;
  for (int i = 0; i < 100; ++i) deep = json::array({deep});
  EXPECT_NE(with({{"type", "perf"}, {"x", deep}}).find("nested too deeply"), std::string::npos);
  json comparison = {{"type", "comparison"}, {"x", deep}};
  EXPECT_NE(with(comparison).find("nested too deeply"), std::string::npos);
}

TEST(Aggregate, WhatItDoesNotKnowIsPassedOver) {
  std::vector<json> records = passing();
  records.insert(records.begin() + 1, json{{"type", "weather"}, {"degrees", {{"now", 21}}}});
  for (json& record : records) record["added_later"] = {{"deep", {1, 2, {{"case", 7}}}}};
  const Report report = aggregated(testing::to_jsonl(records));
  EXPECT_EQ(report.verdict, Verdict::kPass);
  EXPECT_EQ(report.made, 4U * 3 * (3 + 3 * 20) * 2);
}

TEST(Aggregate, SpacesInARecordChangeNothing) {
  std::vector<json> records = passing();
  std::string spaced;
  for (const json& record : records) {
    std::string text = record.dump(1);
    std::erase(text, '\n');
    spaced += text + "\n";
  }
  const Report report = aggregated(spaced);
  EXPECT_EQ(report.verdict, Verdict::kPass);
  EXPECT_TRUE(report.notes.empty());
}

TEST(Aggregate, RunsThatWereJoinedByHandAreRefused) {
  const std::string one = testing::to_jsonl(passing());
  EXPECT_NE(error_of(one + one).find("a second run record"), std::string::npos);
}

TEST(Aggregate, RecordsOfACaseMayComeApart) {
  // What the self-noise may excuse is written when all cases are through: some comparisons, the tokens and
  // the case records come last, and count all the same.
  const std::vector<json> whole = failing();
  std::vector<json> now;
  std::vector<json> later;
  for (const json& r : whole) {
    const bool wait =
        r["type"] == "tokens" || r["type"] == "case" || (r["type"] == "comparison" && r["verdict"] == "FAIL");
    (wait ? later : now).push_back(r);
  }
  const json summary = now.back();
  now.pop_back();
  for (const json& r : later) now.push_back(r);
  now.push_back(summary);
  const Report a = aggregated(testing::to_jsonl(whole));
  const Report b = aggregated(testing::to_jsonl(now));
  EXPECT_EQ(b.verdict, Verdict::kFail);
  EXPECT_EQ(b.notes, a.notes);
  EXPECT_EQ(b.failed, a.failed);
  EXPECT_EQ(b.cases[2].failed, a.cases[2].failed);
  EXPECT_EQ(b.cases[2].local.comparisons, a.cases[2].local.comparisons);
  EXPECT_EQ(b.tokens.steps, a.tokens.steps);
  ASSERT_EQ(b.margins.flips().size(), 1U);
  EXPECT_EQ(b.margins.flips()[0].difference, a.margins.flips()[0].difference);
  EXPECT_EQ(b.failures[0].comparison.tap, "ffn_act-1");
}

TEST(Aggregate, AComplaintWithoutComparisonsIsANote) {
  std::vector<json> records = passing();
  records.insert(records.end() - 1,
                 json{{"type", "skip"}, {"count", 0}, {"reason", "coverage: kq-0 was zero everywhere"}});
  EXPECT_EQ(aggregated(testing::to_jsonl(records)).notes,
            std::vector<std::string>{"coverage: kq-0 was zero everywhere"});
}

TEST(Aggregate, TheVerdictIsNotSaidTwice) {
  std::vector<json> records = passing();
  find(records, "summary")["headline"] = "PASS: 4 of 4 cases pass";
  EXPECT_EQ(aggregated(testing::to_jsonl(records)).headline, "4 of 4 cases pass");
}

TEST(Aggregate, ASummaryThatItsRecordsDoNotBearOutIsInvalid) {
  const auto verdict_with = [](const std::function<void(std::vector<json>&)>& change,
                               const std::string& says) {
    std::vector<json> records = passing();
    change(records);
    const Report report = aggregated(testing::to_jsonl(records));
    EXPECT_EQ(report.exit_code, report.verdict == Verdict::kPass ? 0 : 4);
    EXPECT_NE(report.headline.find(says), std::string::npos) << report.headline;
    return report.verdict;
  };
  EXPECT_EQ(verdict_with([](auto&) {}, "every comparison"), Verdict::kPass);
  const auto cases = [](std::vector<json>& r) -> json& { return find(r, "case"); };
  const auto summary = [](std::vector<json>& r) -> json& { return find(r, "summary"); };
  EXPECT_EQ(
      verdict_with([&](auto& r) { cases(r)["verdict"] = "FAIL"; }, "the case records as 3 passed, 1 failed"),
      Verdict::kInvalid);
  EXPECT_EQ(verdict_with(
                [&](auto& r) {
                  cases(r)["verdict"] = "FAIL";
                  summary(r)["cases"] = {{"pass", 3}, {"fail", 1}, {"incomparable", 0}, {"invalid", 0}};
                },
                "not every case passed"),
            Verdict::kInvalid);
  EXPECT_EQ(verdict_with([&](auto& r) { summary(r)["exit"] = 1; }, "does not go with exit code 1"),
            Verdict::kInvalid);
  EXPECT_EQ(verdict_with([&](auto& r) { summary(r)["made"] = 0; }, "nothing was compared"),
            Verdict::kInvalid);
  EXPECT_EQ(verdict_with([&](auto& r) { summary(r)["planned"] = 7; }, "7 comparisons were planned"),
            Verdict::kInvalid);
  EXPECT_EQ(verdict_with([&](auto& r) { find(r, "canary")["caught"] = false; }, "a canary was missed"),
            Verdict::kInvalid);
  EXPECT_EQ(verdict_with([&](auto& r) { find(r, "comparison")["verdict"] = "FAIL"; },
                         "1 comparisons failed in cases that passed"),
            Verdict::kInvalid);
  EXPECT_EQ(verdict_with([&](auto& r) { find(r, "plan")["cases"].push_back("one more"); },
                         "1 planned cases have no case record"),
            Verdict::kInvalid);
  // A whole case that is missing is not a smaller suite.
  EXPECT_EQ(verdict_with(
                [&](auto& r) {
                  for (std::size_t i = 0; i < r.size(); ++i) {
                    if (r[i]["type"] == "case") {
                      r.erase(r.begin() + static_cast<std::ptrdiff_t>(i));
                      break;
                    }
                  }
                },
                "the case records as 3 passed"),
            Verdict::kInvalid);
}

TEST(Aggregate, ASkippedCaseIsAccountedFor) {
  std::vector<json> records = passing();
  find(records, "plan")["cases"].push_back("later");
  records.insert(records.end() - 1,
                 json{{"type", "skip"}, {"case", "later"}, {"count", 5}, {"reason", "context too short"}});
  json& summary = find(records, "summary");
  summary["planned"] = summary["planned"].get<int>() + 5;
  summary["skipped"] = summary["skipped"].get<int>() + 5;
  const Report report = aggregated(testing::to_jsonl(records));
  EXPECT_EQ(report.verdict, Verdict::kPass);
  EXPECT_EQ(report.cases[4].state, CaseState::kSkipped);
  EXPECT_EQ(report.cases[4].reason, "context too short");
}

TEST(Aggregate, LongTextsAreCutBetweenCharacters) {
  std::vector<json> records = passing();
  std::string text(kMaxTextBytes - 1, 'x');
  text += "\xe4\xb8\xad\xe6\x96\x87";
  find(records, "case")["answer"] = text;
  const Report report = aggregated(testing::to_jsonl(records));
  EXPECT_EQ(report.cases[0].answer, std::string(kMaxTextBytes - 1, 'x') + "…");
}

TEST(FailureText, SaysWhatWhereAndHowMuch) {
  Comparison c;
  c.case_id = "a";
  c.step = 3;
  c.tap = "ffn_act-0";
  c.mode = Mode::kFree;
  c.row = 2;
  c.rows = 7;
  c.cosine = 0.93;
  c.nmse = 0.125;
  c.norm_ratio = 1.25;
  c.max_abs = 0.5;
  c.at_row = 2;
  c.at_column = 117;
  c.got = 0.75;
  c.expected = 0.25;
  c.bits = 37;
  c.count = 2560;
  c.gate = "free.cosine";
  c.why = "cosine 0.93 < 0.999";
  EXPECT_EQ(
      failure_sentence(c),
      "free ffn_act-0, step 3, row 2 of 7: cosine 0.93 < 0.999; gate free.cosine; cosine 0.93, NMSE 0.125, "
      "norm ratio 1.25; "
      "differing 37 of 2,560 values (1.45 %); greatest difference 0.5 at [2, 117]: got 0.75, expected 0.25; "
      "that is 2 of the expected value there");
}

TEST(FailureText, Figures) {
  EXPECT_EQ(error_figure(3.14159e-9), "3.14e-9");
  EXPECT_EQ(error_figure(3e-12), "3e-12");
  EXPECT_EQ(error_figure(0), "0");
  EXPECT_EQ(error_figure(std::nan("")), "nan");
  EXPECT_EQ(error_figure(-INFINITY), "-inf");
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
}

TEST(FailureText, ReproduceCommandQuotesTheCase) {
  Report report;
  report.run = {{"reproduce", "crossval run --model M --prompts S"}};
  CaseReport c;
  c.id = "2+2; rm -rf /";
  EXPECT_EQ(reproduce_command(report, c), "crossval run --model M --prompts S --filter '2+2; rm -rf /'");
  report.run["reproduce"] = "crossval run --model M --prompts S --filter 'x*'";
  EXPECT_EQ(reproduce_command(report, c), "crossval run --model M --prompts S --filter 'x*'");
  c.reproduce = "crossval replay B";
  EXPECT_EQ(reproduce_command(report, c), "crossval replay B");
  report.run.erase("reproduce");
  c.reproduce.clear();
  EXPECT_EQ(reproduce_command(report, c), "");
}

TEST(FailureText, GateLimitsAreTheTightestThatCover) {
  const Report report = aggregated(testing::to_jsonl(passing()));
  EXPECT_NEAR(gate_limit(report, Mode::kFree, "l_out", "cosine"), 1e-3, 1e-15);
  EXPECT_NEAR(gate_limit(report, Mode::kFree, "ffn_act", "cosine"), 1e-3, 1e-15);
  EXPECT_NEAR(gate_limit(report, Mode::kLocal, "ffn_act", "cosine"), 1e-5, 1e-15);
  EXPECT_TRUE(std::isnan(gate_limit(report, Mode::kLocal, "ffn_up", "cosine"))) << "excepted";
  EXPECT_TRUE(std::isnan(gate_limit(report, Mode::kFree, "l_out", "nmse")));
}

}  // namespace
}  // namespace crossval::reports
