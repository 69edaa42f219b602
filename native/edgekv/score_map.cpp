#include "score_map.h"

#include "edgekv.h"
#include "error.h"
#include "objects.h"

#include "ggml-backend.h"

#include <algorithm>
#include <cmath>
#include <new>

namespace edgekv {

size_t score_map::n_weights(const llama_model & model) {
    return (size_t) model.hparams.n_layer() * (model.hparams.n_embd + 1) * model.hparams.n_head_kv();
}

score_map::score_map(const llama_model & model, const float * weights) {
    const int64_t n_layer = model.hparams.n_layer();
    const int64_t n_embd  = model.hparams.n_embd;
    const int64_t n_head  = model.hparams.n_head_kv();

    std::vector<float> rows(n_embd * n_head);

    for (int64_t il = 0; il < n_layer; ++il) {
        const ggml_init_params params = {
            /*.mem_size   =*/ggml_tensor_overhead(),
            /*.mem_buffer =*/nullptr,
            /*.no_alloc   =*/true,
        };
        ggml_context_ptr ctx{ ggml_init(params) };
        if (!ctx) {
            throw std::bad_alloc();
        }

        layer l;
        l.weight = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_embd, n_head);
        ggml_format_name(l.weight, "score_map_l%d", (int) il);

        ggml_backend_buffer_type_t buft = ggml_backend_dev_buffer_type(model.dev_layer((uint32_t) il));
        ggml_backend_buffer_ptr    buffer{ ggml_backend_alloc_ctx_tensors_from_buft(ctx.get(), buft) };
        if (!buffer) {
            fail(EDGEKV_E_MEMORY, "memory for the score map of layer %d could not be had from %s", (int) il, ggml_backend_buft_name(buft));
        }
        // so that the scheduler computes where they lie
        ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);

        const float * from = weights + il * (n_embd + 1) * n_head;
        for (int64_t h = 0; h < n_head; ++h) {
            for (int64_t i = 0; i < n_embd; ++i) {
                rows[h * n_embd + i] = from[i * n_head + h];
            }
        }
        ggml_backend_tensor_set(l.weight, rows.data(), 0, ggml_nbytes(l.weight));
        l.bias.assign(from + n_embd * n_head, from + (n_embd + 1) * n_head);

        m_layers.push_back(std::move(l));
        m_contexts.push_back(std::move(ctx));
        m_buffers.push_back(std::move(buffer));
    }
}

ggml_tensor * score_map::build(ggml_context * ctx, ggml_tensor * x, int32_t il) const {
    return ggml_mul_mat(ctx, m_layers.at(il).weight, x);
}

void score_map::add_bias(int32_t il, int64_t n_tokens, float * scores) const {
    const std::vector<float> & bias = m_layers.at(il).bias;
    for (int64_t t = 0; t < n_tokens; ++t) {
        for (size_t h = 0; h < bias.size(); ++h) {
            scores[t * bias.size() + h] += bias[h];
        }
    }
}

//
// in the compact cache
//

void compact_cache::set_score_map(std::shared_ptr<const score_map> map) {
    if (position() > 0) {
        fail(EDGEKV_E_STATE, "the cache holds tokens that were not scored as they were read; clear it first");
    }

    const auto before = m_map;
    m_map             = std::move(map);
    forget_learned(0);
    m_learned_out.assign(m_layers.size(), nullptr);
    changed();
    if (!m_map) {
        return;
    }

    require_inputs(m_learned_out, [&] { m_map = before; });
}

template <typename F>
void compact_cache::require_inputs(const std::vector<ggml_tensor *> & tensors, F undo) {
    reserve();
    m_ctx.sched_reserve();
    const auto missing = std::find(tensors.begin(), tensors.end(), nullptr);
    if (missing != tensors.end()) {
        const int l = (int) (missing - tensors.begin());
        undo();
        changed();
        reserve();
        fail(EDGEKV_E_UNSUPPORTED, "%s does not name the input of layer %d's attention, which learned scores are computed from",
             m_ctx.get_model().arch_name().c_str(), l);
    }
}

void compact_cache::add_input(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * x, int32_t il) {
    if (il >= (int32_t) m_layer_of.size() || m_layer_of[il] < 0) {
        return;
    }
    if (m_map) {
        ggml_tensor * scores = m_map->build(ctx, x, il);
        ggml_set_output(scores);
        ggml_build_forward_expand(gf, scores);

        m_learned_out[m_layer_of[il]] = scores;
    }
    if (m_keep_inputs) {
        ggml_set_output(x);

        m_inputs_out[m_layer_of[il]] = x;
    }
}

void compact_cache::collect_learned(int32_t start, int32_t n_tokens) {
    const size_t per_token = m_layers.size() * m_n_head_kv;

    if (start == 0) {
        forget_learned(0); // emptied since
    }
    if (!m_map || start < m_learned_first || m_learned.size() < (start - m_learned_first) * per_token) {
        return; // something before was not scored, and says so when it is asked for
    }
    m_learned.resize((start - m_learned_first + n_tokens) * per_token);
    m_learned_scratch.resize((size_t) n_tokens * m_n_head_kv);

    for (size_t l = 0; l < m_layers.size(); ++l) {
        ggml_backend_tensor_get(m_learned_out[l], m_learned_scratch.data(), 0, m_learned_scratch.size() * sizeof(float));
        m_map->add_bias(m_layers[l].il, n_tokens, m_learned_scratch.data());
        for (int32_t t = 0; t < n_tokens; ++t) {
            std::copy_n(m_learned_scratch.data() + (size_t) t * m_n_head_kv, m_n_head_kv,
                        m_learned.data() + (start - m_learned_first + t) * per_token + l * m_n_head_kv);
        }
    }
}

void compact_cache::forget_learned(int32_t first) {
    m_learned.clear();
    m_learned_first = first;
}

void compact_cache::learned(int32_t first, int32_t n, float * out) const {
    const size_t per_token = m_layers.size() * m_n_head_kv;

    if (first < 0 || n < 0 || first > position() - n) {
        fail(EDGEKV_E_ARGUMENT, "scores of positions %d .. %d were asked for, the cache has %d", first, first + n - 1, position());
    }
    if (first < m_learned_first) {
        fail(EDGEKV_E_STATE, "the scores of positions before %d were forgotten when positions closed up", m_learned_first);
    }
    if (m_learned.size() < (first - m_learned_first + n) * per_token) {
        fail(EDGEKV_E_STATE, "positions from %zu on were read without a score map", m_learned_first + m_learned.size() / per_token);
    }
    for (int32_t t = 0; t < n; ++t) {
        const float * from = m_learned.data() + (first - m_learned_first + t) * per_token;
        for (size_t i = 0; i < per_token; ++i) {
            out[i * n + t] = from[i];
        }
    }
}

void compact_cache::keep_inputs(bool keep) {
    m_n_inputs = 0;
    if (m_keep_inputs == keep) {
        return;
    }
    m_keep_inputs = keep;
    m_inputs_out.assign(m_layers.size(), nullptr);
    changed();
    if (keep) {
        require_inputs(m_inputs_out, [&] { m_keep_inputs = false; });
    }
}

void compact_cache::collect_inputs(int32_t n_tokens) {
    m_n_inputs = m_keep_inputs ? n_tokens : 0;
}

void compact_cache::inputs(int32_t layer, float * out, size_t count) const {
    if (layer < 0 || layer >= (int32_t) m_layers.size()) {
        fail(EDGEKV_E_ARGUMENT, "there is no layer %d, the model has %zu", layer, m_layers.size());
    }
    if (m_n_inputs == 0) {
        fail(EDGEKV_E_STATE, "no inputs of attention are kept: ask for them before decoding");
    }
    const ggml_tensor * x      = m_inputs_out[layer];
    const size_t        needed = (size_t) x->ne[0] * m_n_inputs;
    if (count != needed) {
        fail(EDGEKV_E_ARGUMENT, "the inputs of %d tokens are %zu numbers, room was given for %zu", m_n_inputs, needed, count);
    }
    ggml_backend_tensor_get(x, out, 0, needed * sizeof(float));
}

} // namespace edgekv

using namespace edgekv;

int32_t edgekv_score_map_create(edgekv_model * model, const float * weights, size_t count, edgekv_score_map ** out) {
    return guarded([&] {
        if (!model || !weights || !out) {
            fail(EDGEKV_E_ARGUMENT, "no %s given", !model ? "model was" : !weights ? "weights were" : "place for the map was");
        }
        const std::string reason = compact_cache::unsupported_reason(*model->model);
        if (!reason.empty()) {
            fail(EDGEKV_E_UNSUPPORTED, "the KV cache of this model cannot be made compact: %s", reason.c_str());
        }
        const size_t needed = score_map::n_weights(*model->model);
        if (count != needed) {
            fail(EDGEKV_E_ARGUMENT, "a score map of this model has %zu weights, %zu were given", needed, count);
        }
        if (!std::all_of(weights, weights + count, [](float w) { return std::isfinite(w); })) {
            fail(EDGEKV_E_ARGUMENT, "a weight is not a number");
        }

        auto map = std::make_unique<edgekv_score_map>();
        map->map = std::make_shared<const score_map>(*model->model, weights);
        *out     = map.release();
    });
}

void edgekv_score_map_free(edgekv_score_map * map) {
    delete map;
}

int32_t edgekv_score_map_set(edgekv_context * context, const edgekv_score_map * map) {
    return guarded([&] {
        if (!context) {
            fail(EDGEKV_E_ARGUMENT, "no context was given");
        }
        context->cache->set_score_map(map ? map->map : nullptr);
    });
}

int32_t edgekv_learned_scores(const edgekv_context * context, int32_t first, int32_t n, float * scores, size_t count) {
    return guarded([&] {
        if (!context) {
            fail(EDGEKV_E_ARGUMENT, "no context was given");
        }
        const compact_cache & cache  = *context->cache;
        const size_t          needed = n > 0 ? (size_t) cache.n_layer() * cache.n_head_kv() * n : 0;
        if (!scores || count != needed) {
            fail(EDGEKV_E_ARGUMENT, "scores need room for %zu numbers, %zu were given", needed, count);
        }
        cache.learned(first, n, scores);
    });
}

int32_t edgekv_inputs_keep(edgekv_context * context, bool keep) {
    return guarded([&] {
        if (!context) {
            fail(EDGEKV_E_ARGUMENT, "no context was given");
        }
        context->cache->keep_inputs(keep);
    });
}

int32_t edgekv_inputs(const edgekv_context * context, int32_t layer, float * inputs, size_t count) {
    return guarded([&] {
        if (!context || !inputs) {
            fail(EDGEKV_E_ARGUMENT, "no %s given", !context ? "context was" : "place for the inputs was");
        }
        context->cache->inputs(layer, inputs, count);
    });
}
