#pragma once
// Our side of the participant protocol: one child, its requests and their answers.

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "reference/errors.h"
#include "reference/process/child.h"
#include "reference/process/framing.h"
#include "reference/process/messages.h"

namespace crossval {

/// How to start a program that speaks the protocol.
struct ProgramOptions {
  std::vector<std::string> words;  // the program and its arguments
  std::string name = "exec";       // what messages call it
  Seconds timeout{120};            // for each request, line and tensor
  std::map<std::string, std::string> environment;
};

class Client {
 public:
  /// Starts the program. Throws InputError when it cannot be started.
  explicit Client(const ProgramOptions& options);
  /// Says `bye` where there is still somebody to hear it, and ends the process group.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Given a tensor as it was announced (checked, its values not yet read), or throws Breach.
  using Announced = std::function<Tensor(const nlohmann::json&)>;

  /// Sends a request and returns its answer; tensors before it go to `sink` in their order. `what` says in
  /// messages what was asked ("eval of 3 tokens at position 5"). An answer that is an error is thrown by its
  /// kind: InputError, Incomparable, Invalid; the child lives on. So it does after an exception of `sink`,
  /// which is passed on after the rest of the answer was read. Everything that is against the protocol ends
  /// the child's process group and is thrown as Invalid, with the last request, how the child ended and the
  /// end of its standard error.
  nlohmann::json ask(nlohmann::ordered_json request, const std::string& what,
                     const Announced& announced = nullptr, const TensorSink& sink = nullptr);
  /// The same, and what `read` makes of the answer. What it throws is thrown on with the name and the
  /// circumstances: Incomparable as itself, a Breach as one of the protocol.
  template <typename Read>
  auto ask_and(Read&& read, nlohmann::ordered_json request, const std::string& what) {
    const nlohmann::json answer = ask(std::move(request), what);
    try {
      return read(answer);
    } catch (const Breach& e) {
      fail(e.what());
    } catch (const Incomparable& e) {
      throw Incomparable(name_ + ": " + e.what() + circumstances());
    }
  }

  /// Whether requests can still be sent.
  bool alive() const { return alive_; }
  pid_t pid() const { return child_.pid(); }
  /// "; last request: ...; exit status 3; its standard error ends: ..." for a message.
  std::string circumstances() const;

 private:
  void abandon(Seconds patience);
  [[noreturn]] void fail(const std::string& what, Seconds patience = Seconds(0.1));
  nlohmann::json exchange(const std::string& request, const std::string& what, const Announced& announced,
                          const TensorSink& sink, std::exception_ptr& interrupted);
  void wait_anew();
  std::optional<std::string> next_line();

  std::string name_;
  Seconds timeout_;
  Child child_;
  Framing framing_;
  std::chrono::steady_clock::time_point deadline_;
  std::int64_t id_ = 0;
  std::string last_request_ = "none";
  bool alive_ = true;
};

}  // namespace crossval
