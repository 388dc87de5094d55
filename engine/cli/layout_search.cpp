#include "engine/cli/layout_search.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <iomanip>
#include <sstream>

#include "engine/cli/recorded_logits.h"
#include "engine/error.h"
#include "engine/model/context.h"
#include "engine/model/model.h"

namespace bitnet {
namespace {

// Plain facts, as every model has read them; each read by itself, so that those which know little but these
// are not led astray by what came before.
constexpr std::string_view kTexts[] = {"The capital of France is Paris.",
                                       "The capital of Germany is Berlin.",
                                       "The capital of Italy is Rome.",
                                       "The capital of Spain is Madrid.",
                                       "The chemical symbol for gold is Au.",
                                       "The opposite of hot is cold.",
                                       "The opposite of left is right.",
                                       "The plural of child is children.",
                                       "The past tense of go is went.",
                                       "The name for a young dog is puppy.",
                                       "The number of legs of a spider is eight.",
                                       "The colour of snow is white.",
                                       "The day after Monday is Tuesday.",
                                       "The month after June is July.",
                                       "The number of days in a week is seven.",
                                       "The French word for house is maison."};
// Standard errors between the best reading and each other. A model that tells them apart does so by dozens.
constexpr double kSure = 6;
// Cosine of logits that are the same but for another engine's rounding.
constexpr double kAgreement = 0.999;

// -ln of each token's probability, given those before it in its text.
std::vector<double> losses(const Model& model) {
  Context context(model, {.n_ctx = std::min<std::int64_t>(model.config().n_ctx, 64)});
  const auto vocab = static_cast<std::size_t>(model.config().n_vocab);
  std::vector<double> loss;
  for (const std::string_view text : kTexts) {
    std::vector<Token> tokens = model.tokenizer().encode(text, true, false);
    tokens.resize(std::min(tokens.size(), static_cast<std::size_t>(context.n_ctx())));
    std::vector<BatchRow> rows;
    rows.reserve(tokens.size());
    for (const Token token : tokens) rows.push_back({.token = token, .sequence = 0, .logits = true});
    context.truncate(0, 0);
    const auto logits = context.forward(rows);
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
      const auto row = logits.subspan(t * vocab, vocab);
      const auto greatest = static_cast<double>(*std::ranges::max_element(row));
      double sum = 0;
      for (const float logit : row) sum += std::exp(static_cast<double>(logit) - greatest);
      const auto own = static_cast<double>(row[static_cast<std::size_t>(tokens[t + 1])]);
      loss.push_back(greatest + std::log(sum) - own);
    }
  }
  if (loss.size() < 2) throw InputError("the built-in text has too few tokens for it");
  return loss;
}

double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum / static_cast<double>(x.size());
}

// By how many standard errors b lies above a, token by token.
double standard_errors(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> difference;
  for (std::size_t i = 0; i < a.size(); ++i) difference.push_back(b[i] - a[i]);
  const double middle = mean(difference);
  double squares = 0;
  for (const double d : difference) squares += (d - middle) * (d - middle);
  const auto n = static_cast<double>(difference.size());
  return middle / std::max(std::sqrt(squares / (n - 1) / n), 1e-9);
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

// The smallest of any row; one that is no number counts as none of it.
double worst_cosine(const Model& model, const std::vector<RecordedCase>& cases) {
  std::size_t longest = 1;
  for (const RecordedCase& c : cases) longest = std::max(longest, c.tokens.size());
  Context context(model, {.n_ctx = static_cast<std::int64_t>(longest)});
  const auto vocab = static_cast<std::size_t>(model.config().n_vocab);
  double worst = 1;
  for (const RecordedCase& c : cases) {
    std::vector<BatchRow> rows;
    for (const Token token : c.tokens) rows.push_back({.token = token, .sequence = 0, .logits = true});
    context.truncate(0, 0);
    const auto logits = context.forward(rows);
    for (const RecordedRow& row : c.rows) {
      const double own = cosine(logits.subspan(row.position * vocab, vocab), row.logits);
      worst = std::min(worst, std::isnan(own) ? -1 : own);
    }
  }
  return worst;
}

std::string fixed(double value, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

// What the file itself says, and that may be that there is nothing to find.
std::optional<LayoutFinding> without_running(const std::filesystem::path& path) {
  const auto file = gguf::File::open(path);
  if (std::ranges::none_of(file.tensors(), [](const auto& t) { return t.type == TensorType::i2_s; }))
    return LayoutFinding{std::nullopt, "the file has no I2_S", {}};
  if (const auto named = gguf::named_layout(file))
    return LayoutFinding{named, "the file's own key " + std::string(gguf::kI2sLayoutKey), {}};
  return std::nullopt;
}

// read(layout, model) for each layout in which the model loads; the refusal where there is none.
template <class Read>
void for_each_layout(const std::filesystem::path& path, Read read) {
  std::exception_ptr refusal;
  bool any = false;
  for (const I2sLayout layout : kI2sLayouts) {
    std::optional<Model> model;
    try {
      model = Model::load(path, {}, {.layout = layout, .tiles = {}});
    } catch (const InputError&) {
      // Codes that stand for nothing, or rows that do not fit: not this one.
      refusal = refusal ? refusal : std::current_exception();
      continue;
    }
    any = true;
    read(layout, *model);
  }
  if (!any) std::rethrow_exception(refusal);
}

struct Read {
  LayoutReading reading;
  std::vector<double> loss;
};

std::string text_of(const std::vector<Read>& reads) {
  std::string text = "nats per token of built-in sentences: ";
  for (std::size_t i = 0; i < reads.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::string(to_string(reads[i].reading.layout)) + " " +
            fixed(reads[i].reading.nats_per_token, 2);
  return text;
}

}  // namespace

LayoutFinding find_layout(const std::filesystem::path& path) {
  if (const auto finding = without_running(path)) return *finding;
  LayoutFinding finding;
  std::vector<Read> reads;
  std::int64_t n_vocab = 2;
  for_each_layout(path, [&](I2sLayout layout, const Model& model) {
    n_vocab = model.config().n_vocab;
    const auto loss = losses(model);
    reads.push_back({{.layout = layout, .nats_per_token = mean(loss)}, loss});
  });
  std::ranges::sort(reads, {}, [](const Read& r) { return r.reading.nats_per_token; });
  for (const Read& r : reads) finding.readings.push_back(r.reading);
  finding.because = text_of(reads);

  const Read& best = reads.front();
  const double chance = std::log(static_cast<double>(n_vocab));
  double least = 1e9;
  for (std::size_t i = 1; i < reads.size(); ++i)
    least = std::min(least, standard_errors(best.loss, reads[i].loss));
  if (!(best.reading.nats_per_token < chance)) {
    finding.because += "; chance is " + fixed(chance, 2) + ": the model has learned none of it";
  } else if (!(least >= kSure)) {
    finding.because += "; only " + fixed(least, 1) + " standard errors apart";
  } else {
    if (reads.size() > 1) finding.because += "; " + fixed(least, 0) + " standard errors apart";
    finding.layout = best.reading.layout;
  }
  return finding;
}

LayoutFinding find_layout(const std::filesystem::path& path, const std::filesystem::path& trace) {
  if (const auto finding = without_running(path)) return *finding;
  LayoutFinding finding;
  finding.recorded = true;
  std::vector<RecordedCase> cases;
  for_each_layout(path, [&](I2sLayout layout, const Model& model) {
    if (cases.empty()) cases = read_recorded_logits(trace, model.config().n_vocab);
    finding.readings.push_back({.layout = layout, .worst_cosine = worst_cosine(model, cases)});
  });
  std::ranges::sort(finding.readings, std::ranges::greater(), &LayoutReading::worst_cosine);
  finding.because = "worst cosine of recorded logits: ";
  for (const LayoutReading& r : finding.readings)
    finding.because += (&r == finding.readings.data() ? "" : ", ") + std::string(to_string(r.layout)) + " " +
                       fixed(r.worst_cosine, 6);
  const auto agree = std::ranges::count_if(
      finding.readings, [](const LayoutReading& r) { return r.worst_cosine >= kAgreement; });
  if (agree == 1) finding.layout = finding.readings.front().layout;
  if (agree != 1) finding.because += agree == 0 ? "; none agrees" : "; more than one agrees";
  return finding;
}

}  // namespace bitnet
