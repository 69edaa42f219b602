// What the cache is: full, in llama.cpp's layout, or compact: head-major, every KV head with rows of its own (docs/internals/native.md).
//
// Layer l of a compact cache keeps K as one tensor [d, R_l] in which KV head h owns the contiguous rows [offset, offset + capacity): first the kept rows, then room for the
// tokens that come after. V the same. All heads of all layers share one space of virtual cells, [0, B) for kept rows and [B, ...) for later tokens, B being the
// largest count; a head with n kept rows stands for the cells from B - n on, so that its attention mask is the shared mask from that column on.
#pragma once

#include "api/edgekv.h"
#include "cache/cells.h"
#include "cache/geometry.h"
#include "cache/graphs.h"
#include "cache/records.h"
#include "cache/storage.h"

#include "llama-context.h"
#include "llama-kv-cache.h"
#include "llama-model.h"

#include <atomic>
#include <cstdint>
#include <vector>

namespace edgekv {

class compact_cache {
public:
    // Throws EDGEKV_E_UNSUPPORTED with the reason when the context's cache cannot be made compact.
    explicit compact_cache(llama_context & ctx);

    compact_cache(const compact_cache &)             = delete;
    compact_cache & operator=(const compact_cache &) = delete;

    llama_context &        ctx() const { return m_ctx; }
    llama_kv_cache &       kv() const { return m_kv; }
    const cache_geometry & geometry() const { return m_geometry; }

    // by the geometry's layers
    const std::vector<cache_layer> & layers() const { return m_layers; }
    cache_layer &                    layer(int32_t l) { return m_layers[l]; }
    const cache_layer &              layer(int32_t l) const { return m_layers[l]; }

    //
    // numbers
    //

    bool     compact() const { return m_compact; }
    uint32_t n_kept() const { return m_n_kept; } // B; 0 when full
    uint32_t block() const { return m_block; }   // rows that room grows by
    uint32_t room() const { return m_compact ? m_room : m_n_ctx; }
    int32_t  n_context() const { return m_compact ? m_n_context : 0; } // tokens that kept rows stand for
    uint32_t n_ctx() const { return m_n_ctx; }                         // cells of the full layout
    uint32_t window() const { return m_ctx.get_model().hparams.n_ctx_train; }

    ggml_type type(int32_t which) const { return which == EDGEKV_ROW_K ? m_kv.type_k() : m_kv.type_v(); }

    size_t  bytes() const;
    size_t  row_bytes() const; // of a KV head of the first layer
    int64_t n_rows() const;    // kept, of all heads
    bool    on_device() const;

    //
    // sequences and positions
    //

    // The sequence that the cache holds, 0 when empty. Throws EDGEKV_E_STATE when there are several.
    llama_seq_id sequence() const;
    int32_t      n_sequences() const;

    llama_seq_id kept_sequence() const { return m_seq_id; }
    // Whether sequences other than that of the kept rows have tokens.
    bool         others_live() const;

    // The position that the next token gets, which cells alone do not tell when no head kept a row.
    int32_t position() const;

    // Cells of positions 0 .. n-1, -1 where there is none. Of kept rows no cell has the position.
    std::vector<int32_t> cells_by_position(int32_t n) const;

    // Cells behind the kept rows that are in use.
    cell_list appended() const { return used_cells(m_kv.get_cells(), m_n_kept); }

    // Throws EDGEKV_E_STATE when the cache is compact. what: does what
    void require_full(const char * what) const;

    // Waits for what the context computes, and lets a shift be done that waits.
    void settle();

    //
    // ids and learned scores
    //

    token_log &       tokens() { return m_tokens; }
    const token_log & tokens() const { return m_tokens; }

    //
    // changes
    //

    context_graphs &       graphs() { return m_graphs; }
    const context_graphs & graphs() const { return m_graphs; }

    // Gives all layers the form's rows; what they had before is freed.
    void adopt(compact_form && form);
    // What the tensors of the form that was adopted hold, once it is there.
    void set_rows(std::vector<std::vector<head_rows>> && heads, int32_t n_context, const cell_list & appended = {});
    // Gives one layer larger tensors.
    void replace(cache_layer & layer, layer_storage && storage, std::vector<head_rows> && heads);
    // All layers have that much room.
    void set_room(uint32_t room);
    // Positions closed up: kept rows are of positions 0 .. n_kept - 1.
    void close_up();
    // Back to llama.cpp's layout, empty. Throws EDGEKV_E_MEMORY and changes nothing.
    void become_full();
    // No rows at all, compact still.
    void become_empty();

private:
    void swap_storage(cache_layer & layer, layer_storage && storage);
    void release_buffers();

    llama_context &  m_ctx;
    llama_kv_cache & m_kv;
    context_graphs   m_graphs;
    cache_geometry   m_geometry;
    uint32_t         m_n_ctx = 0;

    std::vector<cache_layer> m_layers;

    // Layers of llama.cpp's cache that have no rows: what they get when its buffers go.
    std::vector<std::pair<int32_t, layer_storage>> m_empty_layers;

    std::atomic<bool> m_compact{ false }; // read without the lock, too

    uint32_t     m_n_kept    = 0;
    uint32_t     m_room      = 0;
    uint32_t     m_block     = 256;
    int32_t      m_n_context = 0;
    llama_seq_id m_seq_id    = 0; // whose rows are kept

    token_log m_tokens;
};

} // namespace edgekv
