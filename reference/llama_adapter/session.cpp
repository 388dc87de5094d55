#include "reference/llama_adapter/session.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "engine/error.h"
#include "reference/errors.h"
#include "reference/llama_adapter/chunks.h"

#if __has_include(<gguf.h>)
#include <gguf.h>
#endif

namespace crossval::llama_adapter {
namespace {

using bitnet::TapId;

constexpr std::int64_t kMostTokens = 512;   // at once
constexpr std::int64_t kFirstCells = 2048;  // of the cache, until more are needed

// A library may know a type of weights well enough to load it and not to multiply by it; it then calls a null
// pointer. The file is asked before.
void refuse_types_without_product(const std::string& path) {
  gguf_init_params params{};
  params.no_alloc = true;
  std::unique_ptr<gguf_context, void (*)(gguf_context*)> file(gguf_init_from_file(path.c_str(), params),
                                                              gguf_free);
  if (!file) return;  // the loader says why
  for (int i = 0; i < static_cast<int>(gguf_get_n_tensors(file.get())); ++i) {
    const ggml_type type = gguf_get_tensor_type(file.get(), i);
    const char* name = ggml_type_name(type);
    if (name && std::string_view(name) == "i2_s" && !llama_api::vec_dot(type))
      throw Incomparable(std::string("this library loads I2_S weights but has no product for them (") +
                         gguf_get_tensor_name(file.get(), i) +
                         "); give it a model of another type with "
                         "--reference-model");
  }
}

// Memory of one batch: explicit positions, sequence 0, logits for every token.
class Batch {
 public:
  Batch(std::span<const llama_token> tokens, std::int64_t first_position)
      : batch_(llama_batch_init(static_cast<std::int32_t>(tokens.size()), 0, 1)) {
    batch_.n_tokens = static_cast<std::int32_t>(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      batch_.token[i] = tokens[i];
      batch_.pos[i] = static_cast<llama_pos>(first_position + static_cast<std::int64_t>(i));
      batch_.n_seq_id[i] = 1;
      batch_.seq_id[i][0] = 0;
      batch_.logits[i] = 1;
    }
  }
  ~Batch() { llama_batch_free(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  const llama_batch& get() const { return batch_; }

 private:
  llama_batch batch_;
};

// Joins the rows of an evaluation that was cut into several: shown with the last one.
class Joined {
 public:
  explicit Joined(const RowSink& sink) : sink_(&sink) {}
  void hold(TapId id, const Rows& rows) {
    Held& held = held_[id];
    held.widths.insert(held.widths.end(), rows.widths.begin(), rows.widths.end());
    held.values.insert(held.values.end(), rows.values.begin(), rows.values.end());
  }
  void show(TapId id, const Rows& rows) {
    hold(id, rows);
    const auto held = held_.extract(id);
    (*sink_)(id, {held.mapped().widths, held.mapped().values});
  }

 private:
  struct Held {
    std::vector<std::int64_t> widths;
    std::vector<float> values;
  };
  const RowSink* sink_;
  std::map<TapId, Held> held_;
};

std::string metadata(const llama_model* model, const char* key) {
  char text[256] = "";
  if (llama_model_meta_val_str(model, key, text, sizeof text) < 0) return {};
  return text;
}

}  // namespace

Session::Session(const SessionOptions& options, LibraryLog& log) : options_(options) {
  refuse_types_without_product(options.model);
  auto params = llama_model_default_params();
  llama_api::keep_on_cpu(params);
  log.forget();
  model_.reset(llama_api::load_model(options.model.c_str(), params));
  if (!model_) {
    const std::string why = log.first_error();
    throw bitnet::InputError("the library does not load " + options.model + (why.empty() ? "" : ": " + why));
  }
  n_ctx_train_ = std::max<std::int64_t>(llama_api::n_ctx_train(model_.get()), 1);
  const Survey first = survey(1);
  single_ = TapPlan(first.nodes());
  std::string products;
  for (const std::string& type : first.product_inputs()) products += (products.empty() ? "" : ",") + type;
  if (!products.empty()) rounding_["product_input"] = products;
  if (!first.head_input().empty()) rounding_["head_input"] = first.head_input();
  const std::int64_t most = options_.tokens_at_once > 0 ? options_.tokens_at_once : kMostTokens;
  chunk_ = chunk_limit(first.widest_i2_s(), options_.threads, std::min(most, n_ctx_train_));
}

Session::~Session() = default;

std::int64_t Session::n_vocab() const {
  return llama_api::n_vocab(model_.get());
}
std::int64_t Session::n_layer() const {
  return llama_api::n_layer(model_.get());
}
std::int64_t Session::n_embd() const {
  return llama_api::n_embd(model_.get());
}
std::string Session::architecture() const {
  return metadata(model_.get(), "general.architecture");
}
std::string Session::description() const {
  char text[256] = "";
  llama_model_desc(model_.get(), text, sizeof text);
  return text;
}

std::vector<llama_token> Session::tokenize(const std::string& text, bool add_special,
                                           bool parse_special) const {
  std::vector<llama_token> tokens(text.size() + 8);
  const auto ask = [&] {
    try {
      return llama_api::tokenize(model_.get(), text, tokens.data(), static_cast<std::int32_t>(tokens.size()),
                                 add_special, parse_special);
    } catch (const std::exception& error) {
      throw bitnet::InputError(std::string("tokenize: the library refuses the text: ") + error.what());
    }
  };
  std::int32_t count = ask();
  if (count < 0) {
    tokens.resize(static_cast<std::size_t>(-static_cast<std::int64_t>(count)));
    count = ask();
  }
  if (count < 0) throw std::runtime_error("tokenize: the library asks for ever more room");
  tokens.resize(static_cast<std::size_t>(count));
  return tokens;
}

std::string Session::piece(llama_token token) const {
  if (token < 0 || token >= n_vocab())
    throw bitnet::InputError("detokenize: no token has the id " + std::to_string(token));
  std::string text(64, '\0');
  std::int32_t size =
      llama_api::token_to_piece(model_.get(), token, text.data(), static_cast<std::int32_t>(text.size()));
  if (size < 0) {
    text.resize(static_cast<std::size_t>(-static_cast<std::int64_t>(size)));
    size =
        llama_api::token_to_piece(model_.get(), token, text.data(), static_cast<std::int32_t>(text.size()));
  }
  if (size < 0) throw std::runtime_error("detokenize: the library asks for ever more room");
  text.resize(static_cast<std::size_t>(size));
  return text;
}

llama_api::EvalAnswer Session::listen(ggml_tensor* node, bool ask, void* listener) {
  auto* const at = static_cast<Listener*>(listener);
  // Without a capture nothing is asked for, and the end of a graph is no reason to stop.
  if (at->capture) return ask ? at->capture->asked(node) : at->capture->computed(node);
  if (at->survey && ask) return at->survey->asked(node);
  return !ask;
}

Session::Context Session::make_context(std::int64_t n_ctx, std::int64_t n_ubatch) {
  auto params = llama_context_default_params();
  llama_api::plain_graph(params);
  params.n_ctx = static_cast<std::uint32_t>(n_ctx);
  params.n_batch = static_cast<std::uint32_t>(std::max<std::int64_t>(n_ubatch, 32));  // fewer are raised
  params.n_ubatch = static_cast<std::uint32_t>(n_ubatch);
  params.n_seq_max = 1;
  params.n_threads = options_.threads;
  params.n_threads_batch = options_.threads;
  params.cb_eval = &Session::listen;
  params.cb_eval_user_data = &listener_;
  Context context(llama_api::new_context(model_.get(), params));
  if (!context)
    throw std::runtime_error("the library makes no context of " + std::to_string(n_ctx) + " cells");
  return context;
}

// A token or several through the model, looked at and forgotten: which nodes there are, under which names.
Survey Session::survey(std::int64_t n_tokens) {
  constexpr std::int64_t kCells = 32;
  const Context context = make_context(std::min(kCells, n_ctx_train_), n_tokens);
  Survey survey;
  listener_.survey = &survey;
  const std::vector<llama_token> tokens(static_cast<std::size_t>(n_tokens), 0);
  const Batch batch(tokens, 0);
  const int status = llama_decode(context.get(), batch.get());
  listener_.survey = nullptr;
  if (status != 0) throw std::runtime_error("llama_decode fails with " + std::to_string(status));
  return survey;
}

// The nodes of several tokens are asked for when they are first needed: some types of weights bear one token
// alone.
const TapPlan& Session::plan_for(std::int64_t n_tokens) {
  if (n_tokens == 1) return single_;
  if (!several_) several_ = TapPlan(survey(2).nodes());
  return *several_;
}

void Session::reset() {
  tokens_.clear();
  steps_.clear();
  cells_ = 0;
  if (context_) llama_api::clear_cells(context_.get());
}

// The cache grows by being made anew: what was evaluated is evaluated again, cut as it was.
void Session::make_room(std::int64_t n_tokens) {
  if (n_tokens > n_ctx_train_)
    throw bitnet::InputError("the sequence has " + std::to_string(n_tokens) +
                             " tokens, the model's context " + std::to_string(n_ctx_train_));
  if (n_tokens <= n_ctx_) return;
  const std::int64_t n_ctx = std::min(n_ctx_train_, std::max({kFirstCells, n_tokens, 2 * n_ctx_}));
  context_.reset();
  context_ = make_context(n_ctx, chunk_);
  n_ctx_ = n_ctx;
  cells_ = 0;
  for (const Step& step : steps_) decode(step);
}

void Session::decode(Step step) {
  const auto take_back = [&](std::int64_t from) {
    if (!llama_api::remove_cells(context_.get(), static_cast<llama_pos>(from)))
      throw Incomparable("this library cannot take back the last token of a sequence, which `several` needs");
  };
  if (step.first < cells_) take_back(step.first);
  const std::span<const llama_token> own =
      std::span(tokens_).subspan(static_cast<std::size_t>(step.first), static_cast<std::size_t>(step.count));
  std::vector<llama_token> tokens(own.begin(), own.end());
  if (step.company) tokens.push_back(tokens.back());
  const Batch batch(tokens, step.first);
  const int status = llama_decode(context_.get(), batch.get());
  if (status != 0)
    throw std::runtime_error("llama_decode fails with " + std::to_string(status) + " for " +
                             std::to_string(tokens.size()) + " tokens at position " +
                             std::to_string(step.first));
  if (step.company) take_back(step.first + step.count);
  cells_ = step.first + step.count;
}

void Session::eval(std::span<const llama_token> tokens, const std::set<TapId>& wanted, const RowSink& sink) {
  if (tokens.empty()) throw bitnet::InputError("eval: no tokens");
  for (const llama_token token : tokens)
    if (token < 0 || token >= n_vocab())
      throw bitnet::InputError("eval: no token has the id " + std::to_string(token));
  for (const TapId id : wanted)
    if (std::find(single_.taps().begin(), single_.taps().end(), id) == single_.taps().end())
      throw Incomparable("eval: this library does not show " + bitnet::to_string(id));

  const std::int64_t start = position();
  const auto count = static_cast<std::int64_t>(tokens.size());
  make_room(start + count);
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  try {
    if (options_.several && count == 1 && n_ctx_ > 1) {
      show(start > 0 ? Step{start - 1, 2} : Step{0, 1, true}, start, wanted, sink);
      return;
    }
    Joined joined(sink);
    const std::vector<std::int64_t> lengths = chunks(count, chunk_);
    std::int64_t first = start;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const bool last = i + 1 == lengths.size();
      const RowSink part = [&](TapId id, const Rows& rows) {
        if (last)
          joined.show(id, rows);
        else
          joined.hold(id, rows);
      };
      show({first, lengths[i]}, first, wanted, lengths.size() == 1 ? sink : part);
      first += lengths[i];
    }
  } catch (...) {
    reset();  // half an evaluation is worth nothing
    throw;
  }
}

// Shows the rows from position `shown` on.
void Session::show(Step step, std::int64_t shown, const std::set<TapId>& wanted, const RowSink& sink) {
  std::set<TapId> missing = wanted;
  const RowSink counted = [&](TapId id, const Rows& rows) {
    missing.erase(id);
    sink(id, rows);
  };
  const Decode decoded{step.first, step.count + (step.company ? 1 : 0), shown - step.first, step.count};
  Capture capture(plan_for(decoded.rows), wanted, decoded, counted);
  listener_.capture = &capture;
  try {
    decode(step);
  } catch (...) {
    listener_.capture = nullptr;
    throw;
  }
  listener_.capture = nullptr;
  capture.rethrow();
  if (!missing.empty())
    throw std::runtime_error("eval: the library computed no node for " + bitnet::to_string(*missing.begin()) +
                             " with " + std::to_string(step.count) + " tokens");
  steps_.push_back(step);
}

}  // namespace crossval::llama_adapter
