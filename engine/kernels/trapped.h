#pragma once
// Test support: a kernel that touches a forbidden page fails its check, with the case that did it, instead of
// ending the program. Kernels own nothing and call nobody back, so that a jump out of one leaves nothing
// behind.

#include <setjmp.h>
#include <signal.h>

#include <string>
#include <type_traits>

namespace bitnet::testing_support {

/// What a thread goes back to when it faults.
struct Trap {
  sigjmp_buf back;
  bool armed = false;
  bool sprung = false;
};

inline thread_local Trap trap;

inline void spring(int signal, siginfo_t*, void*) {
  if (!trap.armed) {  // not ours: the instruction faults once more, as if we had never been here
    ::signal(signal, SIG_DFL);
    return;
  }
  trap.armed = false;
  trap.sprung = true;
  siglongjmp(trap.back, 1);
}

inline bool set_trap() {
  struct sigaction action = {};
  action.sa_sigaction = spring;
  action.sa_flags = SA_SIGINFO;
  return sigaction(SIGSEGV, &action, nullptr) == 0 && sigaction(SIGBUS, &action, nullptr) == 0;
}

/// A function of the kernel's own type that calls it within the trap. `which` tells kernels of one type apart
/// that are in use at the same time.
template <int which, class Result, class... Arguments>
class Trapped {
 public:
  using Function = Result (*)(Arguments...);

  static Function around(Function kernel) {
    static const bool set = set_trap();
    kernel_ = set ? kernel : nullptr;
    return run;
  }

 private:
  static Result run(Arguments... arguments) {
    if (sigsetjmp(trap.back, 1) != 0) return Result();  // the signal is masked when we come back
    trap.armed = true;
    if constexpr (std::is_void_v<Result>) {
      kernel_(arguments...);
      trap.armed = false;
    } else {
      const Result result = kernel_(arguments...);
      trap.armed = false;
      return result;
    }
  }

  static inline thread_local Function kernel_ = nullptr;
};

template <int which, class Result, class... Arguments>
auto trapped(Result (*kernel)(Arguments...)) {
  return Trapped<which, Result, Arguments...>::around(kernel);
}

/// What `check` finds of the kernel; that either faults is a difference too.
template <class Check, class Kernel, class Case>
std::string check_trapped(Check check, Kernel kernel, Kernel scalar, const Case& c) {
  trap.sprung = false;
  std::string text = check(trapped<0>(kernel), trapped<1>(scalar), c);
  return trap.sprung ? "memory was touched that is nobody's\n" + text : text;
}

}  // namespace bitnet::testing_support
