// Writes a small corpus for fuzz_sentencepiece_model: fuzz_sentencepiece_model_seeds DIRECTORY.

#include "engine/convert/test_sentencepiece_model.h"
#include "engine/fuzz_seeds.h"
#include "engine/tokenizer/test_vocabulary.h"

int main(int argc, char** argv) {
  using namespace bitnet;
  const SpmTestVocabulary v = sample_spm_vocabulary();
  const auto model = [&](bool adds_space) {
    return testing::sentencepiece_model<std::string>(v.tokens, v.scores, v.types, adds_space);
  };
  return fuzzing::write_seeds(
      "fuzz_sentencepiece_model_seeds", argc, argv,
      {{"sample", model(true)}, {"no_space", model(false)}, {"trainer", testing::proto_trainer().bytes}});
}
