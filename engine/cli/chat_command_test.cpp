// `bitnet chat` as its users run it, through a shell.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace bitnet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Result {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class ChatCommand : public testing::Test {
 protected:
  fs::path folder_ = fs::path(testing::TempDir()) /
                     ("chat-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));

  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result chat(const std::string& lines, const std::string& flags = "") const {
    std::ofstream(folder_ / "in", std::ios::binary) << lines;
    const std::string command = BITNET_BINARY " chat --model " BUNDLED_MODEL " --template instruct " + flags +
                                " <" + (folder_ / "in").string() + " 2>" + (folder_ / "err").string();
    Result result;
    FILE* pipe = ::popen(command.c_str(), "r");
    std::array<char, 4096> buffer{};
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
      result.out.append(buffer.data(), n);
    const int status = ::pclose(pipe);
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    std::ostringstream err;
    err << std::ifstream(folder_ / "err").rdbuf();
    result.err = err.str();
    return result;
  }
  static std::vector<json> turns(const Result& result) {
    std::vector<json> out;
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) out.push_back(json::parse(line));
    return out;
  }
};

TEST_F(ChatCommand, AnswersEachLine) {
  const Result r = chat("What is 2 + 2?\n\nWhat is 3 + 4?\r\n");
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.err, "");
  const Result with_records = chat("What is 2 + 2?\nWhat is 3 + 4?", "--json");
  const std::vector<json> t = turns(with_records);
  ASSERT_EQ(t.size(), 2u);
  EXPECT_EQ(r.out, t[0]["text"].get<std::string>() + "\n" + t[1]["text"].get<std::string>() + "\n");
  EXPECT_EQ(t[0]["turn"], 1);
  EXPECT_EQ(t[0]["reused_tokens"], 0);
  EXPECT_GT(t[1]["reused_tokens"], t[0]["prompt_tokens"]);
  EXPECT_GT(t[1]["prompt_tokens"], t[1]["reused_tokens"]);
}

TEST_F(ChatCommand, QuitEndsAndResetBeginsAgain) {
  const std::vector<json> t = turns(chat("What is 2 + 2?\n/reset\nWhat is 2 + 2?\n/quit\nmore\n", "--json"));
  ASSERT_EQ(t.size(), 2u);
  EXPECT_EQ(t[0], t[1]);
}

TEST_F(ChatCommand, GoesOnFromAFile) {
  const std::string file = (folder_ / "a b.chat").string();
  const std::vector<json> whole =
      turns(chat("What is 2 + 2?\n/save " + file + "\nWhat is 3 + 4?\n", "--json --temperature 1 --seed 7"));
  const std::vector<json> rest =
      turns(chat("/load " + file + "\nWhat is 3 + 4?\n", "--json --temperature 1 --seed 7"));
  ASSERT_EQ(whole.size(), 2u);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0], whole[1]);
}

TEST_F(ChatCommand, SaysWhenTurnsAreDropped) {
  std::string lines;
  for (int i = 0; i < 8; ++i) lines += "What is " + std::to_string(i) + " + 2?\n";
  const Result r = chat(lines, "--json --context 64");
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.err.find("the context was full: the oldest"), std::string::npos) << r.err;
  EXPECT_EQ(turns(r).size(), 8u);
}

TEST_F(ChatCommand, WhatFailsEndsItWithCodeTwo) {
  std::ofstream(folder_ / "other") << "something else\n";
  const std::string missing = (folder_ / "none").string(), other = (folder_ / "other").string();
  for (const auto& [line, why] : {std::pair<std::string, std::string>{"/rest", "is no command"},
                                  {"/save", "is no command"},
                                  {"/load " + missing, "cannot be read"},
                                  {"/load " + folder_.string(), "cannot be read"},
                                  {"/load " + other, "saved chat: "},
                                  {std::string(3000, 'x'), "leaves no room"}}) {
    const Result r = chat(line + "\nWhat is 2 + 2?\n", "--context 200");
    EXPECT_EQ(r.exit_code, 2) << line;
    EXPECT_NE(r.err.find(why), std::string::npos) << r.err;
    EXPECT_EQ(r.out, "");
  }
  EXPECT_EQ(chat("", "--template no-such").exit_code, 2);
  EXPECT_EQ(chat("", "--context 0").exit_code, 2);
}

}  // namespace
}  // namespace bitnet
