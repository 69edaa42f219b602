#include "taps/inputs.h"

#include "ggml-backend.h"
#include "llama-batch.h"

#include <algorithm>

namespace edgekv {

void attention_inputs::keep(bool keep) {
    begin_batch();
    if (m_keeps == keep) {
        return;
    }
    m_keeps = keep;
    std::fill(m_out.begin(), m_out.end(), nullptr);
    m_cache.graphs().changed();
    if (keep) {
        require_in_every_layer(
            m_cache, [&](int32_t l) { return m_out[l] != nullptr; }, [&] { m_keeps = false; }, "name the input of every layer's attention");
    }
}

void attention_inputs::add_input(const graph_part & part, ggml_tensor * x) {
    ggml_set_output(x);
    m_out[part.layer] = x;
}

void attention_inputs::begin_batch() {
    for (auto & inputs : m_inputs) {
        inputs.clear();
    }
}

void attention_inputs::collect(const llama_ubatch & ubatch, const uint32_t *) {
    for (size_t l = 0; l < m_out.size(); ++l) {
        const size_t before = m_inputs[l].size();
        m_inputs[l].resize(before + (size_t) m_out[l]->ne[0] * ubatch.n_tokens);
        ggml_backend_tensor_get(m_out[l], m_inputs[l].data() + before, 0, (m_inputs[l].size() - before) * sizeof(float));
    }
}

void attention_inputs::read(int32_t layer, float * out, size_t count) const {
    m_cache.geometry().layer(layer);
    const std::vector<float> & x = m_inputs[layer];
    if (x.empty()) {
        fail(EDGEKV_E_STATE, "no inputs of attention are kept: ask for them before decoding");
    }
    if (count != x.size()) {
        fail(EDGEKV_E_ARGUMENT, "the inputs of the last batch are %zu numbers, room was given for %zu", x.size(), count);
    }
    std::copy(x.begin(), x.end(), out);
}

} // namespace edgekv
