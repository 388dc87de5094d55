#pragma once
// One model and one sequence of the user's library, driven so that a run can be repeated bit for bit: no
// flash attention, nothing fused, an F16 cache, explicit positions, logits for every token (so that the last
// layer keeps all its rows), and never more tokens at once than the library's stack bears.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "reference/llama_adapter/api.h"
#include "reference/llama_adapter/capture.h"
#include "reference/llama_adapter/library_log.h"
#include "reference/llama_adapter/plan.h"

namespace crossval::llama_adapter {

struct SessionOptions {
  std::string model;
  int threads = 1;
  /// A single token, too, is evaluated with the kernels for several: together with the token before it, which
  /// is taken back for that, or, at the start of a sequence, with one after it, which is taken back then. The
  /// other's row is not shown.
  bool several = false;
  /// Longer evaluations are cut; 0: as many as the library bears. 3 at least.
  std::int64_t tokens_at_once = 0;
};

class Session {
 public:
  /// Throws InputError for a file that the library does not load, Incomparable for one that it cannot
  /// evaluate.
  Session(const SessionOptions& options, LibraryLog& log);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  std::int64_t n_vocab() const;
  std::int64_t n_layer() const;
  std::int64_t n_embd() const;
  /// What the model was made for; the cache itself grows as it is needed.
  std::int64_t n_ctx() const { return n_ctx_train_; }
  std::string architecture() const;
  std::string description() const;
  /// Of a single token; a library may name the nodes of several otherwise.
  const TapPlan& plan() const { return single_; }
  /// What the library's graph says of how it computes: `product_input` and `head_input`, the types to which
  /// it rounds what ternary matrices and the head are multiplied with, as the library calls them.
  const std::map<std::string, std::string>& rounding() const { return rounding_; }
  /// Tokens that are evaluated at once, at most.
  std::int64_t chunk() const { return chunk_; }

  /// Throws InputError where the library refuses the text.
  std::vector<llama_token> tokenize(const std::string& text, bool add_special, bool parse_special) const;
  std::string piece(llama_token token) const;

  std::int64_t position() const { return static_cast<std::int64_t>(tokens_.size()); }
  void reset();
  /// Appends the tokens and shows the wanted taps, each once with a row per token. After an error the
  /// sequence is empty.
  void eval(std::span<const llama_token> tokens, const std::set<bitnet::TapId>& wanted, const RowSink& sink);

 private:
  struct ModelDeleter {
    void operator()(llama_model* model) const { llama_api::free_model(model); }
  };
  struct ContextDeleter {
    void operator()(llama_context* context) const { llama_free(context); }
  };
  using Context = std::unique_ptr<llama_context, ContextDeleter>;
  /// A llama_decode that was made: tokens_[first, first + count), and if `company` once more the last of
  /// them, taken back at once.
  struct Step {
    std::int64_t first = 0;
    std::int64_t count = 0;
    bool company = false;
  };
  /// What the callback of a context talks to; it outlives the context.
  struct Listener {
    Capture* capture = nullptr;
    Survey* survey = nullptr;
  };

  static llama_api::EvalAnswer listen(ggml_tensor* node, bool ask, void* listener);
  Context make_context(std::int64_t n_ctx, std::int64_t n_ubatch);
  Survey survey(std::int64_t n_tokens);
  const TapPlan& plan_for(std::int64_t n_tokens);
  void make_room(std::int64_t n_tokens);
  void decode(Step step);
  void show(Step step, std::int64_t shown, const std::set<bitnet::TapId>& wanted, const RowSink& sink);

  SessionOptions options_;
  Listener listener_;
  std::unique_ptr<llama_model, ModelDeleter> model_;
  Context context_;
  TapPlan single_;
  std::map<std::string, std::string> rounding_;
  std::optional<TapPlan> several_;
  std::int64_t n_ctx_train_ = 0;
  std::int64_t n_ctx_ = 0;
  std::int64_t chunk_ = 0;
  std::int64_t cells_ = 0;  // used ones of the cache
  std::vector<llama_token> tokens_;
  std::vector<Step> steps_;
};

}  // namespace crossval::llama_adapter
