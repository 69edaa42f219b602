#include "taps/rotations.h"

#include <algorithm>
#include <cstring>

namespace edgekv {

void rotations::add_heads(const graph_part & part, const graph_heads & heads) {
    rope & known = m_ropes[part.layer];
    known        = {};
    if (!heads.rope_k) {
        return;
    }
    const ggml_tensor * factors = heads.rope_k->src[2];

    known.found   = !factors || (factors->op == GGML_OP_NONE && factors->buffer); // else they are gone with this graph
    known.factors = factors;
    std::memcpy(known.params, heads.rope_k->op_params, sizeof(known.params));
}

const std::vector<rope> & rotations::ropes() {
    const auto found = [](const rope & r) { return r.found; };
    m_cache.ctx().synchronize();
    if (!std::all_of(m_ropes.begin(), m_ropes.end(), found)) {
        m_cache.graphs().build_worst_case(); // a state was loaded, and no graph built yet
    }
    const std::string arch = m_cache.ctx().get_model().arch_name();
    for (size_t l = 0; l < m_ropes.size(); ++l) {
        if (!m_ropes[l].found) {
            fail(EDGEKV_E_UNSUPPORTED, "%s does not rotate the keys of layer %zu (RoPE) as the last thing", arch.c_str(), l);
        }
        const int32_t mode = m_ropes[l].params[2];
        if (mode != GGML_ROPE_TYPE_NORMAL && mode != GGML_ROPE_TYPE_NEOX) {
            fail(EDGEKV_E_UNSUPPORTED, "%s rotates keys in a way (RoPE type %d) that takes more than one position", arch.c_str(), mode);
        }
    }
    return m_ropes;
}

} // namespace edgekv
