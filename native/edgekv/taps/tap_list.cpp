#include "taps/tap_list.h"

#include <algorithm>

namespace edgekv {

namespace {

const ggml_tensor * rope_of(const ggml_tensor * t) {
    const ggml_tensor * found = t;
    while (found->op == GGML_OP_RESHAPE || found->op == GGML_OP_CONT || found->op == GGML_OP_SCALE) {
        found = found->src[0];
    }
    return found->op == GGML_OP_ROPE && std::equal(t->ne, t->ne + GGML_MAX_DIMS, found->ne) ? found : nullptr;
}

} // namespace

void tap_list::begin_batch() {
    for (tap * t : m_taps) {
        t->begin_batch();
    }
}

void tap_list::begin_ubatch(const llama_ubatch & ubatch) {
    for (tap * t : m_taps) {
        if (t->active()) {
            t->begin_ubatch(ubatch);
        }
    }
}

bool tap_list::collects() const {
    return std::any_of(m_taps.begin(), m_taps.end(), [](const tap * t) { return t->active() && t->collects(); });
}

void tap_list::collect(const llama_ubatch & ubatch, const uint32_t * cells) {
    for (tap * t : m_taps) {
        if (t->active()) {
            t->collect(ubatch, cells);
        }
    }
}

uint32_t tap_list::n_tap_nodes() const {
    // of all of them, so that a tap can become active without a new scheduler
    uint32_t n = 0;
    for (const tap * t : m_taps) {
        n += t->n_nodes();
    }
    return n;
}

bool tap_list::wants_weights() const {
    return std::any_of(m_taps.begin(), m_taps.end(), [](const tap * t) { return t->active() && t->wants_weights(); });
}

bool tap_list::wants_inputs() const {
    return std::any_of(m_taps.begin(), m_taps.end(), [](const tap * t) { return t->active() && t->wants_inputs(); });
}

template <typename F>
void tap_list::at_layer(ggml_context * ctx, ggml_cgraph * gf, int32_t il, F && f) {
    const graph_part part = { ctx, gf, m_cache.geometry().index_of(il) };
    if (part.layer < 0) {
        return;
    }
    for (tap * t : m_taps) {
        if (t->active()) {
            f(*t, part);
        }
    }
}

void tap_list::add_weights(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * weights, int32_t il) {
    at_layer(ctx, gf, il, [&](tap & t, const graph_part & part) {
        if (t.wants_weights()) {
            t.add_weights(part, weights);
        }
    });
}

void tap_list::add_input(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * x, int32_t il) {
    at_layer(ctx, gf, il, [&](tap & t, const graph_part & part) {
        if (t.wants_inputs()) {
            t.add_input(part, x);
        }
    });
}

void tap_list::add_heads(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * q, ggml_tensor * k, int32_t il) {
    const graph_heads heads = { q, k, rope_of(q), rope_of(k) };
    at_layer(ctx, gf, il, [&](tap & t, const graph_part & part) { t.add_heads(part, heads); });
}

} // namespace edgekv
