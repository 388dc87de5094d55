#include "engine/cli/layout_search.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <iomanip>
#include <sstream>

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

// -ln of each token's probability, given those before it in its text.
std::vector<double> losses(const Model& model) {
  Context context(model, {.n_ctx = std::min<std::int64_t>(model.config().n_ctx, 64)});
  const auto vocab = static_cast<std::size_t>(model.config().n_vocab);
  std::vector<double> loss;
  for (const std::string_view text : kTexts) {
    std::vector<Token> tokens = model.tokenizer().encode(text, true, false);
    tokens.resize(std::min(tokens.size(), static_cast<std::size_t>(context.n_ctx())));
    std::vector<BatchRow> rows;
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

struct Read {
  LayoutReading reading;
  std::vector<double> loss;
};

std::string text_of(const std::vector<Read>& reads) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << "nats per token of built-in sentences: ";
  for (std::size_t i = 0; i < reads.size(); ++i)
    text << (i == 0 ? "" : ", ") << to_string(reads[i].reading.layout) << " "
         << reads[i].reading.nats_per_token;
  return text.str();
}

}  // namespace

LayoutFinding find_layout(const std::filesystem::path& path) {
  LayoutFinding finding;
  const auto file = gguf::File::open(path);
  if (std::ranges::none_of(file.tensors(), [](const auto& t) { return t.type == TensorType::i2_s; })) {
    finding.because = "the file has no I2_S";
    return finding;
  }
  if (const auto named = gguf::named_layout(file)) {
    finding.layout = named;
    finding.because = "the file's own key " + std::string(gguf::kI2sLayoutKey);
    return finding;
  }
  std::vector<Read> reads;
  std::exception_ptr refusal;
  std::int64_t n_vocab = 2;
  for (const I2sLayout layout : kI2sLayouts) {
    try {
      const Model model = Model::load(path, {}, {.layout = layout, .tiles = {}});
      n_vocab = model.config().n_vocab;
      const auto loss = losses(model);
      reads.push_back({{layout, mean(loss)}, loss});
    } catch (const InputError&) {
      // Codes that stand for nothing, or rows that do not fit: not this one.
      refusal = refusal ? refusal : std::current_exception();
    }
  }
  if (reads.empty()) std::rethrow_exception(refusal);
  std::ranges::sort(reads, {}, [](const Read& r) { return r.reading.nats_per_token; });
  for (const Read& r : reads) finding.readings.push_back(r.reading);
  finding.because = text_of(reads);

  const Read& best = reads.front();
  const double chance = std::log(static_cast<double>(n_vocab));
  double least = 1e9;
  for (std::size_t i = 1; i < reads.size(); ++i)
    least = std::min(least, standard_errors(best.loss, reads[i].loss));
  if (!(best.reading.nats_per_token < chance)) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(2) << "; chance is " << chance
         << ": the model has learned none of it";
    finding.because += text.str();
  } else if (!(least >= kSure)) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(1) << "; only " << least << " standard errors apart";
    finding.because += text.str();
  } else {
    std::ostringstream text;
    text << std::fixed << std::setprecision(0) << "; " << least << " standard errors apart";
    if (reads.size() > 1) finding.because += text.str();
    finding.layout = best.reading.layout;
  }
  return finding;
}

}  // namespace bitnet
