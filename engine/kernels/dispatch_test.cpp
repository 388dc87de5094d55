// What each name selects, and that the kernel meant is the kernel run.

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "engine/error.h"
#include "engine/kernels/counted_kernels.h"
#include "engine/kernels/cpu.h"
#include "engine/kernels/declare.h"

namespace bitnet {
namespace {

/// Sets an environment variable, or removes it, until the end of the scope.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    if (value != nullptr) {
      setenv(name, value, 1);
    } else {
      unsetenv(name);
    }
  }
  ~Environment() {
    if (before_) {
      setenv(name_, before_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

constexpr const char* kForce = "CROSSVAL_FORCE_ISA";

std::string names() {
  std::string text;
  for (const Kernels* kernels : compiled_kernels()) text += std::string(kernels->name) + " ";
  return text;
}

std::string error_of(std::string_view isa) {
  try {
    select_kernels(isa);
  } catch (const InputError& error) {
    return error.what();
  }
  return {};
}

TEST(Dispatch, CompiledTablesBestFirst) {
#if defined(__x86_64__)
  EXPECT_EQ(names(), "avx512vnni avx_vnni avx2 scalar ");
#elif defined(__aarch64__)
  EXPECT_EQ(names(), "neon_i8mm neon_dotprod neon scalar ");
#else
  EXPECT_EQ(names(), "scalar ");
#endif
}

TEST(Dispatch, EveryEntryOfEveryTableIsSet) {
  for (const Kernels* kernels : compiled_kernels()) {
    EXPECT_FALSE(kernels->description.empty()) << kernels->name;
#define CROSSVAL_KERNEL(isa, operation, function) EXPECT_NE(kernels->operation, nullptr) << kernels->name;
#include "engine/kernels/kernels.inc"
  }
}

TEST(Dispatch, EachKernelHasTheNameOfItsOwnSet) {
#define CROSSVAL_KERNEL(isa, operation, function)                                                       \
  for (const Kernels* kernels : compiled_kernels())                                                     \
    if (kernels->operation == isa::function) {                                                          \
      const std::size_t at = offsetof(Kernels, operation) - offsetof(Kernels, quantize_row);            \
      EXPECT_EQ(kernel_names(*kernels)[at / sizeof(void (*)())], #isa "::" #function) << kernels->name; \
    }
#include "engine/kernels/kernels.inc"
  for (const Kernels* kernels : compiled_kernels())
    for (const std::string_view name : kernel_names(*kernels)) EXPECT_FALSE(name.empty()) << kernels->name;
}

TEST(Dispatch, ScalarIsPinned) {
  const Environment none(kForce, nullptr);
  const Kernels& k = select_kernels("scalar");
  EXPECT_EQ(k.name, "scalar");
  EXPECT_EQ(k.quantize_row, scalar::quantize_row);
  EXPECT_EQ(k.ternary_matmul, scalar::ternary_matmul);
  EXPECT_EQ(k.matmul_f16, scalar::matmul_f16);
  EXPECT_EQ(k.matmul_f32, scalar::matmul_f32);
  EXPECT_EQ(k.matmul_bf16, scalar::matmul_bf16);
  EXPECT_EQ(k.matmul_q8_0, scalar::matmul_q8_0);
  EXPECT_EQ(k.matmul_q5_0, scalar::matmul_q5_0);
  EXPECT_EQ(k.matmul_q4_k, scalar::matmul_q4_k);
  EXPECT_EQ(k.matmul_q4_0, scalar::matmul_q4_0);
  EXPECT_EQ(k.quantize_blocks, scalar::quantize_blocks);
  EXPECT_EQ(k.matmul_q6_k, scalar::matmul_q6_k);
  EXPECT_EQ(k.decode_bf16, scalar::decode_bf16);
  EXPECT_EQ(k.decode_q8_0, scalar::decode_q8_0);
  EXPECT_EQ(k.decode_q5_0, scalar::decode_q5_0);
  EXPECT_EQ(k.decode_q4_k, scalar::decode_q4_k);
  EXPECT_EQ(k.decode_q4_0, scalar::decode_q4_0);
  EXPECT_EQ(k.decode_q6_k, scalar::decode_q6_k);
  EXPECT_EQ(k.rms_norm, scalar::rms_norm);
  EXPECT_EQ(k.rope, scalar::rope);
  EXPECT_EQ(k.attn_scores, scalar::attn_scores);
  EXPECT_EQ(k.softmax, scalar::softmax);
  EXPECT_EQ(k.attn_context, scalar::attn_context);
  EXPECT_EQ(k.add, scalar::add);
  EXPECT_EQ(k.mul, scalar::mul);
  EXPECT_EQ(k.relu_squared, scalar::relu_squared);
  EXPECT_EQ(k.silu, scalar::silu);
  EXPECT_EQ(k.to_f16, scalar::to_f16);
  EXPECT_EQ(k.to_f32, scalar::to_f32);
  EXPECT_EQ(k.screen_row, scalar::screen_row);
  EXPECT_EQ(k.screen_bounds, scalar::screen_bounds);
  EXPECT_EQ(k.screen_bounds_int8, scalar::screen_bounds_int8);
  EXPECT_EQ(k.argmax, scalar::argmax);
}

#if defined(__x86_64__)
/// What all of them share.
void expect_shared(const Kernels& k) {
  EXPECT_EQ(k.quantize_row, avx2::quantize_row);
  EXPECT_EQ(k.matmul_f16, avx2::matmul_f16);
  EXPECT_EQ(k.matmul_q5_0, avx2::matmul_q5_0);
  EXPECT_EQ(k.matmul_q4_k, avx2::matmul_q4_k);
  EXPECT_EQ(k.matmul_q4_0, avx2::matmul_q4_0);
  EXPECT_EQ(k.quantize_blocks, scalar::quantize_blocks);
  EXPECT_EQ(k.decode_bf16, avx2::decode_bf16);
  EXPECT_EQ(k.decode_q8_0, avx2::decode_q8_0);
  EXPECT_EQ(k.decode_q5_0, avx2::decode_q5_0);
  EXPECT_EQ(k.decode_q4_k, avx2::decode_q4_k);
  EXPECT_EQ(k.decode_q4_0, avx2::decode_q4_0);
  EXPECT_EQ(k.decode_q6_k, scalar::decode_q6_k);
  EXPECT_EQ(k.rms_norm, avx2::rms_norm);
  EXPECT_EQ(k.rope, avx2::rope);
  EXPECT_EQ(k.add, avx2::add);
  EXPECT_EQ(k.mul, avx2::mul);
  EXPECT_EQ(k.relu_squared, avx2::relu_squared);
  EXPECT_EQ(k.to_f16, avx2::to_f16);
  EXPECT_EQ(k.to_f32, avx2::to_f32);
  EXPECT_EQ(k.screen_row, avx2::screen_row);
  EXPECT_EQ(k.argmax, avx2::argmax);
}

/// What those without AVX-512 share; each may have integer products of its own.
void expect_avx2(const Kernels& k) {
  expect_shared(k);
  EXPECT_EQ(k.matmul_f32, avx2::matmul_f32);
  EXPECT_EQ(k.matmul_bf16, avx2::matmul_bf16);
  EXPECT_EQ(k.matmul_q8_0, avx2::matmul_q8_0);
  EXPECT_EQ(k.attn_scores, avx2::attn_scores);
  EXPECT_EQ(k.softmax, avx2::softmax);
  EXPECT_EQ(k.attn_context, avx2::attn_context);
  EXPECT_EQ(k.screen_bounds, avx2::screen_bounds);
  EXPECT_EQ(k.screen_bounds_int8, avx2::screen_bounds_int8);
  EXPECT_EQ(k.silu, avx2::silu);
}

TEST(Dispatch, Avx2IsPinned) {
  const Kernels& k = *compiled_kernels()[2];
  EXPECT_EQ(k.name, "avx2");
  EXPECT_EQ(k.ternary_matmul, avx2::ternary_matmul);
  EXPECT_EQ(k.matmul_q6_k, avx2::matmul_q6_k);
  expect_avx2(k);
}

TEST(Dispatch, AvxVnniIsPinned) {
  const Kernels& k = *compiled_kernels()[1];
  EXPECT_EQ(k.name, "avx_vnni");
  EXPECT_EQ(k.ternary_matmul, avx_vnni::ternary_matmul);
  EXPECT_EQ(k.matmul_q6_k, avx2::matmul_q6_k);
  expect_avx2(k);
}

TEST(Dispatch, Avx512VnniIsPinned) {
  const Kernels& k = *compiled_kernels()[0];
  EXPECT_EQ(k.name, "avx512vnni");
  expect_shared(k);
  EXPECT_EQ(k.ternary_matmul, avx512vnni::ternary_matmul);
  EXPECT_EQ(k.matmul_q6_k, avx512vnni::matmul_q6_k);
  EXPECT_EQ(k.matmul_f32, avx512vnni::matmul_f32);
  EXPECT_EQ(k.matmul_bf16, avx512vnni::matmul_bf16);
  EXPECT_EQ(k.matmul_q8_0, avx512vnni::matmul_q8_0);
  EXPECT_EQ(k.attn_scores, avx512vnni::attn_scores);
  EXPECT_EQ(k.softmax, avx512vnni::softmax);
  EXPECT_EQ(k.attn_context, avx512vnni::attn_context);
  EXPECT_EQ(k.silu, avx512vnni::silu);
  EXPECT_EQ(k.screen_bounds, avx512vnni::screen_bounds);
  EXPECT_EQ(k.screen_bounds_int8, avx512vnni::screen_bounds_int8);
}
#endif

#if defined(__aarch64__)
/// What all of them share; the ternary product is each one's own.
void expect_neon(const Kernels& k) {
  EXPECT_EQ(k.quantize_row, neon::quantize_row);
  EXPECT_EQ(k.matmul_f16, neon::matmul_f16);
  EXPECT_EQ(k.matmul_f32, neon::matmul_f32);
  EXPECT_EQ(k.matmul_bf16, scalar::matmul_bf16);
  EXPECT_EQ(k.matmul_q8_0, scalar::matmul_q8_0);
  EXPECT_EQ(k.matmul_q5_0, scalar::matmul_q5_0);
  EXPECT_EQ(k.matmul_q4_k, scalar::matmul_q4_k);
  EXPECT_EQ(k.matmul_q4_0, scalar::matmul_q4_0);
  EXPECT_EQ(k.quantize_blocks, scalar::quantize_blocks);
  EXPECT_EQ(k.matmul_q6_k, scalar::matmul_q6_k);
  EXPECT_EQ(k.decode_bf16, scalar::decode_bf16);
  EXPECT_EQ(k.decode_q8_0, scalar::decode_q8_0);
  EXPECT_EQ(k.decode_q5_0, scalar::decode_q5_0);
  EXPECT_EQ(k.decode_q4_k, scalar::decode_q4_k);
  EXPECT_EQ(k.decode_q4_0, scalar::decode_q4_0);
  EXPECT_EQ(k.decode_q6_k, scalar::decode_q6_k);
  EXPECT_EQ(k.rms_norm, neon::rms_norm);
  EXPECT_EQ(k.rope, neon::rope);
  EXPECT_EQ(k.attn_scores, neon::attn_scores);
  EXPECT_EQ(k.softmax, neon::softmax);
  EXPECT_EQ(k.attn_context, neon::attn_context);
  EXPECT_EQ(k.add, neon::add);
  EXPECT_EQ(k.mul, neon::mul);
  EXPECT_EQ(k.relu_squared, neon::relu_squared);
  EXPECT_EQ(k.silu, neon::silu);
  EXPECT_EQ(k.to_f16, neon::to_f16);
  EXPECT_EQ(k.to_f32, neon::to_f32);
  EXPECT_EQ(k.argmax, neon::argmax);
  EXPECT_EQ(k.screen_row, scalar::screen_row);
  EXPECT_EQ(k.screen_bounds, scalar::screen_bounds);
  EXPECT_EQ(k.screen_bounds_int8, scalar::screen_bounds_int8);
}

TEST(Dispatch, NeonIsPinned) {
  const Kernels& k = *compiled_kernels()[2];
  EXPECT_EQ(k.name, "neon");
  EXPECT_EQ(k.ternary_matmul, neon::ternary_matmul);
  expect_neon(k);
}

TEST(Dispatch, NeonDotprodIsPinned) {
  const Kernels& k = *compiled_kernels()[1];
  EXPECT_EQ(k.name, "neon_dotprod");
  EXPECT_EQ(k.ternary_matmul, neon_dotprod::ternary_matmul);
  expect_neon(k);
}

TEST(Dispatch, NeonI8mmIsPinned) {
  const Kernels& k = *compiled_kernels()[0];
  EXPECT_EQ(k.name, "neon_i8mm");
  EXPECT_EQ(k.ternary_matmul, neon_i8mm::ternary_matmul);
  expect_neon(k);
}
#endif

TEST(Dispatch, TheBestSupportedIsTakenWhereNothingIsForced) {
  const Environment none(kForce, nullptr);
  const Kernels& chosen = select_kernels();
  for (const Kernels* kernels : compiled_kernels()) {
    if (!supported(*kernels)) continue;
    EXPECT_EQ(&chosen, kernels);
    break;
  }
  const Environment empty(kForce, "");
  EXPECT_EQ(&select_kernels(), &chosen);
}

TEST(Dispatch, TheEnvironmentForcesAndTheArgumentOverrides) {
  const Environment forced(kForce, "scalar");
  EXPECT_EQ(select_kernels().name, "scalar");
  const Environment wrong(kForce, "mmx");
  EXPECT_EQ(select_kernels("scalar").name, "scalar");
}

TEST(Dispatch, AnUnknownNameIsAnErrorThatListsThoseAvailable) {
  const Environment none(kForce, nullptr);
  for (const char* name : {"mmx", "AVX2", "avx", "scalar "}) {
    const std::string error = error_of(name);
    EXPECT_NE(error.find("--isa: unknown instruction set '" + std::string(name) + "'"), std::string::npos)
        << error;
    EXPECT_NE(error.find("scalar"), std::string::npos) << error;
  }
  const Environment wrong(kForce, "neon9");
  EXPECT_NE(error_of("").find("CROSSVAL_FORCE_ISA: unknown instruction set 'neon9'"), std::string::npos);
}

TEST(Dispatch, AnUnsupportedNameIsAnErrorOfItsOwn) {
  const Environment none(kForce, nullptr);
  for (const Kernels* kernels : compiled_kernels()) {
    if (supported(*kernels)) {
      EXPECT_EQ(&select_kernels(kernels->name), kernels);
    } else {
      EXPECT_NE(error_of(kernels->name).find("this machine cannot run"), std::string::npos);
    }
  }
}

/// The test that runs this binary on an emulated old machine says what it must get.
TEST(Dispatch, TheMachineGetsWhatItShould) {
  std::string expected = "scalar";
#if defined(__x86_64__)
  if (cpu::avx2()) expected = "avx2";
  if (cpu::avx_vnni()) expected = "avx_vnni";
  if (cpu::avx512vnni()) expected = "avx512vnni";
#elif defined(__aarch64__)
  if (cpu::neon()) expected = "neon";
  if (cpu::neon_dotprod()) expected = "neon_dotprod";
  if (cpu::neon_i8mm()) expected = "neon_i8mm";
#endif
  if (const char* told = std::getenv("CROSSVAL_TEST_EXPECT_ISA")) expected = told;
  const Environment none(kForce, nullptr);
  EXPECT_EQ(select_kernels().name, expected);
}

}  // namespace
}  // namespace bitnet
