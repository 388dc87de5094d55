#include "reference/process/client.h"

#include <algorithm>
#include <cstdio>
#include <exception>

#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "reference/errors.h"

namespace crossval {
namespace {

using bitnet::gguf::printable;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

// Of the standard error kept, a message shows this much.
constexpr std::size_t kErrorsShown = 2000;
// A participant that has said goodbye may take this long to tidy up.
constexpr Seconds kFarewell{5};
constexpr Seconds kGrace{0.5};
// Its end may be this far behind the end of its output.
constexpr Seconds kDying{1};

std::string seconds_text(Seconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%g s", time.count());
  return text;
}

}  // namespace

Client::Client(const ProgramOptions& options)
    : name_(options.name),
      timeout_(options.timeout),
      child_(options.words, options.environment),
      framing_([this](std::span<std::byte> into) { return child_.read(into, deadline_); }) {}

Client::~Client() {
  if (!alive_) return;
  try {
    timeout_ = std::min(timeout_, kFarewell);
    ask({{"request", "bye"}}, "bye");
    child_.ended_within(timeout_);
  } catch (const std::exception&) {
    // Nothing depends on its last words.
  }
  child_.end(kGrace);
}

std::string Client::circumstances() const {
  std::string text = "; last request: " + last_request_ + "; " + child_.status();
  std::string errors = child_.errors();
  while (!errors.empty() && (errors.back() == '\n' || errors.back() == ' ')) errors.pop_back();
  if (errors.empty()) return text + "; nothing on its standard error";
  const bool cut = errors.size() > kErrorsShown;
  if (cut) errors.erase(0, errors.size() - kErrorsShown);
  return text + "; its standard error ends: " + (cut ? "..." : "") + printable(errors);
}

void Client::abandon(Seconds patience) {
  alive_ = false;
  child_.ended_within(patience);
  child_.end(kGrace);
}

void Client::fail(const std::string& what, Seconds patience) {
  abandon(patience);
  throw Invalid(name_ + ": " + what + circumstances());
}

void Client::wait_anew() {
  deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(timeout_);
}

std::optional<std::string> Client::next_line() {
  wait_anew();
  return framing_.line();
}

json Client::ask(nlohmann::ordered_json request, const std::string& what, const Announced& announced,
                 const TensorSink& sink) {
  if (!alive_) throw Invalid(name_ + ": it has ended" + circumstances());
  request["id"] = ++id_;
  std::string line = request.dump();
  if (line.size() > kMaxLine)
    throw bitnet::InputError(name_ + ": " + what + ": the request is longer than the 1 MiB of a line");
  last_request_ = what + " (id " + std::to_string(id_) + ")";
  // What `sink` threw waits until the answer is complete, so that the next request meets the next answer.
  std::exception_ptr interrupted;
  try {
    return exchange(line + "\n", what, announced, sink, interrupted);
  } catch (const Breach& e) {
    if (!interrupted) fail(e.what());
  } catch (const FramingError& e) {
    if (!interrupted) fail(e.what(), kDying);
  } catch (const TimedOut&) {
    if (!interrupted) fail("no answer for " + seconds_text(timeout_));
  } catch (const ClosedInput&) {
    if (!interrupted) fail("it ended, or closed its standard input, before it read the request", kDying);
  }
  abandon(Seconds(0));
  std::rethrow_exception(interrupted);
}

json Client::exchange(const std::string& request, const std::string& what, const Announced& announced,
                      const TensorSink& sink, std::exception_ptr& interrupted) {
  if (framing_.unread() > 0)
    throw Breach(std::to_string(framing_.unread()) + " bytes on its standard output that nobody asked for");
  try {
    child_.write(request, timeout_);
  } catch (const TimedOut&) {
    fail("it did not read the request for " + seconds_text(timeout_));
  }
  for (;;) {
    const auto line = next_line();
    if (!line) throw FramingError("it ended, or closed its standard output, before it answered");
    json message = parse_line(*line);
    if (announces_tensor(message)) {
      if (!announced) throw Breach("a tensor that nobody asked for");
      Tensor tensor = announced(message);
      wait_anew();
      framing_.values(tensor.values);
      try {
        if (!interrupted) sink(std::move(tensor));
      } catch (...) {
        interrupted = std::current_exception();
      }
      continue;
    }
    if (message.value("id", json()) != json(id_))
      throw Breach("an answer with another id than the request: `" + printable(message.dump(), 80) + "`");
    const auto ok = message.find("ok");
    if (ok == message.end() || !ok->is_boolean()) throw Breach("an answer without `ok`");
    if (interrupted) std::rethrow_exception(interrupted);
    if (ok->get<bool>()) return message;
    const auto text = [&](const char* key) {
      const auto it = message.find(key);
      return it != message.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    const std::string error = name_ + ": " + what + ": " + printable(text("error"), 1000);
    if (text("kind") == "input") throw bitnet::InputError(error);
    if (text("kind") == "incomparable") throw Incomparable(error);
    throw Invalid(error + circumstances());
  }
}

}  // namespace crossval
