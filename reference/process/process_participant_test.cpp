// The participant protocol from our side, against a program that misbehaves on demand (fixtures/faults).

#include "reference/process/process_participant.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "engine/error.h"
#include "engine/model/model.h"
#include "reference/emulator/participant.h"
#include "reference/errors.h"

namespace crossval {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const fs::path kModel = fs::path(CROSSVAL_SOURCE_DIR) / "fixtures/model/bundled.gguf";
const std::vector<Token> kPrompt{1, 40, 50, 60, 70};

const bitnet::Config& config() {
  static const bitnet::Config kConfig = bitnet::Model::load(kModel).config();
  return kConfig;
}

ProcessOptions options(std::vector<std::string> arguments, double timeout = 60) {
  ProcessOptions o;
  o.program.words = {FAULTY_PARTICIPANT};
  o.program.words.insert(o.program.words.end(), arguments.begin(), arguments.end());
  o.program.timeout = Seconds(timeout);
  o.model = kModel;
  o.config = config();
  o.threads = 1;
  return o;
}

std::map<TapId, Tensor> evaluate(Participant& participant, std::span<const Token> tokens = kPrompt) {
  std::map<TapId, Tensor> shown;
  participant.eval(
      tokens, [](TapId) { return true; }, [&](Tensor&& tensor) { shown[tensor.id] = std::move(tensor); });
  return shown;
}

// The message of an exception of this very type.
template <typename Error, typename Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another exception: " << e.what();
    return "";
  }
  ADD_FAILURE() << "no exception";
  return "";
}

void expect_in(const std::string& part, const std::string& text) {
  EXPECT_NE(text.find(part), std::string::npos) << "`" << part << "` is not in: " << text;
}

std::size_t open_descriptors(const std::string& process = "self") {
  std::size_t n = 0;
  DIR* folder = ::opendir(("/proc/" + process + "/fd").c_str());
  if (!folder) return 0;
  while (const dirent* entry = ::readdir(folder)) n += entry->d_name[0] != '.';
  ::closedir(folder);
  return n - (process == "self");  // that of opendir
}

// A zombie that its new parent has not reaped yet is no process any more.
bool runs(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(stat), {}};
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] != 'Z';
}

bool has_children() {
  return ::waitpid(-1, nullptr, WNOHANG) == 0;
}

TEST(ProcessParticipant, AGoodProgramIsAParticipantLikeOurOwn) {
  const auto participant = make_process_participant(options({"ok"}));
  EXPECT_EQ(participant->identity().name, "faulty");
  EXPECT_EQ(participant->identity().details.at("threads"), "1");
  EXPECT_EQ(participant->n_vocab(), config().n_vocab);
  EXPECT_EQ(participant->taps(), bitnet::canonical_taps(config()));
  EXPECT_FALSE(participant->can_evaluate());
  const auto own = make_emulator(kModel, {.rope = emulation::Rope::own, .threads = 1});
  EXPECT_EQ(participant->tokenize("Capital of France?", true, true),
            own->tokenize("Capital of France?", true, true));
  EXPECT_EQ(participant->piece(70), own->piece(70));
  EXPECT_EQ(participant->piece(*bitnet::Model::load(kModel).tokenizer().bos()), "");
  // Two evaluations of one sequence, then the same from the start; every tap to the bit.
  for (int round = 0; round < 2; ++round) {
    participant->reset();
    own->reset();
    for (const std::vector<Token>& tokens : {std::vector<Token>{1}, std::vector<Token>{40}}) {
      const auto got = evaluate(*participant, tokens), want = evaluate(*own, tokens);
      ASSERT_EQ(got.size(), want.size());
      for (const auto& [id, tensor] : want) {
        EXPECT_EQ(got.at(id).offsets, tensor.offsets);
        EXPECT_EQ(std::memcmp(got.at(id).values.data(), tensor.values.data(), 4 * tensor.values.size()), 0)
            << bitnet::to_string(id);
      }
    }
  }
}

TEST(ProcessParticipant, OnlyTheTapsWantedTravel) {
  const auto participant = make_process_participant(options({"ok"}));
  std::vector<TapId> shown;
  const std::set<TapId> wanted{{bitnet::Tap::l_out, 2}, {bitnet::Tap::attn_norm, 0}};
  participant->eval(
      kPrompt, [&](TapId id) { return wanted.contains(id); }, [&](Tensor&& t) { shown.push_back(t.id); });
  EXPECT_EQ(shown, (std::vector<TapId>{{bitnet::Tap::attn_norm, 0}, {bitnet::Tap::l_out, 2}}));
}

TEST(ProcessParticipant, TheNoiseTwinIsThereOnlyWhereTheProgramListsIt) {
  ProcessOptions o = options({"ok"});
  o.several = true;
  EXPECT_NE(make_process_participant(o), nullptr);
  o = options({"no-options"});
  o.several = true;
  EXPECT_EQ(make_process_participant(o), nullptr);
}

TEST(ProcessParticipant, AMissingProgramIsBadInput) {
  ProcessOptions o = options({});
  o.program.words = {"/nowhere/engine"};
  expect_in("No such file", message_of<bitnet::InputError>([&] { make_process_participant(o); }));
  o.program.words = {"there-is-no-such-program-in-path"};
  expect_in("PATH", message_of<bitnet::InputError>([&] { make_process_participant(o); }));
  o.program.words = {kModel.string()};  // not executable
  expect_in("Permission denied", message_of<bitnet::InputError>([&] { make_process_participant(o); }));
  EXPECT_FALSE(has_children());  // no zombie either
}

TEST(ProcessParticipant, HelloAndLoadMayRefuse) {
  expect_in("hello: no engine here",
            message_of<bitnet::InputError>([] { make_process_participant(options({"refuses-hello"})); }));
  expect_in("load: this file is too old",
            message_of<bitnet::InputError>([] { make_process_participant(options({"refuses-load"})); }));
  expect_in("load: out of memory",
            message_of<Invalid>([] { make_process_participant(options({"cannot-load"})); }));
}

TEST(ProcessParticipant, ExitAtStartIsReportedWithStatusAndStandardError) {
  const std::string text = message_of<Invalid>([] { make_process_participant(options({"exit-at-start"})); });
  expect_in("exec: ", text);
  expect_in("last request: hello (id 1)", text);
  expect_in("exit status 3", text);
  expect_in("no licence found", text);
}

TEST(ProcessParticipant, AnotherVersionOrVocabularyIsIncomparable) {
  expect_in("version 2",
            message_of<Incomparable>([] { make_process_participant(options({"wrong-version"})); }));
  expect_in("another vocabulary: 1281, the file has 1280",
            message_of<Incomparable>([] { make_process_participant(options({"other-vocabulary"})); }));
}

struct Failure {
  const char* fault;
  const char* says;
};

class FailsInEval : public testing::TestWithParam<Failure> {};

TEST_P(FailsInEval, IsInvalidAndTheNextSequenceFindsItStartedAgain) {
  // Without a limit on the time nothing here would wait: only the hanging ones get a short one.
  const std::string fault = GetParam().fault;
  const double limit = fault.starts_with("hang") ? 2 : 60;
  // It is well until its second evaluation.
  const auto participant = make_process_participant(options({fault, "1"}, limit));
  participant->reset();
  const auto before = evaluate(*participant);
  participant->reset();
  const std::string text = message_of<Invalid>([&] { evaluate(*participant); });
  expect_in(GetParam().says, text);
  expect_in("last request: eval of 5 tokens at position 0", text);
  if (fault.starts_with("killed-in")) expect_in("kernel: illegal instruction", text);
  EXPECT_FALSE(has_children());
  // Its sequence is lost.
  expect_in("sequence was lost", message_of<Invalid>([&] { evaluate(*participant); }));
  participant->reset();
  const auto after = evaluate(*participant);
  EXPECT_EQ(after.at({bitnet::Tap::result_output, -1}).values,
            before.at({bitnet::Tap::result_output, -1}).values);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, FailsInEval,
    testing::Values(Failure{"exit", "exit status 5"}, Failure{"killed", "signal 9"},
                    Failure{"killed-in-tensor", "ended within a tensor"},
                    Failure{"hang", "no answer for 2 s"}, Failure{"hang-in-tensor", "no answer for 2 s"},
                    Failure{"garbage", "no JSON: `Segmentation fault (just kidding)`"},
                    Failure{"endless-line", "a line longer than 1 MiB"}, Failure{"deep-line", "no JSON"},
                    Failure{"too-few-bytes", "no JSON"}, Failure{"too-many-bytes", "no JSON"},
                    Failure{"wrong-shape", "width of row 0 255, must be 256"},
                    Failure{"huge-shape", "width of row 0 1152921504606846976, must be 256"},
                    Failure{"wrong-rows", "rows 6, must be 5"}, Failure{"wrong-name", "was not asked for"},
                    Failure{"unasked-tap", "came twice, or unasked"}, Failure{"other-id", "another id"},
                    Failure{"child-left-and-exit", "exit status 6"}, Failure{"chatter", "no JSON"}),
    [](const auto& fault) {
      std::string name = fault.param.fault;
      std::erase(name, '-');
      return name;
    });

TEST(ProcessParticipant, ARefusedEvaluationLeavesTheProgramAlive) {
  const auto participant = make_process_participant(options({"refuses-eval"}));
  for (int i = 0; i < 5; ++i) {  // more often than it would be started again
    participant->reset();
    expect_in("the accelerator is busy", message_of<Invalid>([&] { evaluate(*participant); }));
  }
}

TEST(ProcessParticipant, AListedTapThatDoesNotComeIsIncomparable) {
  const auto participant = make_process_participant(options({"missing-tap"}));
  participant->reset();
  const std::string text = message_of<Incomparable>([&] { evaluate(*participant); });
  expect_in("lists the tap l_out-1, but did not show it", text);
  expect_in("still running", text);
}

TEST(ProcessParticipant, NaNIsPassedOn) {
  const auto participant = make_process_participant(options({"nan-tensor"}));
  const auto shown = evaluate(*participant);
  EXPECT_TRUE(std::isnan(shown.at({bitnet::Tap::l_out, 1}).values[3]));
}

TEST(ProcessParticipant, ASlowAnswerUnderTheLimitIsNone) {
  // 0.3 s before each of more answers than 2 s allow together: every answer has a limit of its own.
  const auto participant = make_process_participant(options({"slow"}, 2));
  const auto start = Clock::now();
  for (int i = 0; i < 8; ++i) participant->reset();
  EXPECT_EQ(evaluate(*participant).size(), bitnet::canonical_taps(config()).size());
  EXPECT_GT(Clock::now() - start, 2s);
}

TEST(ProcessParticipant, OurOwnPausesDoNotCountAgainstIt) {
  const auto participant = make_process_participant(options({"ok"}, 1));
  int shown = 0;
  participant->eval(
      kPrompt, [](TapId id) { return id.tap == bitnet::Tap::l_out; },
      [&](Tensor&&) {
        if (++shown == 2) std::this_thread::sleep_for(1500ms);
      });
  EXPECT_EQ(shown, 4);
}

TEST(ProcessParticipant, AFloodOfStandardErrorBlocksNobody) {
  const auto participant = make_process_participant(options({"flood-stderr"}));
  participant->reset();
  EXPECT_EQ(evaluate(*participant).size(), bitnet::canonical_taps(config()).size());
}

TEST(ProcessParticipant, StandardInputThatIsNeverReadEndsInTime) {
  const auto participant = make_process_participant(options({"deaf"}, 1));
  const auto start = Clock::now();
  const std::string text =
      message_of<Invalid>([&] { participant->tokenize(std::string(500'000, 'a'), true, true); });
  expect_in("did not read the request for 1 s", text);
  EXPECT_LT(Clock::now() - start, 20s);
}

TEST(ProcessParticipant, ARequestLongerThanALineIsRefusedUnsent) {
  const auto participant = make_process_participant(options({"ok"}));
  expect_in("1 MiB", message_of<bitnet::InputError>(
                         [&] { participant->tokenize(std::string(2'000'000, 'a'), true, true); }));
  EXPECT_EQ(participant->tokenize("a", false, true).size(), 1u);
}

TEST(ProcessParticipant, TextThatIsNoUtf8MayBeRefused) {
  const auto participant = make_process_participant(options({"ok"}));
  expect_in("not UTF-8", message_of<bitnet::InputError>([&] { participant->tokenize("a\xff", true, true); }));
  EXPECT_EQ(participant->tokenize("a", false, true).size(), 1u);
}

class ChildLeft : public testing::TestWithParam<const char*> {};

TEST_P(ChildLeft, IsEndedWithItsParent) {
  const fs::path file = fs::path(testing::TempDir()) / ("child-" + std::to_string(::getpid()));
  fs::remove(file);
  ProcessOptions o = options({GetParam()});
  o.program.environment["FAULTY_CHILD"] = file.string();
  auto participant = make_process_participant(o);
  try {
    evaluate(*participant);
  } catch (const Invalid&) {
  }
  pid_t pid = 0;
  for (int i = 0; i < 1000 && !(std::ifstream(file) >> pid); ++i) std::this_thread::sleep_for(10ms);
  ASSERT_GT(pid, 0);
  const auto start = Clock::now();
  participant.reset();
  EXPECT_LT(Clock::now() - start, 20s);
  for (int i = 0; i < 1000 && runs(pid); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(runs(pid));
  EXPECT_FALSE(has_children());
  fs::remove(file);
}

INSTANTIATE_TEST_SUITE_P(Faults, ChildLeft,
                         testing::Values("child-left", "child-left-and-exit", "session-left",
                                         "session-left-and-exit"),
                         [](const auto& fault) {
                           std::string name = fault.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(ProcessParticipant, AProgramThatDoesNotGoIsEnded) {
  auto participant = make_process_participant(options({"never-leaves"}, 1));
  const auto start = Clock::now();
  participant.reset();
  EXPECT_LT(Clock::now() - start, 20s);
  EXPECT_FALSE(has_children());
}

TEST(ProcessParticipant, ItIsStartedAgainOnlyThreeTimesInARow) {
  const auto participant = make_process_participant(options({"exit"}));
  for (int i = 0; i < 3; ++i) {
    participant->reset();
    expect_in("exit status 5", message_of<Invalid>([&] { evaluate(*participant); }));
  }
  for (int i = 0; i < 2; ++i) {
    const std::string text = message_of<Invalid>([&] { participant->reset(); });
    expect_in("failed 3 times in a row", text);
    expect_in("exit status 5", text);
  }
}

TEST(ProcessParticipant, FailuresWithSuccessesBetweenAreForgotten) {
  const auto participant = make_process_participant(options({"exit", "1"}));
  for (int i = 0; i < 5; ++i) {
    participant->reset();
    evaluate(*participant);
    participant->reset();
    expect_in("exit status 5", message_of<Invalid>([&] { evaluate(*participant); }));
  }
}

TEST(ProcessParticipant, AnEvaluationThatTheSinkStopsLeavesTheProgramInStep) {
  const auto participant = make_process_participant(options({"ok"}));
  participant->reset();
  const auto want = evaluate(*participant);
  struct Stop {};
  participant->reset();
  EXPECT_THROW(participant->eval(
                   kPrompt, [](TapId) { return true; }, [](Tensor&&) { throw Stop{}; }),
               Stop);
  participant->reset();
  const TapId logits{bitnet::Tap::result_output, -1};
  EXPECT_EQ(evaluate(*participant).at(logits).values, want.at(logits).values);
}

TEST(ProcessParticipant, DescriptorsAreNeitherLeakedNorInherited) {
  const std::size_t before = open_descriptors();
  const int unmarked = ::dup(STDERR_FILENO);  // without FD_CLOEXEC
  {
    const auto first = make_process_participant(options({"ok"}));
    const auto second = make_process_participant(options({"ok"}));
    // A shell that lists its own descriptors: its three pipes and nothing else.
    ProcessOptions o = options({});
    o.program.words = {"/bin/sh", "-c",
                       "for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
                       "[ -e /proc/$$/fd/$i ] && printf '%s ' $i >&2; done; exit 1"};
    const std::string text = message_of<Invalid>([&] { make_process_participant(o); });
    EXPECT_TRUE(text.ends_with("its standard error ends: 0 1 2")) << text;
  }
  ::close(unmarked);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(ProcessParticipant, IgnoredSignalsAreNotInherited) {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  ProcessOptions o = options({});
  o.program.words = {"/bin/sh", "-c", "grep SigIgn /proc/$$/status >&2; exit 1"};
  expect_in("SigIgn:\\t0000000000000000", message_of<Invalid>([&] { make_process_participant(o); }));
  ::signal(SIGPIPE, before);
}

TEST(ProcessParticipant, ABrokenPipeRaisesNoSignal) {
  const auto before = ::signal(SIGPIPE, SIG_DFL);
  // It closes its standard input, says so, and lives.
  Child child({"/bin/sh", "-c", "exec <&-; echo; sleep 60"}, {});
  std::byte said{};
  ASSERT_EQ(child.read({&said, 1}, Clock::now() + 60s), 1u);
  EXPECT_THROW(child.write("hello", Seconds(60)), ClosedInput);
  EXPECT_EQ(child.status(), "still running");
  child.end(Seconds(5));
  EXPECT_EQ(child.status(), "still running");
  ::signal(SIGPIPE, before);
}

TEST(ProcessParticipant, TheLast64KbOfStandardErrorAreKept) {
  Child child({"/bin/sh", "-c", "head -c 100000 /dev/zero | tr '\\0' a >&2; printf end >&2"}, {});
  ASSERT_TRUE(child.ended_within(Seconds(30)));
  child.end(Seconds(1));
  EXPECT_EQ(child.errors().size(), std::size_t{64} << 10);
  EXPECT_TRUE(child.errors().ends_with("aend"));
  EXPECT_EQ(child.status(), "exit status 0");
}

TEST(ProcessParticipant, TheEnvironmentIsOursAndWhatIsAdded) {
  ::setenv("CROSSVAL_TEST_OURS", "ours", 1);
  Child child({"sh", "-c", "printf '%s %s' \"$CROSSVAL_TEST_OURS\" \"$ADDED\" >&2"}, {{"ADDED", "it's"}});
  ASSERT_TRUE(child.ended_within(Seconds(30)));
  child.end(Seconds(1));
  EXPECT_EQ(child.errors(), "ours it's");
}

}  // namespace
}  // namespace crossval
