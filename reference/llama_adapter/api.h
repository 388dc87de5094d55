#pragma once
// One spelling for the calls of llama.h whose names or arguments differ between bitnet.cpp, ik_llama.cpp and
// llama.cpp of several years. Each is found while compiling, by asking which spelling the user's header has;
// there are no version macros to fall out of date. All is in templates: a call with dependent arguments may
// name a function that the header lacks as long as that branch is never taken.
//
// The structs of parameters differ in layout, so a program that includes this file must be compiled against
// the very headers of the library it runs with.

#include <ggml-backend.h>
#include <ggml.h>
#include <llama.h>

#include <cstdint>
#include <string>
#include <type_traits>

#if __has_include(<ggml-cpu.h>) && !defined(CROSSVAL_GGML_CPU_NOT_LINKED)
#include <ggml-cpu.h>
#endif

namespace crossval::llama_api {

/// Which family of headers the program was compiled against.
enum class Family { fork, ik, llama_2025, llama_current };

template <class ContextParams = llama_context_params, class Context = llama_context,
          class Model = llama_model>
constexpr Family family() {
  if constexpr (requires(ContextParams p) { p.fused_up_gate; })
    return Family::ik;
  else if constexpr (requires(Context * c) { llama_get_memory(c); })
    return Family::llama_current;
  else if constexpr (requires(const Model* m) { llama_model_get_vocab(m); })
    return Family::llama_2025;
  else
    return Family::fork;
}

// --- model and context -----------------------------------------------------------------------------------

template <class Params>
llama_model* load_model(const char* path, Params params) {
  if constexpr (requires { llama_model_load_from_file(path, params); })
    return llama_model_load_from_file(path, params);
  else
    return llama_load_model_from_file(path, params);
}

template <class Model>
void free_model(Model* model) {
  if constexpr (requires { llama_model_free(model); })
    llama_model_free(model);
  else
    llama_free_model(model);
}

template <class Model, class Params>
llama_context* new_context(Model* model, Params params) {
  if constexpr (requires { llama_init_from_model(model, params); })
    return llama_init_from_model(model, params);
  else
    return llama_new_context_with_model(model, params);
}

/// The CPU alone, whatever else the library was built for.
template <class Params>
void keep_on_cpu(Params& params) {
  params.n_gpu_layers = 0;
  if constexpr (requires { params.devices[0] = nullptr; }) {
    using Device = std::remove_reference_t<decltype(params.devices[0])>;
    static Device none[1] = {};
    params.devices = none;
  }
  if constexpr (requires { params.flash_attn = false; }) params.flash_attn = false;
}

/// Nothing fused, nothing reused, nothing moved: every operation is a node that the callback sees.
template <class Params>
void plain_graph(Params& params) {
  if constexpr (requires { params.flash_attn = false; }) params.flash_attn = false;
  if constexpr (requires { params.flash_attn_type; })
    params.flash_attn_type = static_cast<decltype(params.flash_attn_type)>(0);  // ..._DISABLED; -1 is auto
  if constexpr (requires { params.fused_up_gate = false; }) params.fused_up_gate = false;
  if constexpr (requires { params.fused_moe_up_gate = false; }) params.fused_moe_up_gate = false;
  if constexpr (requires { params.fused_mmad = false; }) params.fused_mmad = false;
  if constexpr (requires { params.rope_cache = false; }) params.rope_cache = false;
  if constexpr (requires { params.graph_reuse = false; }) params.graph_reuse = false;
  if constexpr (requires { params.op_offload = false; }) params.op_offload = false;
  if constexpr (requires { params.k_cache_hadamard = false; }) params.k_cache_hadamard = false;
  if constexpr (requires { params.v_cache_hadamard = false; }) params.v_cache_hadamard = false;
  if constexpr (requires { params.defrag_thold = -1.0f; }) params.defrag_thold = -1.0f;
  params.offload_kqv = false;
  params.type_k = GGML_TYPE_F16;
  params.type_v = GGML_TYPE_F16;
}

// --- what the model says of itself -----------------------------------------------------------------------

template <class Model>
std::int64_t n_vocab(const Model* model) {
  if constexpr (requires { llama_vocab_n_tokens(llama_model_get_vocab(model)); })
    return llama_vocab_n_tokens(llama_model_get_vocab(model));
  else
    return llama_n_vocab(model);
}

template <class Model>
std::int64_t n_embd(const Model* model) {
  if constexpr (requires { llama_model_n_embd(model); })
    return llama_model_n_embd(model);
  else
    return llama_n_embd(model);
}

template <class Model>
std::int64_t n_layer(const Model* model) {
  if constexpr (requires { llama_model_n_layer(model); })
    return llama_model_n_layer(model);
  else
    return llama_n_layer(model);
}

template <class Model>
std::int64_t n_ctx_train(const Model* model) {
  if constexpr (requires { llama_model_n_ctx_train(model); })
    return llama_model_n_ctx_train(model);
  else
    return llama_n_ctx_train(model);
}

// --- tokens: of the model in some headers, of its vocabulary in others -----------------------------------

template <class Model>
std::int32_t tokenize(const Model* model, const std::string& text, llama_token* out, std::int32_t room,
                      bool add_special, bool parse_special) {
  const auto size = static_cast<std::int32_t>(text.size());
  if constexpr (requires { llama_tokenize(model, text.data(), size, out, room, add_special, parse_special); })
    return llama_tokenize(model, text.data(), size, out, room, add_special, parse_special);
  else
    return llama_tokenize(llama_model_get_vocab(model), text.data(), size, out, room, add_special,
                          parse_special);
}

/// Control tokens give nothing.
template <class Model>
std::int32_t token_to_piece(const Model* model, llama_token token, char* out, std::int32_t room) {
  if constexpr (requires { llama_token_to_piece(model, token, out, room, 0, false); })
    return llama_token_to_piece(model, token, out, room, 0, false);
  else
    return llama_token_to_piece(llama_model_get_vocab(model), token, out, room, 0, false);
}

// --- the KV cache ----------------------------------------------------------------------------------------

template <class Context>
void clear_cells(Context* context) {
  if constexpr (requires { llama_memory_clear(llama_get_memory(context), true); })
    llama_memory_clear(llama_get_memory(context), true);
  else if constexpr (requires { llama_kv_self_clear(context); })
    llama_kv_self_clear(context);
  else
    llama_kv_cache_clear(context);
}

/// Forgets the cells of sequence 0 from position `from` on. Returns false where the library cannot.
template <class Context>
bool remove_cells(Context* context, llama_pos from) {
  if constexpr (requires { llama_memory_seq_rm(llama_get_memory(context), 0, from, -1); })
    return llama_memory_seq_rm(llama_get_memory(context), 0, from, -1);
  else if constexpr (requires { llama_kv_self_seq_rm(context, 0, from, -1); })
    return llama_kv_self_seq_rm(context, 0, from, -1);
  else
    return llama_kv_cache_seq_rm(context, 0, from, -1);
}

// --- the callback: bool in most headers, int in one ------------------------------------------------------

template <class Callback>
struct ReturnOf;
template <class R>
struct ReturnOf<R (*)(ggml_tensor*, bool, void*)> {
  using type = R;
};
using EvalAnswer = ReturnOf<ggml_backend_sched_eval_callback>::type;

// --- dot products ----------------------------------------------------------------------------------------

using VecDot = void (*)(int n, float* s, std::size_t bs, const void* x, std::size_t bx, const void* y,
                        std::size_t by, int nrc);

/// The dot product of a type of weights with what it is multiplied by; null where there is none, or where it
/// cannot be asked for.
template <class Type>
VecDot vec_dot(Type type) {
  if constexpr (requires { ggml_get_type_traits_cpu(type)->vec_dot; })
    return ggml_get_type_traits_cpu(type)->vec_dot;
  else if constexpr (requires { ggml_get_type_traits(type)->vec_dot; })
    return ggml_get_type_traits(type)->vec_dot;
  else if constexpr (requires { ggml_internal_get_type_traits(type).vec_dot; })
    return ggml_internal_get_type_traits(type).vec_dot;
  else
    return nullptr;
}

/// The type to which the library rounds a row that weights of this type are multiplied with, as it calls it;
/// empty where it cannot be asked.
template <class Type>
std::string rounded_input(Type type) {
  const auto name = [](const char* text) { return std::string(text ? text : ""); };
  if constexpr (requires { ggml_get_type_traits_cpu(type)->vec_dot_type; })
    return name(ggml_type_name(ggml_get_type_traits_cpu(type)->vec_dot_type));
  else if constexpr (requires { ggml_get_type_traits(type)->vec_dot_type; })
    return name(ggml_type_name(ggml_get_type_traits(type)->vec_dot_type));
  else if constexpr (requires { ggml_internal_get_type_traits(type).vec_dot_type; })
    return name(ggml_type_name(ggml_internal_get_type_traits(type).vec_dot_type));
  else
    return {};
}

}  // namespace crossval::llama_api
