#include "reference/llama_adapter/protocol.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "reference/errors.h"
#include "reference/process/messages.h"

namespace crossval::llama_adapter {
namespace {

using bitnet::TapId;
using nlohmann::json;  // requests
using Reply = nlohmann::ordered_json;

Reply failure(const std::string& what, const char* kind) {
  return {{"ok", false}, {"error", what}, {"kind", kind}};
}

std::vector<std::string> every_base_name() {
  std::vector<std::string> names;
  for (int tap = 0; tap < bitnet::kTapCount; ++tap)
    names.emplace_back(bitnet::base_name(static_cast<bitnet::Tap>(tap)));
  return names;
}

void only_sequence_0(const json& request) {
  if (request.value("seq", 0) != 0) throw Incomparable("this participant holds sequence 0 alone");
}

}  // namespace

void Protocol::serve() {
  for (;;) {
    std::optional<json> request;
    try {
      request = wire_->next();
    } catch (const json::exception& error) {
      wire_->line(failure(std::string("the request is no JSON: ") + error.what(), "failure"));
      continue;
    }
    if (!request) return;
    Reply reply;
    try {
      reply = answer(*request);
      reply["ok"] = true;
    } catch (const StreamError&) {
      throw;
    } catch (const bitnet::InputError& error) {
      reply = failure(error.what(), "input");
    } catch (const Incomparable& error) {
      reply = failure(error.what(), "incomparable");
    } catch (const std::exception& error) {
      reply = failure(error.what(), "failure");
    }
    if (request->is_object()) reply["id"] = request->value("id", json());
    wire_->line(reply);
    if (request->is_object() && request->value("request", json()) == "bye") return;
  }
}

Reply Protocol::answer(const json& request) {
  const auto name = request.at("request").get<std::string>();
  if (name == "hello") return hello(request);
  if (name == "load") return load(request);
  if (name == "tokenize") return tokenize(request);
  if (name == "detokenize") return detokenize(request);
  if (name == "eval") return eval(request);
  if (name == "reset") {
    only_sequence_0(request);
    session().reset();
    return Reply::object();
  }
  if (name == "bye") return Reply::object();
  throw std::runtime_error("unknown request " + name);
}

Reply Protocol::hello(const json& request) const {
  if (request.value("protocol", 0) != kProtocol)
    throw Incomparable("this program speaks protocol " + std::to_string(kProtocol));
  return {{"protocol", kProtocol},
          {"name", "llama-adapter"},
          {"version", CROSSVAL_VERSION},
          {"build", build_},
          {"details", details_},
          {"taps", every_base_name()},
          {"options", {"several", "tokens_at_once"}}};
}

Reply Protocol::load(const json& request) {
  if (session_) throw std::runtime_error("load comes once");
  SessionOptions options;
  options.model = message_text(request, "model");
  options.threads = std::max(1, request.value("threads", 1));
  options.several = request.value("several", false);
  options.tokens_at_once = request.value("tokens_at_once", std::int64_t{0});
  session_ = std::make_unique<Session>(options, *log_);

  std::vector<std::string> taps;
  for (const TapId id : session_->plan().taps()) taps.push_back(bitnet::to_string(id));
  Reply details = {{"architecture", session_->architecture()},
                   {"model", session_->description()},
                   {"tokens_at_once", std::to_string(session_->chunk())}};
  for (const auto& [key, value] : session_->rounding()) details[key] = value;
  if (!session_->plan().activation().empty()) details["ffn_act_node"] = session_->plan().activation();
  return {{"n_vocab", session_->n_vocab()},
          {"n_layer", session_->n_layer()},
          {"n_embd", session_->n_embd()},
          {"n_ctx", session_->n_ctx()},
          {"taps", taps},
          {"details", details}};
}

Session& Protocol::session() {
  if (!session_) throw std::runtime_error("no model is loaded");
  return *session_;
}

Reply Protocol::tokenize(const json& request) {
  return {{"tokens", session().tokenize(message_text(request, "text"), request.value("add_special", true),
                                        request.value("parse_special", false))}};
}

Reply Protocol::detokenize(const json& request) {
  Reply pieces = Reply::array();
  for (const auto token : request.at("tokens").get<std::vector<llama_token>>()) {
    Reply piece = Reply::object();
    put_message_text(piece, "piece", session().piece(token));
    pieces.push_back(std::move(piece));
  }
  return {{"pieces", std::move(pieces)}};
}

Reply Protocol::eval(const json& request) {
  only_sequence_0(request);
  Session& at = session();
  if (const auto pos = request.value("pos", at.position()); pos != at.position())
    throw std::runtime_error("eval: pos is " + std::to_string(pos) + ", the sequence has " +
                             std::to_string(at.position()) + " tokens");
  std::set<TapId> wanted;
  for (const auto& name : request.value("taps", std::vector<std::string>())) {
    const auto id = bitnet::parse_tap(name);
    if (!id) throw Incomparable("eval: no tap is named " + name);
    wanted.insert(*id);
  }
  if (request.value("logits", false)) wanted.insert({bitnet::Tap::result_output, -1});

  at.eval(request.at("tokens").get<std::vector<llama_token>>(), wanted, [&](TapId id, const Rows& rows) {
    Reply head = {{"tensor", bitnet::to_string(id)}, {"rows", rows.widths.size()}};
    bool even = true;
    for (const auto width : rows.widths) even = even && width == rows.widths.front();
    if (even)
      head["width"] = rows.widths.front();
    else
      head["widths"] = rows.widths;
    wire_->line(head);
    wire_->values(rows.values);
  });
  Reply reply = Reply::object();
  if (!at.plan().activation().empty()) reply["details"] = {{"ffn_act_node", at.plan().activation()}};
  return reply;
}

}  // namespace crossval::llama_adapter
