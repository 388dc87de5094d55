#pragma once
// What this machine can run, one question for each instruction set in kernels.inc.

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace bitnet::cpu {

inline bool any() {
  return true;
}

#if defined(__x86_64__)
inline bool avx2() {
  // The builtin asks the operating system too, whether it saves the wide registers. clang 14's does not know
  // F16C.
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  const bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
  return f16c && __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
}
#endif

#if defined(__aarch64__)
/// Every aarch64 processor that Linux runs on has it.
inline bool neon() {
  return (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
}

inline bool neon_dotprod() {
  return neon() && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

/// Its kernels use dot products too.
inline bool neon_i8mm() {
  return neon_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}
#endif

}  // namespace bitnet::cpu
