#include "reference/process/process_participant.h"

#include <algorithm>
#include <optional>
#include <set>
#include <type_traits>

#include "engine/error.h"
#include "engine/kernels/thread_pool.h"
#include "reference/errors.h"
#include "reference/process/mapped_files.h"

namespace crossval {
namespace {

using nlohmann::ordered_json;

constexpr int kFailuresInARow = 3;
constexpr TapId kLogits{bitnet::Tap::result_output, -1};

Hello say_hello(Client& client) {
  return client.ask_and(parse_hello, {{"request", "hello"}, {"protocol", kProtocol}}, "hello");
}

class ProcessParticipant final : public Participant {
 public:
  explicit ProcessParticipant(const ProcessOptions& options) : options_(options) {
    if (options_.threads == 0) options_.threads = bitnet::physical_cores();
    options_.model = std::filesystem::absolute(options_.model);
  }

  /// False when it cannot do what is asked for.
  bool start() {
    client_ = std::make_unique<Client>(options_.program);
    const Hello hello = say_hello(*client_);
    if (options_.several && std::ranges::find(hello.options, "several") == hello.options.end()) return false;
    ordered_json request{{"request", "load"}};
    put_message_text(request, "model", options_.model.string());
    request["threads"] = options_.threads;
    if (options_.several) request["several"] = true;
    const bitnet::Config& config = options_.config;
    loaded_ = client_->ask_and(
        [&](const nlohmann::json& answer) {
          Loaded loaded = parse_loaded(answer);
          const auto same = [](const char* what, std::int64_t got, std::int64_t want) {
            if (got != want)
              throw Incomparable(std::string("it loaded a model of another ") + what + ": " +
                                 std::to_string(got) + ", the file has " + std::to_string(want));
          };
          same("vocabulary", loaded.n_vocab, config.n_vocab);
          same("number of layers", loaded.n_layer, config.n_layer);
          same("width", loaded.n_embd, config.n_embd);
          return loaded;
        },
        std::move(request), "load");
    identity_ = hello.identity;
    // An adapter says which library it drives; that is who takes part.
    if (const auto library = hello.identity.details.find("library");
        options_.program.name != "exec" && library != hello.identity.details.end())
      identity_.name = library->second;
    for (const auto& [key, value] : loaded_.details) identity_.details[key] = value;
    identity_.details.emplace("threads", std::to_string(options_.threads));
    taps_ = taps_named(loaded_.names_taps ? loaded_.taps : hello.taps, config);
    position_ = 0;
    lost_ = false;
    return true;
  }

  Identity identity() const override { return identity_; }
  std::vector<std::filesystem::path> binaries() const override {
    return client_ ? mapped_files(client_->pid()) : std::vector<std::filesystem::path>{};
  }
  std::int64_t n_vocab() const override { return loaded_.n_vocab; }
  std::vector<TapId> taps() const override { return taps_; }

  std::vector<Token> tokenize(std::string_view text, bool add_special, bool parse_special) override {
    return guarded([&] {
      ordered_json request{{"request", "tokenize"}};
      put_message_text(request, "text", text);
      request["add_special"] = add_special;
      request["parse_special"] = parse_special;
      return living().ask_and(parse_tokens, std::move(request),
                              "tokenize of " + std::to_string(text.size()) + " bytes");
    });
  }

  std::string piece(Token token) override {
    return guarded([&] {
      return living().ask_and([](const nlohmann::json& answer) { return parse_pieces(answer, 1).front(); },
                              {{"request", "detokenize"}, {"tokens", {token}}},
                              "detokenize of token " + std::to_string(token));
    });
  }

  void reset() override {
    if (went_well_) failures_ = 0;
    went_well_ = false;
    guarded([&] { living().ask({{"request", "reset"}, {"seq", 0}}, "reset"); });
    position_ = 0;
    lost_ = false;
  }

  void eval(std::span<const Token> tokens, const std::function<bool(TapId)>& wanted,
            const TensorSink& sink) override {
    const auto n = static_cast<std::int64_t>(tokens.size());
    std::set<TapId> due;
    std::vector<std::string> names;
    for (const TapId id : taps_) {
      if (!wanted(id)) continue;
      due.insert(id);
      if (id != kLogits) names.push_back(bitnet::to_string(id));
    }
    if (loaded_.n_ctx > 0 && position_ + n > loaded_.n_ctx)
      throw Incomparable(options_.program.name + ": its context of " + std::to_string(loaded_.n_ctx) +
                         " tokens is too short for " + std::to_string(position_ + n));
    const std::string what =
        "eval of " + std::to_string(n) + " tokens at position " + std::to_string(position_);
    guarded([&] {
      // A program started again knows nothing of the tokens before.
      if (lost_ || (position_ > 0 && !(client_ && client_->alive())))
        throw Invalid(options_.program.name + ": " + what +
                      ": its sequence was lost with an earlier failure: " + last_failure_);
      lost_ = true;  // unless it goes well
      Client& client = living();
      client.ask(
          {{"request", "eval"},
           {"seq", 0},
           {"pos", position_},
           {"tokens", tokens},
           {"taps", names},
           {"logits", due.contains(kLogits)}},
          what,
          [&](const nlohmann::json& message) {
            Tensor tensor = announced_tensor(message, options_.config, position_, n);
            if (due.erase(tensor.id) == 0)
              throw Breach("tensor `" + bitnet::to_string(tensor.id) + "` came twice, or unasked");
            return tensor;
          },
          sink);
      if (!due.empty())
        throw Incomparable(
            options_.program.name + ": it lists the tap " + bitnet::to_string(*due.begin()) +
            (due.size() == 1 ? std::string() : " and " + std::to_string(due.size() - 1) + " more") +
            ", but did not show it" + client.circumstances());
      lost_ = false;
    });
    position_ += n;
    went_well_ = true;
  }

  std::vector<float> evaluate(const bitnet::Operation&) override {
    throw std::logic_error("a program cannot be given the inputs of one operation");
  }

 private:
  // The program, started again where it has ended.
  Client& living() {
    if (client_ && client_->alive()) return *client_;
    if (failures_ >= kFailuresInARow)
      throw Invalid(options_.program.name + ": failed " + std::to_string(failures_) +
                    " times in a row and is not started again; the last time: " + last_failure_);
    client_.reset();
    try {
      start();
    } catch (const std::exception& e) {
      client_.reset();
      ++failures_;
      last_failure_ = e.what();
      throw Invalid(options_.program.name + ": could not be started again: " + e.what());
    }
    return *client_;
  }

  // Counts the failures that ended the program.
  template <typename Work>
  std::invoke_result_t<Work> guarded(Work&& work) {
    try {
      return work();
    } catch (const std::exception& e) {
      note_failure(e.what());
      throw;
    } catch (...) {  // whatever a sink throws to stop an evaluation
      note_failure("it ended while an evaluation was stopped");
      throw;
    }
  }

  void note_failure(const std::string& what) {
    if (!client_ || client_->alive()) return;
    client_.reset();
    ++failures_;
    went_well_ = false;
    last_failure_ = what;
  }

  ProcessOptions options_;
  std::unique_ptr<Client> client_;
  Identity identity_;
  Loaded loaded_;
  std::vector<TapId> taps_;
  std::int64_t position_ = 0;  // tokens in the sequence
  bool lost_ = false;          // the sequence, by a failure
  bool went_well_ = false;     // an evaluation since the last reset, and no failure after it
  int failures_ = 0;           // in a row
  std::string last_failure_;
};

}  // namespace

std::unique_ptr<Participant> make_process_participant(const ProcessOptions& options) {
  auto participant = std::make_unique<ProcessParticipant>(options);
  if (!participant->start()) return nullptr;
  return participant;
}

Hello probe_program(const ProgramOptions& options) {
  Client client(options);
  return say_hello(client);
}

}  // namespace crossval
