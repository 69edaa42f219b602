#include "taps/learned_scores.h"

#include "ggml-backend.h"
#include "llama-batch.h"

#include <algorithm>

namespace edgekv {

void learned_scores::set_map(std::shared_ptr<const score_map> map) {
    if (map == m_map) {
        return;
    }
    const auto before = m_map;
    m_map             = std::move(map);
    std::fill(m_out.begin(), m_out.end(), nullptr);
    m_cache.graphs().changed();
    if (!m_map) {
        return;
    }
    require_in_every_layer(
        m_cache, [&](int32_t l) { return m_out[l] != nullptr; }, [&] { m_map = before; },
        "name the input of every layer's attention, which learned scores are computed from");

    // scores of two maps are not to be compared
    if (m_scored_with && m_scored_with != m_map) {
        m_cache.tokens().cells.forget_all_scores();
        m_cache.tokens().kept.forget_all_scores();
    }
    m_scored_with = m_map;
}

void learned_scores::add_input(const graph_part & part, ggml_tensor * x) {
    m_out[part.layer] = m_map->build(part.ctx, x, part.layer);
    part.add(m_out[part.layer]);
}

void learned_scores::collect(const llama_ubatch & ubatch, const uint32_t * cells) {
    for (int32_t l = 0; l < m_cache.geometry().n_layer(); ++l) {
        const layer_shape & shape = m_cache.geometry().layers()[l];
        m_scratch.resize((size_t) ubatch.n_tokens * shape.n_head_kv);
        ggml_backend_tensor_get(m_out[l], m_scratch.data(), 0, m_scratch.size() * sizeof(float));
        m_map->add_bias(l, ubatch.n_tokens, m_scratch.data());
        for (uint32_t t = 0; t < ubatch.n_tokens; ++t) {
            std::copy_n(m_scratch.data() + (size_t) t * shape.n_head_kv, shape.n_head_kv,
                        m_cache.tokens().cells.add_scores(cells[t] - m_cache.n_kept()) + shape.first_head_kv);
        }
    }
}

} // namespace edgekv
