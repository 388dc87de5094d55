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

/// The instructions are encoded as AVX2's are and need no more of the operating system.
inline bool avx_vnni() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  // Leaf 7 says in EAX how many subleaves there are.
  if (!avx2() || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || eax < 1) return false;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;
}

/// The builtin looks at XCR0 too: without the 512-bit and mask registers it denies all of AVX-512.
inline bool avx512vnni() {
  return avx2() && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("avx512vnni") != 0;
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
