// What llama.cpp asks of a cache's layout: graphs, cells and states over a compact cache.
#pragma once

#include "cache/attention.h"
#include "cache/cache.h"

#include "llama-kv-layout.h"

#include <atomic>
#include <functional>
#include <string>
#include <utility>

namespace edgekv {

class compact_layout final : public llama_kv_layout_i {
public:
    // refused: called with the reason when the cache cannot do what it was asked for, by a caller who may not notice.
    compact_layout(compact_cache & cache, std::function<void(const char *)> refused)
        : m_cache(cache), m_attention(cache), m_refused(std::move(refused)) {}

    compact_attention & attention() { return m_attention; }

    // Why the state that was to be read last was not. "" when it never came to the cache.
    std::string take_state_error() { return std::exchange(m_state_error, {}); }

    // Whether rows are being moved for more room, which takes a moment and is not to be stopped: a batch that does not find room is another failure than one that was stopped.
    bool growing() const { return m_growing.load(std::memory_order_relaxed); }

    bool     own_layout() const override { return m_cache.compact(); }
    uint64_t generation() const override { return m_cache.graphs().generation(); }
    uint32_t n_nodes() const override { return m_attention.n_nodes(); }

    ggml_tensor * build_idxs(ggml_context * ctx, uint32_t n_tokens) override { return m_attention.build_idxs(ctx, n_tokens); }
    void          set_idxs(ggml_tensor * idxs, const uint32_t * cells, uint32_t n_tokens) const override {
        m_attention.set_idxs(idxs, cells, n_tokens);
    }
    ggml_tensor * store_k(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) override;
    ggml_tensor * store_v(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) override;
    ggml_tensor * attend(ggml_context * ctx, ggml_tensor * q, ggml_tensor * mask, ggml_tensor * sinks, float scale, float softcap,
                         int32_t il) override;

    bool      grow(uint32_t n_tokens) override;
    rm_action on_seq_rm(llama_seq_id seq_id, llama_pos p0, llama_pos p1) const override;
    rm_action on_seq_keep(llama_seq_id seq_id) const override;
    void      on_refused(const char * what) override { m_refused(what); }
    void      on_clear() override;

    void state_write(llama_io_write_i & io) const override;
    void state_read(llama_io_read_i & io, llama_seq_id seq_id) override;
    void on_state_read(llama_seq_id seq_id) override;

    void memory_breakdown(std::map<ggml_backend_buffer_type_t, size_t> & sizes) const override;

private:
    int32_t layer_of(int32_t il) const;

    compact_cache &                   m_cache;
    compact_attention                 m_attention;
    std::function<void(const char *)> m_refused;
    std::string                       m_state_error;
    std::atomic<bool>                 m_growing{ false };
};

} // namespace edgekv
