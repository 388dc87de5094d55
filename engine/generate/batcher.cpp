#include "engine/generate/batcher.h"

#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "engine/generate/in_context.h"

namespace bitnet {
namespace {

std::int64_t pages_for(std::size_t tokens) {
  return (static_cast<std::int64_t>(tokens) + kPageCells - 1) / kPageCells;
}

}  // namespace

Batcher::Batcher(Context& context, const BatcherOptions& options) : context_(context), options_(options) {
  if (options.running < 1 || options.rows < 1)
    throw InputError("batcher: at least one request and one row must be allowed");
  // Every step decodes a token of each and goes on with a prompt.
  options_.rows = std::max<std::int64_t>(options.rows, options.running + 1);
}

Batcher::~Batcher() {
  for (const Job& job : running_) context_.release(job.sequence);
}

int Batcher::submit(Request request) {
  const std::int64_t n_vocab = context_.model().config().n_vocab;
  for (const Token token : request.prompt)
    if (token < 0 || token >= n_vocab)
      throw InputError("token " + std::to_string(token) + " is outside the vocabulary of " +
                       std::to_string(n_vocab));
  StopRules& stop = request.options.stop;
  stop.max_tokens = std::min(stop.max_tokens, room_for_answer(request.prompt.size(), context_.n_ctx()));
  Job job{
      .id = next_id_,
      .sampler = Sampler(request.options.sampling),
      .decoding = Decoding(context_.model().tokenizer(), request.prompt, stop, std::move(request.on_text)),
      .on_logits = std::move(request.on_logits),
      .pages = pages_for(request.prompt.size() + static_cast<std::size_t>(stop.max_tokens))};
  if (job.pages > context_.pages())
    throw InputError("a prompt of " + std::to_string(request.prompt.size()) + " tokens and an answer of " +
                     std::to_string(stop.max_tokens) + " take " + std::to_string(job.pages) +
                     " pages, more than the " + std::to_string(context_.pages()) + " of the pool");
  if (job.decoding.done()) {
    end(job, nullptr);
  } else {
    waiting_.push_back(std::move(job));
  }
  return next_id_++;
}

bool Batcher::cancel(int id) {
  const auto is = [id](const Job& job) { return job.id == id; };
  if (const auto job = std::ranges::find_if(running_, is); job != running_.end()) {
    end(*job, nullptr);
    running_.erase(job);
    return true;
  }
  if (const auto job = std::ranges::find_if(waiting_, is); job != waiting_.end()) {
    end(*job, nullptr);
    waiting_.erase(job);
    return true;
  }
  return false;
}

// What running requests may still take.
std::int64_t Batcher::promised_pages() const {
  std::int64_t pages = 0;
  for (const Job& job : running_)
    pages += job.pages - pages_for(static_cast<std::size_t>(context_.length(job.sequence)));
  return pages;
}

void Batcher::admit() {
  while (!waiting_.empty() && std::ssize(running_) < options_.running && begin(waiting_.front())) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  if (running_.empty() && !waiting_.empty())
    throw InputError("batcher: other sequences have taken the pages that request " +
                     std::to_string(waiting_.front().id) + " needs; release some");
}

// Takes a sequence, where there are pages for all of it. Only whole pages are shared, so that none is copied
// later.
bool Batcher::begin(Job& job) {
  const std::span<const Token> prompt = job.decoding.history();
  std::int64_t shared = 0;
  int from = -1;
  for (const Job& other : running_) {
    if (job.on_logits) break;  // those of all tokens are wanted
    const std::int64_t same = common_prefix(prompt, context_.tokens(other.sequence));
    if (const std::int64_t pages = same / kPageCells; pages > shared) {
      shared = pages;
      from = other.sequence;
    }
  }
  if (context_.free_pages() - promised_pages() < job.pages - shared) return false;
  job.sequence = from < 0 ? context_.acquire() : context_.fork(from, shared * kPageCells);
  shared_tokens_ += shared * kPageCells;
  return true;
}

std::span<const Token> Batcher::pending(const Job& job) const {
  return job.decoding.history().subspan(static_cast<std::size_t>(context_.length(job.sequence)));
}

void Batcher::add_rows(Job& job, std::int64_t most) {
  const std::span<const Token> tokens = pending(job);
  const auto n = std::min(tokens.size(), static_cast<std::size_t>(std::max<std::int64_t>(most, 0)));
  if (n == 0) return;
  const bool draws = n == tokens.size();
  Shown shown{&job, rows_with_logits_, 0, draws};
  for (std::size_t i = 0; i < n; ++i) {
    const bool logits = job.on_logits || (draws && i + 1 == n);
    rows_.push_back({.token = tokens[i], .sequence = job.sequence, .logits = logits});
    shown.rows += logits;
  }
  rows_with_logits_ += shown.rows;
  if (shown.rows > 0) shown_.push_back(shown);
}

void Batcher::step() {
  admit();
  rows_.clear();
  shown_.clear();
  rows_with_logits_ = 0;
  for (Job& job : running_)
    if (pending(job).size() == 1) add_rows(job, 1);
  for (Job& job : running_)
    if (pending(job).size() > 1) add_rows(job, options_.rows - std::ssize(rows_));
  if (!rows_.empty()) evaluate();
  std::erase_if(running_, [](const Job& job) { return job.ended; });
}

void Batcher::evaluate() {
  // What goes wrong for one request is no matter of the others.
  const auto guarded = [&](const Shown& shown, auto&& f) {
    try {
      f();
      if (shown.job->decoding.done()) end(*shown.job, nullptr);
    } catch (...) {
      end(*shown.job, std::current_exception());
    }
  };
  // The arg max alone is cheaper than all logits, and is the same token.
  if (std::ranges::all_of(
          shown_, [](const Shown& s) { return s.job->sampler.params().greedy() && !s.job->on_logits; })) {
    const std::span<const Pick> picks = context_.forward_greedy(rows_);
    for (const Shown& s : shown_)
      guarded(s, [&] { s.job->decoding.take(token_of(picks[s.first].token, picks[s.first].logit)); });
    return;
  }
  const std::span<const float> logits = context_.forward(rows_);
  const auto n_vocab = static_cast<std::size_t>(context_.model().config().n_vocab);
  for (const Shown& s : shown_)
    guarded(s, [&] { take(s, logits.subspan(s.first * n_vocab, s.rows * n_vocab)); });
}

void Batcher::take(const Shown& shown, std::span<const float> logits) {
  Job& job = *shown.job;
  if (job.on_logits) job.on_logits(logits);
  if (!shown.draws) return;
  const auto n_vocab = static_cast<std::size_t>(context_.model().config().n_vocab);
  job.decoding.take(job.sampler.sample(logits.last(n_vocab), job.decoding.history()));
}

void Batcher::end(Job& job, std::exception_ptr error) {
  if (job.sequence >= 0) context_.release(job.sequence);
  job.ended = true;
  finished_.push_back({job.id, std::move(job.decoding).result(), std::move(error)});
}

std::vector<Finished> Batcher::take_finished() {
  return std::exchange(finished_, {});
}

}  // namespace bitnet
