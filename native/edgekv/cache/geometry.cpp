#include "cache/geometry.h"

#include "base/error.h"

#include "llama-context.h"
#include "llama-kv-cache.h"
#include "llama-model.h"

#include <algorithm>

namespace edgekv {

int64_t layer_shape::head_size(int32_t which) const {
    return which == EDGEKV_ROW_K ? d_k : d_v;
}

cache_geometry::cache_geometry(const llama_model & model) : m_index(model.hparams.n_layer_all, -1) {
    const llama_hparams & hparams = model.hparams;

    for (uint32_t il = 0; il < hparams.n_layer(); ++il) {
        if (!hparams.has_kv(il) || hparams.is_recr(il) || hparams.n_head(il) == 0 || hparams.n_head_kv(il) == 0) {
            continue;
        }
        layer_shape layer;
        layer.il            = (int32_t) il;
        layer.n_head        = (int32_t) hparams.n_head(il);
        layer.n_head_kv     = (int32_t) hparams.n_head_kv(il);
        layer.d_k           = hparams.n_embd_head_k(il);
        layer.d_v           = hparams.n_embd_head_v(il);
        layer.first_head    = m_n_heads;
        layer.first_head_kv = m_n_heads_kv;

        m_n_heads += layer.n_head;
        m_n_heads_kv += layer.n_head_kv;
        m_max_heads    = std::max(m_max_heads, layer.n_head);
        m_max_heads_kv = std::max(m_max_heads_kv, layer.n_head_kv);

        m_index[il] = (int32_t) m_layers.size();
        m_layers.push_back(layer);
    }
}

const layer_shape & cache_geometry::layer(int32_t l) const {
    if (l < 0 || l >= n_layer()) {
        fail(EDGEKV_E_ARGUMENT, "there is no layer %d, the model has %d", l, n_layer());
    }
    return m_layers[l];
}

std::string unsupported_reason(const llama_model & model) {
    const llama_hparams & hparams = model.hparams;
    const std::string     arch    = model.arch_name();

    if (llm_arch_is_recurrent(model.arch)) {
        return text("%s keeps a recurrent state, which has no rows to leave out", arch.c_str());
    }
    if (llm_arch_is_hybrid(model.arch)) {
        return text("%s keeps recurrent states beside its KV cache", arch.c_str());
    }
    if (hparams.is_mla() || hparams.n_lora_kv > 0) {
        return text("%s uses multi-head latent attention (MLA), whose cache is shared by all heads", arch.c_str());
    }
    if (hparams.swa_type != LLAMA_SWA_TYPE_NONE) {
        return text("%s has layers with sliding windows of %u tokens", arch.c_str(), hparams.n_swa);
    }
    if (hparams.indexer_block_size > 0) {
        return text("%s uses sparse attention, whose indexer has a cache of its own", arch.c_str());
    }
    if (hparams.use_alibi) {
        return text("%s uses ALiBi, whose attention bias depends on where rows lie", arch.c_str());
    }
    if (hparams.n_pos_per_embd() > 1) {
        return text("%s uses M-RoPE, with several positions per token", arch.c_str());
    }
    if (hparams.n_rel_attn_bkts > 0 || llama_model_has_encoder(&model)) {
        return text("%s is an encoder-decoder model or biases attention by distance", arch.c_str());
    }
    if (!hparams.causal_attn) {
        return text("%s does not attend causally", arch.c_str());
    }
    if (model.arch == LLM_ARCH_GROK) {
        return text("%s cannot use flash attention", arch.c_str());
    }
    for (uint32_t il = 0; il < hparams.n_layer(); ++il) {
        if (!hparams.has_kv(il)) {
            return text("layer %u of %s shares the KV cache of another layer", il, arch.c_str());
        }
    }
    if (cache_geometry(model).n_layer() == 0) {
        return text("%s has no layer with attention", arch.c_str());
    }
    return "";
}

void require_supported(const llama_model & model) {
    const std::string reason = unsupported_reason(model);
    if (!reason.empty()) {
        fail(EDGEKV_E_UNSUPPORTED, "the KV cache of this model cannot be made compact: %s", reason.c_str());
    }
}

llama_kv_cache & supported_cache(llama_context & ctx) {
    require_supported(ctx.get_model());

    auto * kv = dynamic_cast<llama_kv_cache *>(ctx.get_memory());
    if (!kv) {
        fail(EDGEKV_E_UNSUPPORTED, "the context's memory is not a plain KV cache");
    }
    if (kv->get_layout()) {
        fail(EDGEKV_E_STATE, "the cache has another layout already");
    }
    if (kv->get_v_trans()) {
        fail(EDGEKV_E_UNSUPPORTED, "the context was made without flash attention; make it with flash attention enabled");
    }
    if (kv->get_n_stream() != 1) {
        fail(EDGEKV_E_UNSUPPORTED, "the context keeps %u streams; one sequence per context is what can be made compact",
             kv->get_n_stream());
    }
    if (kv->get_shared()) {
        fail(EDGEKV_E_UNSUPPORTED, "the cache shares cells or layers with another one");
    }
    return *kv;
}

} // namespace edgekv
