#include "crossval/run/plan.h"

#include <algorithm>

#include "crossval/compare/gates.h"
#include "crossval/errors.h"
#include "crossval/mistakes/text_mistake.h"
#include "crossval/records/sha256.h"
#include "engine/error.h"
#include "engine/gguf/printable.h"
#include "engine/tokenizer/chat_template.h"

namespace crossval {

using bitnet::InputError;

Selection select_cases(const Suite& suite, const std::string& filter, const Shard& shard) {
  std::vector<const Case*> matching;
  for (const Case& c : suite.cases)
    if (matches_glob(filter, c.id)) matching.push_back(&c);
  if (matching.empty())
    throw InputError("--filter " + filter.substr(0, 60) + ": matches no case of " + suite.path);
  const auto planned = std::ssize(matching);
  if (shard.index >= planned)
    throw InputError(shard.from + ": shard " + to_string(shard) + " is empty: there are " +
                     std::to_string(planned) + " cases; deal them out to " + std::to_string(planned) +
                     " shards at most");
  std::vector<std::string_view> ids;
  ids.reserve(matching.size());
  for (const Case* c : matching) ids.push_back(c->id);
  Selection selection{.cases = {}, .planned = planned, .sha256 = hash_of_plan(ids)};
  for (std::int64_t i = shard.index; i < planned; i += shard.count)
    selection.cases.push_back(*matching[static_cast<std::size_t>(i)]);
  return selection;
}

std::string describe(const Shard& shard, const Selection& selection) {
  return "shard " + to_string(shard) + " (counted from 0), from " + shard.from + ": " +
         std::to_string(selection.cases.size()) + " of " + std::to_string(selection.planned) + " cases";
}

std::string hash_of_plan(const std::vector<std::string_view>& ids) {
  std::string text;
  // An id may hold any character, so its length stands before it.
  for (const std::string_view id : ids) text.append(std::to_string(id.size())).append(" ").append(id);
  return sha256_hex(text);
}

PlannedCase plan_case(const Case& spec, const bitnet::Model& model, const std::string& suite_path) {
  PlannedCase planned{.spec = spec, .prompt = {}, .tokens = spec.tokens, .remarks = {}};
  const auto fail = [&](const std::string& what) {
    throw InputError(suite_path + ": case `" + spec.id + "`: " + what);
  };
  const bitnet::Tokenizer& tokenizer = model.tokenizer();
  if (spec.tokens.empty()) {
    const bitnet::TemplateChoice choice =
        bitnet::choose_chat_template(spec.chat_template, tokenizer.chat_template(), model.config().name);
    if (!choice.reason.empty())
      planned.remarks.push_back("template " + std::string(bitnet::to_string(choice.chosen)) + ": " +
                                choice.reason);
    planned.prompt = bitnet::render_chat(choice.chosen, spec.messages);
    planned.tokens = tokenizer.encode(planned.prompt, /*add_special=*/true, /*parse_special=*/true);
    if (const std::string doubled = tokenizer.doubled_specials(planned.tokens); !doubled.empty())
      planned.remarks.push_back(doubled);
    if (planned.tokens.empty()) fail("the prompt has no tokens; give it some text");
  }
  const auto check_ids = [&](const std::vector<Token>& ids, const char* field) {
    for (Token id : ids)
      if (id < 0 || id >= tokenizer.size())
        fail(std::string(field) + ": id " + std::to_string(id) + " is outside the vocabulary of " +
             std::to_string(tokenizer.size()));
  };
  check_ids(planned.tokens, "tokens");
  check_ids(spec.continuation, "continuation");
  const std::int64_t generated =
      spec.continuation.empty() ? spec.max_tokens : static_cast<std::int64_t>(spec.continuation.size());
  const auto prompt = static_cast<std::int64_t>(planned.tokens.size());
  if (prompt + generated > model.config().n_ctx)
    fail("the prompt has " + std::to_string(prompt) + " tokens; with " + std::to_string(generated) +
         " to generate that exceeds the model's context of " + std::to_string(model.config().n_ctx) +
         "; shorten the prompt or lower max_tokens");
  return planned;
}

std::vector<PlannedCase> plan_cases(std::vector<Case> cases, std::int64_t max_tokens,
                                    const bitnet::Model& model, const std::string& suite_path) {
  std::vector<PlannedCase> planned;
  for (Case& c : cases) {
    if (max_tokens >= 0) c.max_tokens = max_tokens;
    planned.push_back(plan_case(c, model, suite_path));
  }
  return planned;
}

std::vector<std::string> remarks_of(const std::vector<PlannedCase>& planned) {
  struct About {
    std::string first;
    std::size_t others = 0;
  };
  std::vector<std::pair<std::string, About>> found;  // in the order of the cases
  for (const PlannedCase& c : planned) {
    for (const std::string& remark : c.remarks) {
      const auto known = std::ranges::find(found, remark, &std::pair<std::string, About>::first);
      if (known == found.end())
        found.emplace_back(remark, About{c.spec.id});
      else
        ++known->second.others;
    }
  }
  std::vector<std::string> lines;
  lines.reserve(found.size());
  for (const auto& [remark, about] : found)
    lines.push_back("case `" + about.first + "`" +
                    (about.others > 0 ? " and " + std::to_string(about.others) + " more" : "") + ": " +
                    remark);
  return lines;
}

std::optional<std::string> check_tokenization(const PlannedCase& planned, const bitnet::Model& model,
                                              Participant& participant, std::string_view side) {
  if (!planned.spec.tokens.empty()) return std::nullopt;  // ids were given
  const bool text = bitnet::gguf::valid_utf8(planned.prompt);
  const auto outside = [&](const std::string& why) {
    return "case `" + planned.spec.id +
           "`: the prompt is no UTF-8, so the ids are those of the model file's " + "tokenizer; the " +
           std::string(side) + "'s own are not compared: " + why;
  };
  std::vector<Token> ids;
  try {
    ids = participant.tokenize(planned.prompt, true, true);
  } catch (const InputError& e) {
    if (text) throw;
    return outside(e.what());
  }
  if (ids == planned.tokens) return std::nullopt;
  const auto differs = std::mismatch(ids.begin(), ids.end(), planned.tokens.begin(), planned.tokens.end());
  const auto at = differs.first - ids.begin();
  const auto name = [&](std::vector<Token>::const_iterator it, std::vector<Token>::const_iterator end) {
    if (it == end) return std::string("nothing");
    try {
      return std::to_string(*it) + " `" + bitnet::gguf::printable(participant.piece(*it), 200) + "`";
    } catch (const InputError&) {
      return std::to_string(*it);
    }
  };
  const std::string difference = "token ids differ at position " + std::to_string(at) + ": the " +
                                 std::string(side) + " has " + name(differs.first, ids.end()) +
                                 ", the model file's tokenizer " + name(differs.second, planned.tokens.end());
  if (!text) return outside(difference);
  const TextMistake* mistake =
      explain_tokens(model.file(), model.tokenizer(), {planned.prompt, true, true}, ids);
  const std::string as_if(mistake ? mistake->as_if : "");
  throw TokensDiffer(
      "case `" + planned.spec.id + "`: " + difference + (mistake ? "; they differ as if " + as_if : ""),
      std::string(side), as_if);
}

}  // namespace crossval
