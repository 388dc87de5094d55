#include "engine/tokenizer/special_roles.h"

namespace bitnet {
namespace {

constexpr RoleKey kKeys[] = {
    {"bos_token_id", Role::bos},
    {"eos_token_id", Role::eos},
    {"eot_token_id", Role::eot},
    {"eom_token_id", Role::eom},
    {"unknown_token_id", Role::unknown},
    {"seperator_token_id", Role::separator},  // spelled so in the format
    {"padding_token_id", Role::padding},
    {"cls_token_id", Role::cls},
    {"mask_token_id", Role::mask},
    {"fim_pre_token_id", Role::fim_prefix},
    {"fim_suf_token_id", Role::fim_suffix},
    {"fim_mid_token_id", Role::fim_middle},
    {"fim_pad_token_id", Role::fim_padding},
    {"fim_rep_token_id", Role::fim_repository},
    {"fim_sep_token_id", Role::fim_separator},
    {"prefix_token_id", Role::fim_prefix},
    {"suffix_token_id", Role::fim_suffix},
    {"middle_token_id", Role::fim_middle},
};

constexpr std::string_view kEot[] = {"<|eot_id|>",
                                     "<|im_end|>",
                                     "<|end|>",
                                     "<end_of_turn>",
                                     "<|endoftext|>",
                                     "<EOT>",
                                     "<\uFF5Cend\u2581of\u2581sentence\uFF5C>"};
constexpr std::string_view kEom[] = {"<|eom_id|>"};
constexpr std::string_view kFimPrefix[] = {"<|fim_prefix|>", "<fim-prefix>", "<\uFF5Cfim\u2581begin\uFF5C>",
                                           "<PRE>"};
constexpr std::string_view kFimSuffix[] = {"<|fim_suffix|>", "<fim-suffix>", "<\uFF5Cfim\u2581hole\uFF5C>",
                                           "<SUF>"};
constexpr std::string_view kFimMiddle[] = {"<|fim_middle|>", "<fim-middle>", "<\uFF5Cfim\u2581end\uFF5C>",
                                           "<MID>"};
constexpr std::string_view kFimPadding[] = {"<|fim_pad|>", "<fim-pad>", "<PAD>"};
constexpr std::string_view kFimRepository[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>"};
constexpr std::string_view kFimSeparator[] = {"<|file_sep|>"};

constexpr std::string_view kEndOfGeneration[] = {"<|eot_id|>",    "<|im_end|>", "<|end|>", "<end_of_turn>",
                                                 "<|endoftext|>", "<|eom_id|>", "<EOT>"};

}  // namespace

std::span<const RoleKey> role_keys() {
  return kKeys;
}

std::span<const std::string_view> role_texts(Role role) {
  switch (role) {
    case Role::eot:
      return kEot;
    case Role::eom:
      return kEom;
    case Role::fim_prefix:
      return kFimPrefix;
    case Role::fim_suffix:
      return kFimSuffix;
    case Role::fim_middle:
      return kFimMiddle;
    case Role::fim_padding:
      return kFimPadding;
    case Role::fim_repository:
      return kFimRepository;
    case Role::fim_separator:
      return kFimSeparator;
    default:
      return {};
  }
}

std::span<const std::string_view> end_of_generation_texts() {
  return kEndOfGeneration;
}

}  // namespace bitnet
