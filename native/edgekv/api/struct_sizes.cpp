#include "api/struct_sizes.h"

#include "base/error.h"

#include <llama.h>

#include <cstring>
#include <vector>

namespace edgekv {
namespace {

struct field_layout {
    const char * name;
    size_t       offset;
    size_t       size;
};

struct struct_layout {
    const char *              name;
    size_t                    size;
    std::vector<field_layout> fields;
};

#define FIELD(type, member)                                                                                                                \
    { #member, offsetof(type, member), sizeof(static_cast <type *>(nullptr)->member) }

const struct_layout & layout_of(const char * name) {
    static const std::vector<struct_layout> known = {
        { "llama_model_params",
          sizeof(llama_model_params),
          {
              FIELD(llama_model_params, devices),
              FIELD(llama_model_params, tensor_buft_overrides),
              FIELD(llama_model_params, n_gpu_layers),
              FIELD(llama_model_params, split_mode),
              FIELD(llama_model_params, load_mode),
              FIELD(llama_model_params, main_gpu),
              FIELD(llama_model_params, tensor_split),
              FIELD(llama_model_params, progress_callback),
              FIELD(llama_model_params, progress_callback_user_data),
              FIELD(llama_model_params, kv_overrides),
              FIELD(llama_model_params, vocab_only),
              FIELD(llama_model_params, check_tensors),
              FIELD(llama_model_params, use_extra_bufts),
              FIELD(llama_model_params, no_host),
              FIELD(llama_model_params, no_alloc),
              FIELD(llama_model_params, load_mtp),
          } },
        { "llama_context_params",
          sizeof(llama_context_params),
          {
              FIELD(llama_context_params, n_ctx),
              FIELD(llama_context_params, n_batch),
              FIELD(llama_context_params, n_ubatch),
              FIELD(llama_context_params, n_seq_max),
              FIELD(llama_context_params, n_rs_seq),
              FIELD(llama_context_params, n_outputs_max),
              FIELD(llama_context_params, n_threads),
              FIELD(llama_context_params, n_threads_batch),
              FIELD(llama_context_params, ctx_type),
              FIELD(llama_context_params, rope_scaling_type),
              FIELD(llama_context_params, pooling_type),
              FIELD(llama_context_params, attention_type),
              FIELD(llama_context_params, flash_attn_type),
              FIELD(llama_context_params, rope_freq_base),
              FIELD(llama_context_params, rope_freq_scale),
              FIELD(llama_context_params, yarn_ext_factor),
              FIELD(llama_context_params, yarn_attn_factor),
              FIELD(llama_context_params, yarn_beta_fast),
              FIELD(llama_context_params, yarn_beta_slow),
              FIELD(llama_context_params, yarn_orig_ctx),
              FIELD(llama_context_params, defrag_thold),
              FIELD(llama_context_params, cb_eval),
              FIELD(llama_context_params, cb_eval_user_data),
              FIELD(llama_context_params, type_k),
              FIELD(llama_context_params, type_v),
              FIELD(llama_context_params, abort_callback),
              FIELD(llama_context_params, abort_callback_data),
              FIELD(llama_context_params, embeddings),
              FIELD(llama_context_params, offload_kqv),
              FIELD(llama_context_params, no_perf),
              FIELD(llama_context_params, op_offload),
              FIELD(llama_context_params, swa_full),
              FIELD(llama_context_params, kv_unified),
              FIELD(llama_context_params, samplers),
              FIELD(llama_context_params, n_samplers),
              FIELD(llama_context_params, ctx_other),
          } },
        { "llama_model_quantize_params",
          sizeof(llama_model_quantize_params),
          {
              FIELD(llama_model_quantize_params, nthread),
              FIELD(llama_model_quantize_params, ftype),
              FIELD(llama_model_quantize_params, output_tensor_type),
              FIELD(llama_model_quantize_params, token_embedding_type),
              FIELD(llama_model_quantize_params, allow_requantize),
              FIELD(llama_model_quantize_params, quantize_output_tensor),
              FIELD(llama_model_quantize_params, only_copy),
              FIELD(llama_model_quantize_params, pure),
              FIELD(llama_model_quantize_params, keep_split),
              FIELD(llama_model_quantize_params, dry_run),
              FIELD(llama_model_quantize_params, imatrix),
              FIELD(llama_model_quantize_params, kv_overrides),
              FIELD(llama_model_quantize_params, tt_overrides),
              FIELD(llama_model_quantize_params, prune_layers),
          } },
        { "llama_batch",
          sizeof(llama_batch),
          {
              FIELD(llama_batch, n_tokens),
              FIELD(llama_batch, token),
              FIELD(llama_batch, embd),
              FIELD(llama_batch, pos),
              FIELD(llama_batch, n_seq_id),
              FIELD(llama_batch, seq_id),
              FIELD(llama_batch, logits),
          } },
        { "llama_token_data",
          sizeof(llama_token_data),
          {
              FIELD(llama_token_data, id),
              FIELD(llama_token_data, logit),
              FIELD(llama_token_data, p),
          } },
        { "llama_token_data_array",
          sizeof(llama_token_data_array),
          {
              FIELD(llama_token_data_array, data),
              FIELD(llama_token_data_array, size),
              FIELD(llama_token_data_array, selected),
              FIELD(llama_token_data_array, sorted),
          } },
        { "llama_sampler_chain_params",
          sizeof(llama_sampler_chain_params),
          {
              FIELD(llama_sampler_chain_params, no_perf),
          } },
        { "llama_sampler_i",
          sizeof(llama_sampler_i),
          {
              FIELD(llama_sampler_i, name),
              FIELD(llama_sampler_i, accept),
              FIELD(llama_sampler_i, apply),
              FIELD(llama_sampler_i, reset),
              FIELD(llama_sampler_i, clone),
              FIELD(llama_sampler_i, free),
              FIELD(llama_sampler_i, backend_init),
              FIELD(llama_sampler_i, backend_accept),
              FIELD(llama_sampler_i, backend_apply),
              FIELD(llama_sampler_i, backend_set_input),
          } },
        { "llama_sampler",
          sizeof(llama_sampler),
          {
              FIELD(llama_sampler, iface),
              FIELD(llama_sampler, ctx),
          } },
        { "llama_logit_bias",
          sizeof(llama_logit_bias),
          {
              FIELD(llama_logit_bias, token),
              FIELD(llama_logit_bias, bias),
          } },
        { "llama_model_kv_override",
          sizeof(llama_model_kv_override),
          {
              FIELD(llama_model_kv_override, tag), FIELD(llama_model_kv_override, key),
              FIELD(llama_model_kv_override, val_i64), // the first of a union
          } },
        { "llama_model_tensor_buft_override",
          sizeof(llama_model_tensor_buft_override),
          {
              FIELD(llama_model_tensor_buft_override, pattern),
              FIELD(llama_model_tensor_buft_override, buft),
          } },
        { "llama_perf_context_data",
          sizeof(llama_perf_context_data),
          {
              FIELD(llama_perf_context_data, t_start_ms),
              FIELD(llama_perf_context_data, t_load_ms),
              FIELD(llama_perf_context_data, t_p_eval_ms),
              FIELD(llama_perf_context_data, t_eval_ms),
              FIELD(llama_perf_context_data, n_p_eval),
              FIELD(llama_perf_context_data, n_eval),
              FIELD(llama_perf_context_data, n_reused),
          } },
    };

    if (name) {
        for (const auto & layout : known) {
            if (std::strcmp(layout.name, name) == 0) {
                return layout;
            }
        }
    }
    fail(EDGEKV_E_ARGUMENT, "%s is not a struct whose layout is known", name ? name : "(null)");
}

#undef FIELD

} // namespace
} // namespace edgekv

using namespace edgekv;

int32_t edgekv_struct_size(const char * name, size_t * size) {
    return guarded([&] {
        if (!size) {
            fail(EDGEKV_E_ARGUMENT, "no place for the size was given");
        }
        *size = layout_of(name).size;
    });
}

int32_t edgekv_struct_field(const char * name, int32_t index, const char ** field, size_t * offset, size_t * size) {
    return guarded([&] {
        if (!field || !offset || !size) {
            fail(EDGEKV_E_ARGUMENT, "no place for the field's name, offset or size was given");
        }
        const auto & layout = layout_of(name);
        if (index < 0 || static_cast<size_t>(index) >= layout.fields.size()) {
            fail(EDGEKV_E_ARGUMENT, "%s has %zu fields, and no field %d", name, layout.fields.size(), index);
        }
        const auto & found = layout.fields[static_cast<size_t>(index)];

        *field  = found.name;
        *offset = found.offset;
        *size   = found.size;
    });
}
