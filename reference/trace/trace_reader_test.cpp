#include "reference/trace/trace_reader.h"

#include <gtest/gtest.h>

#include "engine/error.h"
#include "reference/trace/test_trace.h"

namespace crossval {
namespace {

using testing::test_trace;
using testing::TestTrace;

std::string failure(const TestTrace& trace) {
  const std::string bytes = trace.bytes();
  try {
    (void)Trace::parse(std::as_bytes(std::span(bytes)), "t");
    return "";
  } catch (const bitnet::InputError& e) {
    return e.what();
  }
}

void expect_failure(const TestTrace& trace, const std::string& fragment) {
  const std::string message = failure(trace);
  EXPECT_TRUE(message.starts_with("t: ")) << fragment << ": " << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_NE(message.find(fragment), std::string::npos) << "no \"" << fragment << "\" in: " << message;
}

// The trace with one text of the metadata replaced.
void expect_metadata_failure(const std::string& key, const std::string& value, const std::string& fragment) {
  TestTrace trace = test_trace();
  trace.metadata[key] = value;
  expect_failure(trace, fragment);
}

TEST(Trace, ReadsWhatItHolds) {
  const std::string bytes = test_trace().bytes();
  const Trace trace = Trace::parse(std::as_bytes(std::span(bytes)), "t");
  EXPECT_FALSE(trace.hashed());
  EXPECT_EQ(trace.identity().name, "engine");
  EXPECT_EQ(trace.identity().details.at("rope"), "own");
  EXPECT_EQ(trace.n_vocab(), 3);
  ASSERT_EQ(trace.taps().size(), 3U);
  EXPECT_EQ(bitnet::to_string(trace.taps()[0]), "kq-0");  // canonical order, whatever the file's
  EXPECT_EQ(trace.taps()[2].tap, bitnet::Tap::result_output);
  ASSERT_EQ(trace.cases().size(), 2U);
  const Trace::Case& a = trace.cases().find("a")->second;
  ASSERT_EQ(a.steps.size(), 2U);
  EXPECT_EQ(a.steps[1].position, 2);
  EXPECT_EQ(a.steps[0].tokens, (std::vector<Token>{1, 2}));
  EXPECT_EQ(trace.cases().count("b/c"), 1U);
  EXPECT_EQ(trace.piece(2), "\xff");
  EXPECT_EQ(trace.piece(7), std::nullopt);
  ASSERT_TRUE(trace.rope());
  EXPECT_EQ(trace.rope()->positions, 3);
  EXPECT_EQ(trace.rope()->cosines, (std::vector<float>{1, 0.5, 0.5}));
  EXPECT_EQ(failure(test_trace(true)), "");
}

TEST(Trace, MetadataThatLacksOrLies) {
  for (const char* key :
       {"schema", "model_sha256", "suite_sha256", "participant", "version", "build", "details", "values",
        "reference_batch", "n_vocab", "taps", "tokens", "pieces", "rope_positions", "rope_cos", "rope_sin"}) {
    TestTrace trace = test_trace();
    trace.metadata.erase(key);
    expect_failure(trace, std::string("metadata ") + key + ": is missing");
  }
  expect_metadata_failure("schema", "crossval.trace/2", "schema: is `crossval.trace/2`");
  expect_metadata_failure("model_sha256", std::string(63, '1'), "is no SHA-256");
  expect_metadata_failure("suite_sha256", std::string(64, 'G'), "is no SHA-256");
  expect_metadata_failure("details", "[]", "details: is no JSON object");
  expect_metadata_failure("details", R"({"a":1})", "details: is no JSON object of texts");
  expect_metadata_failure("values", "some", "values: is `some`");
  for (const char* batch : {"0", "-1", "1.5", "x", "", "99999999999999999999"})
    expect_metadata_failure("reference_batch", batch, "reference_batch: is `");
  expect_metadata_failure("n_vocab", "4294967296", "n_vocab: is `");
  expect_metadata_failure("taps", "{}", "taps: is no JSON list");
  expect_metadata_failure("taps", R"(["l_out"])", "no tap's name");
  expect_metadata_failure("taps", "[1]", "no tap's name");
  expect_metadata_failure("taps", R"(["kq-0","result_output","kq-00"])", "taps: names kq-0 twice");
  expect_metadata_failure("taps", R"(["kq-0","l_out-0"])", "lacks result_output");
  expect_metadata_failure("tokens", "[]", "tokens: is no JSON object");
  expect_metadata_failure("tokens", "{}", "tokens: is no JSON object");
  expect_metadata_failure("tokens", R"({"a":[]})", "case `a` is no list of steps");
  expect_metadata_failure("tokens", R"({"a":[[]]})", "a step that is no list");
  expect_metadata_failure("tokens", R"({"a":[[3]]})", "outside the vocabulary of 3");
  expect_metadata_failure("tokens", R"({"a":[[-1]]})", "outside the vocabulary");
  expect_metadata_failure("tokens", R"({"a":[["1"]]})", "outside the vocabulary");
  expect_metadata_failure("pieces", "[]", "pieces: is no JSON object");
  expect_metadata_failure("pieces", R"({"0":"YQ="})", "pieces: is no");
  expect_metadata_failure("pieces", R"({"3":"YQ=="})", "pieces: is no");
  expect_metadata_failure("rope_cos", "AACAPw", "rope_cos: is no base64");
  expect_metadata_failure("rope_cos", "AACAPwAAAD8=", "rope_cos: and rope_sin have 2 and 3 values");
  expect_metadata_failure("rope_positions", "2", "for 2 positions");
  expect_metadata_failure("rope_sin", "AADAfwAAAD8AAAA/", "outside -1 to 1");  // a NaN
  // Neither brackets without end nor a promise of more than there is may cost memory or the stack.
  expect_metadata_failure("tokens", std::string(200000, '['), "tokens: is no JSON object");
  std::string many = R"({"a":[[1])";
  for (int i = 0; i < 100000; ++i) many += ",[1]";
  expect_metadata_failure("tokens", many + "]}", "promise more tensors than the 9 there are");
}

TEST(Trace, EveryTensorIsNeededAndKnown) {
  for (const bool hashed : {false, true})
    for (const auto& tensor : test_trace(hashed).tensors) {
      TestTrace trace = test_trace(hashed);
      trace.remove(tensor.name);
      expect_failure(trace, trace.tensors.size() < 9 ? "promise more tensors" : tensor.name + ": is missing");
    }
  for (const char* name : {"a/0", "a/0/nope-0", "a/00/l_out-0", "a/x/l_out-0", "a/-1/l_out-0", "/0/l_out-0",
                           "%2f/0/l_out-0", "%/0/l_out-0", "a/0/l_out-00", "a/0/l_out-0.sha1"}) {
    TestTrace trace = test_trace();
    trace.tensor("a/0/l_out-0").name = name;
    expect_failure(trace, "is no name of a trace's tensor");
  }
  for (const char* name : {"c/0/l_out-0", "a/2/l_out-0", "b%252Fc/0/l_out-0"}) {
    TestTrace trace = test_trace();
    trace.tensor("a/0/l_out-0").name = name;
    expect_failure(trace, "of a case or step that metadata tokens does not list");
  }
  TestTrace trace = test_trace();
  trace.tensor("a/0/l_out-0").name = "a/0/l_out-1";
  expect_failure(trace, "of a tap that metadata taps does not list");
}

TEST(Trace, ShapesAndTypes) {
  const auto reshaped = [](bool hashed, const std::string& name, std::vector<std::uint64_t> shape,
                           const std::string& dtype = "F32") {
    TestTrace trace = test_trace(hashed);
    testing::TestTensor& t = trace.tensor(name);
    t.shape = std::move(shape);
    t.dtype = dtype;
    return trace;
  };
  expect_failure(reshaped(false, "a/0/l_out-0", {1, 4}), "a/0/l_out-0: must be F32 of shape [2, width]");
  expect_failure(reshaped(false, "a/0/l_out-0", {4}), "must be F32 of shape [2, width]");
  expect_failure(reshaped(false, "a/0/l_out-0", {2, 8}, "U8"), "must be F32 of shape [2, width]");
  expect_failure(reshaped(false, "a/0/kq-0", {3, 1}), "must be F32 of shape [values]");
  expect_failure(reshaped(false, "a/0/result_output", {2, 1, 3}), "must be F32 of shape [2, width]");
  expect_failure(reshaped(true, "a/0/kq-0.sha256", {1, 64}, "U8"), "must be U8 of shape [2, 32]");
  expect_failure(reshaped(true, "a/0/kq-0.sha256", {2, 8}, "F32"), "must be U8 of shape [2, 32]");
  expect_failure(reshaped(true, "a/0/l_out-0", {2, 1}), "must be F32 of shape [1, width]");

  TestTrace wide = test_trace();
  wide.tensor("a/1/result_output") = {"a/1/result_output", "F32", {1, 4}, std::string(16, '\0')};
  expect_failure(wide, "must be of the vocabulary's width, 3");
  TestTrace mixed = test_trace(true);
  mixed.metadata["values"] = "full";
  expect_failure(mixed, "holds hashes, but metadata values is full");
  mixed = test_trace();
  mixed.metadata["values"] = "sha256";
  expect_failure(mixed, "kq-0: holds values, but metadata values is sha256");
}

}  // namespace
}  // namespace crossval
