// The four renderings together: they say the same, stay within their limits, and nothing in a record leaves
// its place in any of them.
#include "reports/render.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "engine/base64.h"
#include "reports/escape.h"
#include "reports/page/page_assets.h"
#include "reports/testing/sample_run.h"
#include "reports/testing/xml_checker.h"

namespace crossval::reports {
namespace {

using nlohmann::json;
using testing::SampleOptions;
using testing::ScratchDirectory;

const char* const kHostile =
    "</script><img src=x onerror=alert(1)>\"'`|&]]>\x1b[31m@octocat [a](http://b.example)\xe2\x80\xae\xff\n# "
    "x\xe2\x80\xa8";

struct Pages {
  Rendered rendered;
  json report;
  std::string junit;
  std::unique_ptr<testing::XmlElement> xml;
  std::string markdown;
  json sarif;
  std::string html;
};

Pages rendered(const std::string& jsonl) {
  const ScratchDirectory scratch;
  Pages pages;
  pages.rendered = render(scratch.write("results.jsonl", jsonl), scratch.path());
  pages.report = json::parse(scratch.read("report.json"));
  pages.junit = scratch.read("junit.xml");
  pages.xml = testing::parse_xml(pages.junit);
  pages.markdown = scratch.read("summary.md");
  pages.sarif = json::parse(scratch.read("results.sarif"));
  pages.html = scratch.read("index.html");
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path()))
    files.insert(entry.path().filename());
  EXPECT_EQ(files, (std::set<std::string>{"results.jsonl", "report.json", "junit.xml", "summary.md",
                                          "results.sarif", "index.html"}));
  return pages;
}

Pages rendered(const SampleOptions& options) {
  return rendered(testing::to_jsonl(testing::sample_records(options)));
}

std::map<std::string, std::string> run_properties(const testing::XmlElement& xml) {
  std::map<std::string, std::string> out;
  for (const auto* suite : xml.all("testsuite")) {
    if (suite->attributes.at("name") != "run") continue;
    for (const auto* property : suite->all("property"))
      out[property->attributes.at("name")] = property->attributes.at("value");
  }
  return out;
}

/// The text of a page without its tags, references resolved.
std::string text_of_html(const std::string& html) {
  std::string out;
  bool in_tag = false;
  for (const char c : html) {
    if (c == '<') in_tag = true;
    if (!in_tag) out += c;
    if (c == '>') {
      in_tag = false;
      out += ' ';
    }
  }
  std::string resolved;
  for (std::size_t i = 0; i < out.size(); ++i) {
    bool reference = false;
    for (const auto& [from, to] : {std::pair{"&lt;", '<'}, std::pair{"&gt;", '>'}, std::pair{"&quot;", '"'},
                                   std::pair{"&#39;", '\''}, std::pair{"&amp;", '&'}}) {
      if (out[i] != '&' || out.compare(i, std::char_traits<char>::length(from), from) != 0) continue;
      resolved += to;
      i += std::char_traits<char>::length(from) - 1;
      reference = true;
      break;
    }
    if (!reference) resolved += out[i];
  }
  return resolved;
}

/// Of the page, what a browser shows: not its style, script and data.
std::string body_of(const std::string& html) {
  const std::size_t begin = html.find("<body>");
  const std::size_t end = html.find("<script type=\"application/json\"");
  EXPECT_NE(begin, std::string::npos);
  EXPECT_NE(end, std::string::npos);
  return html.substr(begin, end - begin);
}

json data_of(const std::string& html) {
  const std::string open = "<script type=\"application/json\" id=\"report-data\">";
  const std::size_t begin = html.find(open) + open.size();
  return json::parse(html.substr(begin, html.find("</script>", begin) - begin));
}

/// All renderings say the same verdict, exit code, counts and claim.
void expect_agreement(const Pages& pages, const std::string& verdict, int exit_code) {
  const Rendered& r = pages.rendered;
  EXPECT_EQ(r.verdict, verdict);
  EXPECT_EQ(r.exit_code, exit_code);

  const json& report = pages.report;
  EXPECT_EQ(report["verdict"], verdict);
  EXPECT_EQ(report["exit"], exit_code);
  EXPECT_EQ(report["claim"], r.claim);
  EXPECT_EQ(report["headline"], r.headline);
  EXPECT_EQ(report["cases_by_verdict"], (json{{"pass", r.cases_pass},
                                              {"fail", r.cases_fail},
                                              {"incomparable", r.cases_incomparable},
                                              {"invalid", r.cases_invalid}}));
  EXPECT_EQ(report["comparisons"]["planned"], r.planned);
  EXPECT_EQ(report["comparisons"]["made"], r.made);
  EXPECT_EQ(report["comparisons"]["skipped"], r.skipped);

  const auto properties = run_properties(*pages.xml);
  EXPECT_EQ(properties.at("verdict"), verdict);
  EXPECT_EQ(properties.at("exit"), std::to_string(exit_code));
  EXPECT_EQ(properties.at("cases.pass"), std::to_string(r.cases_pass));
  EXPECT_EQ(properties.at("cases.fail"), std::to_string(r.cases_fail));
  EXPECT_EQ(properties.at("cases.incomparable"), std::to_string(r.cases_incomparable));
  EXPECT_EQ(properties.at("cases.invalid"), std::to_string(r.cases_invalid));
  EXPECT_EQ(properties.at("comparisons.planned"), std::to_string(r.planned));
  EXPECT_EQ(properties.at("comparisons.made"), std::to_string(r.made));
  EXPECT_EQ(properties.at("comparisons.skipped"), std::to_string(r.skipped));
  const auto& root = pages.xml->attributes;
  EXPECT_EQ(root.at("failures") != "0", verdict == "FAIL") << "JUnit is red exactly where the verdict is";
  if (verdict == "PASS") {
    EXPECT_EQ(root.at("errors"), "0");
  }
  if (verdict == "INVALID" || verdict == "INCOMPARABLE") {
    EXPECT_NE(root.at("errors"), "0");
  }
  // The counts in the attributes are those of the elements.
  for (const auto& [attribute, element] : {std::pair{"tests", "testcase"}, std::pair{"failures", "failure"},
                                           std::pair{"errors", "error"}, std::pair{"skipped", "skipped"}}) {
    EXPECT_EQ(root.at(attribute), std::to_string(pages.xml->all(element).size()));
    for (const auto* suite : pages.xml->all("testsuite")) {
      EXPECT_EQ(suite->attributes.at(attribute), std::to_string(suite->all(element).size()));
    }
  }

  const json& run = pages.sarif["runs"][0];
  EXPECT_EQ(run["properties"]["verdict"], verdict);
  EXPECT_EQ(run["properties"]["exit"], exit_code);
  EXPECT_EQ(run["properties"]["claim"], r.claim);
  EXPECT_EQ(run["properties"]["headline"], r.headline);
  EXPECT_EQ(run["properties"]["cases"], report["cases_by_verdict"]);
  for (const char* count : {"planned", "made", "skipped"})
    EXPECT_EQ(run["properties"]["comparisons"][count], report["comparisons"][count]);
  const json& invocation = run["invocations"][0];
  EXPECT_EQ(invocation["exitCode"], exit_code);
  EXPECT_EQ(invocation["exitCodeDescription"], verdict);
  EXPECT_EQ(invocation["executionSuccessful"], verdict == "PASS" || verdict == "FAIL");
  EXPECT_EQ(invocation.contains("toolExecutionNotifications"), verdict != "PASS");
  if (verdict == "PASS") {
    EXPECT_TRUE(run["results"].empty());
  }

  const auto grouped = [](std::uint64_t n) {
    std::string digits = std::to_string(n);
    for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3)
      digits.insert(static_cast<std::size_t>(i), ",");
    return digits;
  };
  EXPECT_EQ(pages.markdown.find(escape_markdown(shortened(r.claim, 400))), 0U);
  const std::string cases = grouped(r.cases_pass) + " passed, " + grouped(r.cases_fail) + " failed, " +
                            grouped(r.cases_incomparable) + " incomparable, " + grouped(r.cases_invalid) +
                            " invalid";
  EXPECT_NE(pages.markdown.find("## "), std::string::npos);
  EXPECT_NE(pages.markdown.find(" " + verdict + ": "), std::string::npos);
  EXPECT_NE(pages.markdown.find(cases), std::string::npos) << pages.markdown;
  const std::string comparisons =
      r.finished
          ? grouped(r.planned) + " planned, " + grouped(r.made) + " made, " + grouped(r.skipped) + " skipped"
          : grouped(r.made) + " made so far, " + grouped(r.skipped) + " skipped";
  EXPECT_NE(pages.markdown.find(comparisons), std::string::npos);
  EXPECT_NE(pages.markdown.find("| exit code | " + std::to_string(exit_code) + " |"), std::string::npos);

  const std::string text = text_of_html(body_of(pages.html));
  EXPECT_NE(pages.html.find("<div class=\"masthead " + verdict + "\""), std::string::npos);
  EXPECT_NE(pages.html.find("</svg>" + verdict + "</h1>"), std::string::npos);
  EXPECT_LT(text.find(r.claim), text.find(" " + verdict)) << "the claim comes first";
  EXPECT_NE(text.find(grouped(r.cases_pass) + " of "), std::string::npos);
  if (r.cases_fail > 0) {
    EXPECT_NE(text.find(grouped(r.cases_fail) + " failed"), std::string::npos);
  }
  if (r.cases_invalid > 0) {
    EXPECT_NE(text.find(grouped(r.cases_invalid) + " invalid"), std::string::npos);
  }
  if (r.cases_incomparable > 0) {
    EXPECT_NE(text.find(grouped(r.cases_incomparable) + " incomparable"), std::string::npos);
  }
  EXPECT_NE(text.find(comparisons), std::string::npos);
  EXPECT_NE(text.find("exit code " + std::to_string(exit_code)), std::string::npos);
}

/// The page asks nothing of the network and runs nothing but its own script.
void expect_self_contained(const std::string& html) {
  // In tags only: the text may speak of whatever it likes.
  std::string page;
  const std::string body = body_of(html);
  for (std::size_t i = body.find('<'); i != std::string::npos; i = body.find('<', i + 1)) {
    page += body.substr(i, body.find('>', i) - i + 1);
  }
  EXPECT_GT(page.size(), 1000U);
  for (const char* outside : {"src=", "http:", "https:", "url(", "@import", "<iframe", "<object", "<form",
                              "javascript:", " style=", " onerror", " onclick", " onload"}) {
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  }
  EXPECT_EQ(html.find("<link"), html.find("<link rel=\"icon\" href=\"data:,\">"));
  EXPECT_EQ(html.find("<link", html.find("<link") + 1), std::string::npos);
  // One data block and one script, whose hash the policy names.
  std::size_t scripts = 0;
  for (std::size_t i = html.find("<script"); i != std::string::npos; i = html.find("<script", i + 1))
    ++scripts;
  EXPECT_EQ(scripts, 2U);
  EXPECT_NE(html.find("<script>" + std::string(kPageJs) + "</script>"), std::string::npos);
  EXPECT_NE(html.find("<style>" + std::string(kPageCss) + "</style>"), std::string::npos);
  EXPECT_NE(html.find("content=\"default-src 'none'; script-src 'sha256-"), std::string::npos);
  EXPECT_EQ(kPageJs.find("innerHTML"), std::string_view::npos);
  EXPECT_EQ(kPageJs.find("fetch("), std::string_view::npos);
  EXPECT_EQ(kPageJs.find("</script"), std::string_view::npos);
}

TEST(Render, APassingRun) {
  const Pages pages = rendered(SampleOptions{});
  expect_agreement(pages, "PASS", 0);
  expect_self_contained(pages.html);
  EXPECT_TRUE(pages.rendered.finished);
  EXPECT_EQ(pages.html.find("id=\"failures\""), std::string::npos);
  EXPECT_EQ(pages.report["failures_total"], 0);
  EXPECT_EQ(pages.markdown.find("Failing"), std::string::npos);
  // Nine cells of the first layers' first tap, in both modes.
  const json data = data_of(pages.html);
  EXPECT_EQ(data["columns"], json::parse("[[0,0],[1,1],[2,2]]"));
  EXPECT_EQ(data["taps"][1], "attn_norm");
  EXPECT_EQ(data["cells"]["free"]["1"]["2"].size(), 3U);
  EXPECT_EQ(data["cells"]["local"]["1"].size(), 3U);
  EXPECT_EQ(data["cells"]["free"]["1"]["2"][0][4], 4) << "four cases in a cell";
  EXPECT_EQ(data["noise"][1], json::parse("[2e-13,4e-8]"));
  EXPECT_EQ(data["limits"]["free"][1][0], 0.001);
}

TEST(Render, AFailingRun) {
  SampleOptions options;
  options.failing_case = 2;
  const Pages pages = rendered(options);
  expect_agreement(pages, "FAIL", 1);
  const std::string text = text_of_html(body_of(pages.html));
  EXPECT_NE(text.find("First failure:"), std::string::npos);
  EXPECT_NE(text.find("candidate wrong"), std::string::npos);
  EXPECT_NE(text.find("[0, 117]"), std::string::npos);
  EXPECT_NE(text.find("crossval run --model fixtures/model/bundled.gguf --prompts fixtures/suites/qa.json "
                      "--filter colour-of-snow"),
            std::string::npos);
  EXPECT_NE(pages.html.find("id=\"case=colour-of-snow\""), std::string::npos);
  EXPECT_NE(pages.html.find("href=\"#case=colour-of-snow\""), std::string::npos);

  EXPECT_EQ(pages.report["failures"][0]["tap"], "ffn_act-1");
  EXPECT_EQ(pages.report["failures"][0]["mode"], "local");
  EXPECT_EQ(pages.report["failures"][0]["at"], json::parse("[0,117]"));
  EXPECT_EQ(pages.report["failures"].size(), 12U);
  EXPECT_GT(pages.report["failures_total"], 12);

  std::map<std::string, std::string> failures;  // by class
  for (const auto* test_case : pages.xml->all("testcase")) {
    for (const auto* failure : test_case->all("failure")) {
      EXPECT_EQ(test_case->attributes.at("name"), "colour-of-snow");
      failures[test_case->attributes.at("classname")] =
          failure->attributes.at("message") + "\n" + failure->text;
    }
  }
  ASSERT_EQ(failures.size(), 4U) << "tokens, local, free and answers";
  EXPECT_NE(failures.at("local.crossval bundled").find("first ffn_act-1 at step 1"), std::string::npos);
  EXPECT_NE(failures.at("local.crossval bundled").find("--filter colour-of-snow"), std::string::npos);
  EXPECT_NE(failures.at("answers.crossval bundled").find("expected equals `Paris`, got `five`"),
            std::string::npos);
  EXPECT_NE(failures.at("tokens.crossval bundled").find("candidate picked 9, reference 5"),
            std::string::npos);

  EXPECT_LT(pages.markdown.find("### Failing comparisons"), pages.markdown.find("Reproduce"));
  EXPECT_NE(pages.markdown.find("| `colour-of-snow` | 1 | `ffn_act-1` | local | "), std::string::npos);
  EXPECT_NE(pages.markdown.find("--filter colour-of-snow\n```"), std::string::npos);
}

TEST(Render, SarifPointsAtTheSourceOfWhatFailedByItself) {
  SampleOptions options;
  options.failing_case = 2;
  const json run = rendered(options).sarif["runs"][0];
  // Free-running failures only inherit; they have no result of their own.
  ASSERT_EQ(run["results"].size(), 1U);
  const json& result = run["results"][0];
  EXPECT_EQ(result["ruleId"], "local.cosine");
  EXPECT_EQ(run["tool"]["driver"]["rules"][result["ruleIndex"].get<std::size_t>()]["id"], result["ruleId"]);
  EXPECT_EQ(result["level"], "error");
  const json& place = result["locations"][0]["physicalLocation"];
  EXPECT_EQ(place["artifactLocation"]["uri"], "engine/element%20wise.cpp");
  EXPECT_EQ(place["region"]["startLine"], 66);
  EXPECT_EQ(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "avx2::silu");
  EXPECT_EQ(result["partialFingerprints"]["operation/v1"], "candidate ffn_act");
  const std::string text = result["message"]["text"];
  EXPECT_TRUE(text.starts_with(
      "ffn_act of the candidate: 2 of 36 local comparisons failed. It differs as if the gate were not "
      "activated: 0 bits left. First: local ffn_act-1"))
      << text;
  EXPECT_NE(text.find("--filter colour-of-snow"), std::string::npos) << text;
  EXPECT_EQ(result["properties"]["at"], json::parse("[0,117]"));
}

TEST(Render, SarifGoesByTheArbiterAndByWhatWasLocated) {
  SampleOptions options;
  options.failing_case = 2;
  std::vector<json> records = testing::sample_records(options);
  json& run = records[0];
  run["reference"]["sources"] = {{"ffn_act", {{"function", "f"}, {"file", "theirs.cpp"}, {"line", 3}}}};
  const auto files = [&records] {
    std::vector<std::string> uris;
    const Pages pages = rendered(testing::to_jsonl(records));
    for (const json& result : pages.sarif["runs"][0]["results"])
      uris.push_back(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]);
    return uris;
  };
  for (json& record : records)
    if (record["type"] == "comparison" && record["mode"] == "local" && record["verdict"] == "FAIL")
      record["blame"] = "reference wrong";
  records.back().erase("located");
  EXPECT_EQ(files(), std::vector<std::string>{"theirs.cpp"});
  // An operation that only locating found.
  records.back()["located"] = {{"case", "colour-of-snow"},
                               {"step", 1},
                               {"tap", "attn_norm-0"},
                               {"who", "candidate wrong"},
                               {"row", 0},
                               {"why", "nmse 1 > 1e-06"},
                               {"evaluator", "emulator"},
                               {"likeness", "differs as if [x](http://b.example)"}};
  EXPECT_EQ(files(), (std::vector<std::string>{"engine/norm.cpp", "theirs.cpp"}));
  const Pages pages = rendered(testing::to_jsonl(records));
  const std::string text = pages.sarif["runs"][0]["results"][0]["message"]["text"];
  EXPECT_NE(text.find("It differs as if \\[x\\](http://b.example)."), std::string::npos) << text;
  EXPECT_NE(pages.html.find("The sides part in <code>attn_norm-0</code> · candidate wrong</h2>"),
            std::string::npos);
  // Without sources there is nothing to point at, and the verdict stays.
  for (const char* side : {"candidate", "reference"}) run[side].erase("sources");
  EXPECT_TRUE(files().empty());
  expect_agreement(rendered(testing::to_jsonl(records)), "FAIL", 1);
}

TEST(Render, WhatAProgramSaidAsItDiedIsText) {
  for (const char* verdict : {"INCOMPARABLE", "INVALID"}) {
    SampleOptions options;
    options.last_case_verdict = verdict;
    options.hostile = kHostile;
    const Pages pages = rendered(options);
    expect_agreement(pages, verdict, std::string(verdict) == "INVALID" ? 4 : 3);
    expect_self_contained(pages.html);
    for (const std::string* page : {&pages.html, &pages.markdown, &pages.junit}) {
      EXPECT_NE(page->find("signal 9&lt;"), std::string::npos);
      EXPECT_EQ(page->find("<img"), std::string::npos);
      EXPECT_EQ(page->find("\x1b"), std::string::npos);
    }
  }
}

TEST(Render, TheFirstFailureIsToldInFullEverywhere) {
  SampleOptions options;
  options.failing_case = 2;
  const Pages pages = rendered(options);
  const json lines = pages.report["failure"];
  ASSERT_EQ(lines.size(), 8U) << lines.dump(1);
  const std::vector<const char*> wanted[] = {
      {"first failure: local ffn_act-1 of case colour-of-snow, step 1, row", "cosine", "< 0.99999"},
      {"mismatched: ", " of ", " values ("},
      {"greatest difference: ", " at [0, 117]: got ", ", expected ", " of the expected value there"},
      {"bound: gate local.cosine: cosine >= 0.99999, from crossval's default gates"},
      {"local against inherited: in this case an operation adds at most NMSE ", " apart"},
      {"where the sides part: candidate wrong in ffn_act-1, step 1, row 0 of case colour-of-snow: nmse 0.31 "
       "> 1e-06; "
       "differs as if the gate were not activated: 0 bits left"},
      {"bundle: replay/x-ffn_act-1.crossval-bundle (crossval replay"},
      {"and ", " more failed comparisons, in 1 case"}};
  for (std::size_t i = 0; i < lines.size(); ++i)
    for (const char* word : wanted[i])
      EXPECT_NE(lines[i].get<std::string>().find(word), std::string::npos) << word << "\n" << lines[i];
  EXPECT_EQ(pages.report["located"]["tap"], "ffn_act-1");
  EXPECT_LT(pages.markdown.find("### The first failure"), pages.markdown.find("### Failing comparisons"));
  for (const char* words :
       {"of the expected value there", "bound: gate local.cosine", "where the sides part"})
    EXPECT_NE(pages.junit.find(words), std::string::npos) << words;
}

TEST(Render, AnIncomparableRun) {
  SampleOptions options;
  options.last_case_verdict = "INCOMPARABLE";
  const Pages pages = rendered(options);
  expect_agreement(pages, "INCOMPARABLE", 3);
  bool seen = false;
  for (const auto* error : pages.xml->all("error"))
    seen = seen || error->attributes.at("message") == "the reference died: signal 9";
  EXPECT_TRUE(seen);
}

TEST(Render, AnInvalidRun) {
  SampleOptions options;
  options.last_case_verdict = "INVALID";
  expect_agreement(rendered(options), "INVALID", 4);
}

TEST(Render, AKilledRunIsInvalidAndShowsWhatItHas) {
  const std::string whole = testing::to_jsonl(testing::sample_records({}));
  const Pages pages = rendered(whole.substr(0, whole.size() / 2));
  expect_agreement(pages, "INVALID", 4);
  EXPECT_FALSE(pages.rendered.finished);
  EXPECT_EQ(pages.report["finished"], false);
  EXPECT_NE(pages.rendered.headline.find("no summary record: the run did not finish"), std::string::npos);
  EXPECT_NE(text_of_html(body_of(pages.html)).find("no summary record: the run did not finish"),
            std::string::npos);
  EXPECT_NE(pages.markdown.find("no summary record: the run did not finish"), std::string::npos);
  EXPECT_NE(pages.junit.find("no summary record: the run did not finish"), std::string::npos);
  EXPECT_NE(pages.html.find("UNFINISHED"), std::string::npos);
  EXPECT_GT(pages.rendered.made, 0U);
}

TEST(Render, ARunThatEndedBeforeItsFirstCase) {
  std::vector<json> records = testing::sample_records({});
  records.resize(1);
  records.push_back({{"type", "summary"},
                     {"planned", 0},
                     {"made", 0},
                     {"skipped", 0},
                     {"verdict", "INCOMPARABLE"},
                     {"exit", 3},
                     {"headline", "the vocabularies differ"},
                     {"cases", {{"pass", 0}, {"fail", 0}, {"incomparable", 0}, {"invalid", 0}}}});
  const Pages pages = rendered(testing::to_jsonl(records));
  expect_agreement(pages, "INCOMPARABLE", 3);
  EXPECT_EQ(pages.html.find("id=\"heat\""), std::string::npos);
  EXPECT_EQ(data_of(pages.html)["cells"], json::parse(R"({"local":{},"free":{}})"));
}

TEST(Render, AFailureThatNoCaseShowsIsStillRed) {
  std::vector<json> records = testing::sample_records({});
  for (json& record : records) {
    if (record["type"] != "summary") continue;
    record["verdict"] = "FAIL";
    record["exit"] = 1;
    record["headline"] = "attn_norm is zero everywhere";
  }
  const Pages pages = rendered(testing::to_jsonl(records));
  expect_agreement(pages, "FAIL", 1);
  ASSERT_EQ(pages.xml->all("failure").size(), 1U);
  EXPECT_EQ(pages.xml->all("failure")[0]->attributes.at("message"), "attn_norm is zero everywhere");
}

TEST(Render, HostileTextLeavesItsPlaceNowhere) {
  for (const bool failing : {false, true}) {
    SampleOptions options;
    options.hostile = kHostile;
    if (failing) options.failing_case = 2;
    Pages pages = rendered(options);
    expect_agreement(pages, failing ? "FAIL" : "PASS", failing ? 1 : 0);
    expect_self_contained(pages.html);
    // In the code block nothing has a meaning; it has its own test.
    const std::size_t fence = pages.markdown.find("\n```");
    const std::size_t end = pages.markdown.find("\n```\n", fence + 1);
    ASSERT_NE(end, std::string::npos);
    pages.markdown.erase(fence, end - fence);
    for (const std::string* page : {&pages.html, &pages.markdown, &pages.junit}) {
      EXPECT_TRUE(is_valid_utf8(*page));
      EXPECT_EQ(page->find("<img"), std::string::npos);
      EXPECT_EQ(page->find("\x1b"), std::string::npos);
      EXPECT_EQ(page->find("\xe2\x80\xae"), std::string::npos);
      EXPECT_EQ(page->find("\xe2\x80\xa8"), std::string::npos);
      EXPECT_NE(page->find("&lt;img"), std::string::npos) << "it is shown, not dropped";
    }
    // The invalid byte is base64 in report.json, as it is in the records, and U+FFFD where people look.
    EXPECT_EQ(bitnet::base64_decode(pages.report["cases"][0]["answer_b64"].get<std::string>()),
              " Paris" + std::string(kHostile));
    EXPECT_NE(pages.html.find("\xef\xbf\xbd"), std::string::npos);
    // Tables keep their shape: as many cells in each row as in the header.
    std::istringstream lines(pages.markdown);
    std::ptrdiff_t columns = 0;
    bool in_code = false;
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("```", 0) == 0) in_code = !in_code;
      if (in_code || line.empty() || line[0] != '|') {
        columns = 0;
        continue;
      }
      const std::ptrdiff_t here = std::count(line.begin(), line.end(), '|');
      if (columns == 0) columns = here;
      EXPECT_EQ(here, columns) << line;
    }
    EXPECT_EQ(pages.markdown.find("@octocat"), std::string::npos);
    EXPECT_EQ(std::regex_search(pages.markdown, std::regex("\\]\\(")), false);
  }
}

TEST(Render, EveryAnchorIsUniqueAndEveryLinkHasItsTarget) {
  SampleOptions options;
  options.failing_case = 2;
  options.hostile = "a b%20<>\"#\xc3\xbc";
  const Pages pages = rendered(options);
  std::set<std::string> ids;
  const std::string page = body_of(pages.html);
  const std::regex id_pattern(" id=\"([^\"]*)\"");
  for (auto it = std::sregex_iterator(page.begin(), page.end(), id_pattern); it != std::sregex_iterator();
       ++it) {
    EXPECT_TRUE(ids.insert((*it)[1]).second) << (*it)[1];
  }
  const std::regex link_pattern("href=\"#([^\"]*)\"");
  std::size_t links = 0;
  for (auto it = std::sregex_iterator(page.begin(), page.end(), link_pattern); it != std::sregex_iterator();
       ++it) {
    EXPECT_EQ(ids.count((*it)[1]), 1U) << (*it)[1];
    ++links;
  }
  EXPECT_GT(links, 10U);
}

TEST(Render, TheSameRecordsGiveTheSameBytes) {
  SampleOptions options;
  options.failing_case = 1;
  const Pages a = rendered(options);
  const Pages b = rendered(options);
  EXPECT_EQ(a.html, b.html);
  EXPECT_EQ(a.junit, b.junit);
  EXPECT_EQ(a.markdown, b.markdown);
  EXPECT_EQ(a.report, b.report);
}

/// Each case compared in a few taps only: the size of the reports does not depend on the comparisons.
std::string many_cases(int cases, const std::string& text, bool failing) {
  SampleOptions small;
  small.cases = 1;
  small.layers = 1;
  small.steps = 1;
  std::vector<json> records = testing::sample_records(small);
  const json run = records[0];
  json comparison;
  json ended;
  json summary = records.back();
  for (const json& r : records) {
    if (r["type"] == "comparison" && r["mode"] == "free") comparison = r;
    if (r["type"] == "case") ended = r;
  }
  std::string out = run.dump() + "\n";
  for (int i = 0; i < cases; ++i) {
    const std::string id = "case " + std::to_string(i) + " " + text.substr(0, 60);
    for (int layer = 0; layer < 4; ++layer) {
      comparison["case"] = id;
      comparison["tap"] = "l_out-" + std::to_string(layer);
      comparison["step"] = i % 200;
      comparison["verdict"] = failing ? "FAIL" : "PASS";
      comparison["why"] = text.substr(0, 60);
      out += comparison.dump() + "\n";
    }
    ended["id"] = id;
    ended["prompt"] = text;
    ended["answer"] = text;
    ended["expect"] = {{"kind", "contains"}, {"want", text}, {"met", !failing}};
    ended["verdict"] = failing ? "FAIL" : "PASS";
    ended["first_failure"] =
        failing ? json{{"step", i % 200}, {"tap", text}, {"mode", "free"}} : json(nullptr);
    out += ended.dump() + "\n";
  }
  summary["planned"] = 4 * cases;
  summary["made"] = 4 * cases;
  summary["skipped"] = 0;
  summary["verdict"] = failing ? "FAIL" : "PASS";
  summary["exit"] = failing ? 1 : 0;
  summary["cases"] = {
      {"pass", failing ? 0 : cases}, {"fail", failing ? cases : 0}, {"incomparable", 0}, {"invalid", 0}};
  return out + summary.dump() + "\n";
}

TEST(Render, TwoThousandCasesFitTheirLimits) {
  std::string quotes;
  for (int i = 0; i < 250; ++i) quotes += "<\"\xe2\x80\xae|";
  for (const bool failing : {false, true}) {
    for (const std::string& text :
         {std::string("What is the capital of France? Paris is the capital of France, on the Seine."),
          quotes}) {
      const Pages pages = rendered(many_cases(2000, text, failing));
      expect_agreement(pages, failing ? "FAIL" : "PASS", failing ? 1 : 0);
      EXPECT_LT(pages.html.size(), 5'000'000U);
      EXPECT_LT(pages.markdown.size(), 1024U * 1024U);
      EXPECT_EQ(pages.report["cases"].size(), 2000U);
      std::size_t rows = 0;
      for (std::size_t i = pages.html.find("<tr id=\"case="); i != std::string::npos;
           i = pages.html.find("<tr id=\"case=", i + 1))
        ++rows;
      if (text != quotes) {
        EXPECT_EQ(rows, 2000U) << "every case is on the page";
      } else {
        EXPECT_GT(rows, 500U);
        EXPECT_NE(pages.html.find(" of 2,000 cases fit on this page"), std::string::npos);
      }
      if (failing) {
        // At most 50 failures in the summary, each of another case.
        std::size_t listed = 0;
        for (std::size_t i = pages.markdown.find("`l&#95;out-0`"); i != std::string::npos;
             i = pages.markdown.find("`l&#95;out-0`", i + 1))
          ++listed;
        for (std::size_t i = pages.markdown.find("`l_out-0`"); i != std::string::npos;
             i = pages.markdown.find("`l_out-0`", i + 1))
          ++listed;
        EXPECT_EQ(listed, 50U);
        EXPECT_NE(pages.markdown.find("50 of 8,000"), std::string::npos);
        EXPECT_EQ(pages.report["failures"].size(), 500U) << "the first of 500 cases";
        EXPECT_EQ(pages.report["failures_total"], 8000);
      }
    }
  }
}

TEST(Render, ALargeModelOverManyStepsFitsThePage) {
  SampleOptions options;
  options.cases = 1;
  options.layers = 24;
  options.steps = 70;
  const Pages pages = rendered(options);
  expect_agreement(pages, "PASS", 0);
  EXPECT_LT(pages.html.size(), 2'500'000U);
  const json data = data_of(pages.html);
  EXPECT_LE(data["columns"].size(), 64U);
  EXPECT_EQ(data["columns"].back()[1], 69);
}

TEST(Render, OutputProblemsNameTheFileAndKeepTheOldReports) {
  const ScratchDirectory scratch;
  const auto results = scratch.write("results.jsonl", testing::to_jsonl(testing::sample_records({})));
  try {
    render(results, scratch.path() / "missing");
    FAIL() << "no error";
  } catch (const OutputError& e) {
    EXPECT_NE(std::string(e.what()).find("missing/report.json"), std::string::npos) << e.what();
  }
  render(results, scratch.path());
  const std::string before = scratch.read("index.html");

  // A limit on the size of files stands for a full disk.
  SampleOptions other;
  other.failing_case = 1;
  scratch.write("results.jsonl", testing::to_jsonl(testing::sample_records(other)));
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small{60'000, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string error;
  try {
    render(results, scratch.path());
  } catch (const OutputError& e) {
    error = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(error.find("cannot be written"), std::string::npos) << error;
  EXPECT_NE(error.find(scratch.path().string()), std::string::npos) << error;
  EXPECT_EQ(scratch.read("index.html"), before);
  EXPECT_EQ(json::parse(scratch.read("report.json"))["verdict"], "PASS");
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path()))
    EXPECT_NE(entry.path().extension(), ".tmp");
}

TEST(Render, ALinkUnderATemporaryNameIsNotFollowed) {
  const ScratchDirectory scratch;
  const auto results = scratch.write("results.jsonl", testing::to_jsonl(testing::sample_records({})));
  const auto victim = scratch.write("victim", "untouched");
  std::filesystem::create_symlink(victim, scratch.path() / "report.json.tmp");
  render(results, scratch.path());
  EXPECT_EQ(scratch.read("victim"), "untouched");
}

}  // namespace
}  // namespace crossval::reports
