// The compact layout of a KV cache: head-major, every KV head with rows of its own (docs/native.md).
//
// Layer l keeps K as one tensor [d, R_l] in which KV head h owns the contiguous rows [offset, offset + capacity): first the kept rows, then room for the
// tokens that come after. V the same. All heads of all layers share one space of virtual cells, [0, B) for kept rows and [B, ...) for later tokens, B being the
// largest count; a head with n kept rows stands for the cells from B - n on, so that its attention mask is the shared mask from that column on.
#pragma once

#include "decode_attention.h"
#include "device_graph.h"
#include "error.h"
#include "score_map.h"

#include "ggml-cpp.h"
#include "llama-context.h"
#include "llama-kv-cache.h"
#include "llama-model.h"

#include <map>
#include <memory>
#include <vector>

struct edgekv_scores;

namespace edgekv {

struct head_rows {
    uint32_t n        = 0; // kept rows
    uint32_t offset   = 0; // first row in the layer's tensors
    uint32_t capacity = 0; // rows, kept and room

    std::vector<int32_t> positions; // of the kept rows, ascending
};

// K and V of one layer in buffers of their own, so that a layer can be replaced without its neighbours.
struct layer_storage {
    ggml_context_ptr        ctx;
    ggml_backend_buffer_ptr buffer;

    ggml_tensor * k = nullptr;
    ggml_tensor * v = nullptr;
};

struct compact_layer {
    int32_t il = 0; // in the model

    ggml_backend_buffer_type_t buft = nullptr;
    bool                       host = true;

    layer_storage          storage; // empty while llama.cpp's own tensors are in use
    std::vector<head_rows> heads;
};

// Part of a graph that reads rows as f32, as the model made them.
struct rows_graph {
    ggml_tensor * rows     = nullptr; // [d, n_head_kv, n]
    ggml_tensor * rotation = nullptr; // for set_rotation() once memory is there; null: none
};

class compact_cache final : public llama_kv_ext_i {
public:
    // Throws EDGEKV_E_UNSUPPORTED with the reason when the context's cache cannot be made compact.
    explicit compact_cache(llama_context & ctx);
    ~compact_cache() override;

    // Why caches of this model cannot be made compact, "" when they can.
    static std::string unsupported_reason(const llama_model & model);

    //
    // for the C API
    //

    bool    compact() const { return m_compact; }
    int32_t n_context() const { return m_compact ? m_n_context : 0; }

    int32_t n_layer() const { return (int32_t) m_layers.size(); }
    int32_t n_head() const { return m_n_head; }
    int32_t n_head_kv() const { return m_n_head_kv; }

    // Of keys or values: an edgekv_row.
    int64_t head_size(int32_t which) const { return which == EDGEKV_ROW_K ? m_d_k : m_d_v; }

    const compact_layer & layer(int32_t i) const { return m_layers.at(i); }

    uint32_t n_ctx() const { return m_n_ctx; }
    uint32_t room() const;
    size_t   row_bytes() const;
    size_t   bytes() const;

    // Position after the last token, which cells alone do not tell when no head kept a row.
    int32_t position() const;

    // The sequence that the cache holds, 0 when empty. Throws when there are several.
    llama_seq_id sequence() const;

    void apply(const int32_t * counts, size_t n_counts, const int32_t * positions, size_t n_positions, uint32_t room, uint32_t align);

    // Adds the values of n dropped rows of a KV head, times their weights, to those of kept rows.
    void merge(int32_t layer, int32_t head, const int32_t * dropped, const int32_t * kept, const float * weights, size_t n);

    // Rotates each kept key to its index, where all heads kept equally many.
    void rerotate();

    // How a layer rotates keys. Throws EDGEKV_E_UNSUPPORTED where some layer does not by one position, last of all.
    struct rotation {
        int32_t             pairs; // an edgekv_rope_pairs
        std::vector<double> frequencies;
        double              scale;
    };
    rotation rope_of_layer(int32_t layer);

    // Score passes: between begin and end attention is built so that its weights can be seen. Which of the tokens that are there now is scores' to say.
    void begin_scores(const edgekv_scores & scores);
    // After each decode: adds the weights of its n_tokens queries.
    void collect_scores(edgekv_scores & scores, int32_t n_tokens);
    void end_scores();
    // Gives the memory back that passes took in the scheduler.
    void release_scores();

    // Eviction errors: between begin and end attention is computed over the kept positions of each layer too, those before n_context that are not among them left out.
    void begin_eviction(int32_t n_context, const int32_t * counts, const int32_t * positions, size_t n_positions);
    // After each decode, of n_tokens: adds ||O_c - O_f|| / (||O_f|| + epsilon) of each token to errors [n_layer].
    void collect_eviction(int32_t n_tokens, double epsilon, double * errors);
    void end_eviction();

    // Learned scores: from here on every token is scored as it is read. Null: none. Throws EDGEKV_E_UNSUPPORTED for models that do not name the input of their attention.
    void set_score_map(std::shared_ptr<const score_map> map);
    // After each decode, of n_tokens from position start on.
    void collect_learned(int32_t start, int32_t n_tokens);
    // From here on only those of positions first and after are kept.
    void forget_learned(int32_t first);
    // Scores of positions first .. first + n - 1, [n_layer, n_head_kv, n].
    void learned(int32_t first, int32_t n, float * out) const;

    // What layers' attention is given, of the tokens decoded last.
    void keep_inputs(bool keep);
    void collect_inputs(int32_t n_tokens);
    void inputs(int32_t layer, float * out, size_t count) const;

    // Sums of the queries and keys before RoPE, of tokens at position first and after. Throws EDGEKV_E_UNSUPPORTED where the graph does not show them.
    void    keep_queries(bool keep, int32_t first);
    // Before and after each decode, of n_tokens from position start on.
    void    prepare_queries(int32_t start, int32_t n_tokens);
    void    collect_queries(int32_t n_tokens);
    void    queries(int32_t which, int32_t layer, double * out, size_t count) const;
    int64_t n_queries() const { return m_n_queries; }

    // Attention without causality inside blocks of so many tokens of every batch; 0: none. Throws EDGEKV_E_UNSUPPORTED as keep_queries.
    void keep_blocks(int32_t block);
    void collect_blocks(int32_t n_tokens);
    void blocks(int32_t layer, float * out, size_t count) const;

    // To be called when what graphs are built on has changed: the last one is not used again.
    void changed();

    // What llama.cpp chooses RoPE factors by: the positions there will be, not the cells that the full layout has.
    void set_positions(uint32_t n_positions);

    // Which kernel single tokens attend with: an edgekv_attention.
    void set_attention(int32_t kernel);

    void norms(int32_t which, int32_t n_context, float * out);

    // Rows of one layer at positions first .. first + n - 1, [n, n_head_kv, d].
    void rows(int32_t which, int32_t layer, int32_t first, int32_t n, float * out);

    // What factors make of every row of one layer, [n_head_kv, n_forms, n_context]: an edgekv_form.
    void row_forms(int32_t which, int32_t layer, int32_t form, int32_t n_context, int32_t n_forms, const float * factors, float * out);

    // Weighted sums over the rows of one layer, [n_head_kv, n_sums, d] or [n_head_kv, n_sums, d, d]: an edgekv_moment.
    void row_moments(int32_t which, int32_t layer, int32_t moment, int32_t n_context, int32_t n_sums, const float * weights, double * out);

    // Norms of what each attention head's part of the output matrix makes of values, [n_layer, n_head, n_context].
    void output_norms(int32_t kind, int32_t n_context, float * out);

    //
    // llama_kv_ext_i
    //

    uint64_t generation() const override { return m_generation; }
    uint32_t n_nodes() const override;

    bool own_layout() const override { return m_compact; }

    ggml_tensor * build_idxs(ggml_context * ctx, uint32_t n_tokens) override;
    void          set_idxs(ggml_tensor * idxs, const uint32_t * cells, uint32_t n_tokens) const override;

    ggml_tensor * store_k(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) override;
    ggml_tensor * store_v(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) override;

    ggml_tensor * attend(ggml_context * ctx, ggml_tensor * q, ggml_tensor * mask, ggml_tensor * sinks, float scale, float softcap,
                         int32_t il) override;

    bool grow(uint32_t n_tokens) override;

    rm_action on_seq_rm(llama_pos p0, llama_pos p1) const override;
    void      on_clear() override;

    void state_write(llama_io_write_i & io) const override;
    void state_read(llama_io_read_i & io, llama_seq_id seq_id) override;

    void memory_breakdown(std::map<ggml_backend_buffer_type_t, size_t> & sizes) const override;

    bool wants_weights() const override { return m_scoring; }
    void add_weights(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * weights, int32_t il) override;

    bool wants_inputs() const override { return m_map != nullptr || m_keep_inputs; }
    void add_input(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * x, int32_t il) override;

    void add_heads(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * q, ggml_tensor * k, int32_t il) override;

private:
    // how a layer's keys are rotated, as the graph built last says
    struct rope {
        bool                found = false;
        int32_t             params[GGML_MAX_OP_PARAMS / sizeof(int32_t)];
        const ggml_tensor * factors = nullptr; // of the model; null: none
    };

    // where a row comes from when a layer is laid anew: an index into the rows that the old layout has for this head
    using row_list = std::vector<int32_t>;

    // Compute buffers are made anew, for the worst case of the layout as it is now.
    void reserve();

    // Gives a layer other tensors; what it had before is freed.
    void replace(compact_layer & layer, layer_storage && storage);
    void release_buffers();

    compact_layer &       layer_of(int32_t il) { return m_layers[m_layer_of[il]]; }
    const compact_layer & layer_of(int32_t il) const { return m_layers[m_layer_of[il]]; }

    // Offsets and capacities of heads with the given counts and room; returns the rows of the layer.
    uint32_t lay_out(const compact_layer & layer, std::vector<head_rows> & heads, uint32_t room) const;

    layer_storage allocate(const compact_layer & layer, uint32_t n_rows) const;

    // Lays out all layers, heads having their counts, and allocates them. Throws EDGEKV_E_MEMORY before it takes what is not there.
    std::vector<layer_storage> allocate_all(std::vector<std::vector<head_rows>> & heads, uint32_t room) const;

    layer_storage allocate_full(const compact_layer & layer) const;
    size_t        storage_bytes(const compact_layer & layer, uint32_t n_rows) const;

    // Throws EDGEKV_E_MEMORY when the host or a device has less than needed, by buffer type.
    void check_memory(const std::map<ggml_backend_buffer_type_t, size_t> & needed) const;

    // Copies rows on the device: head h of target gets the rows that sources[h] names, from its first row on.
    void move_rows(const compact_layer & layer, const layer_storage & target, const std::vector<head_rows> & heads,
                   const std::vector<row_list> & sources) const;

    // The context's backend that computes on buffers of a type.
    ggml_backend_t backend_of(ggml_backend_buffer_type_t buft) const;

    // Cells of positions first and after, and the stretch of cells that holds them all, others' among them.
    struct cell_range {
        std::vector<int32_t> cell_of;
        int64_t              start   = 0;
        int64_t              n_cells = 0;
    };

    // Checks what rows() documents, and that nothing waits to be done to the cells.
    cell_range cells_to_read(int32_t layer, int32_t first, int32_t n);

    // The full cache's rows of cells first .. first + n - 1.
    rows_graph build_rows(device_graph & graph, const compact_layer & layer, int32_t which, int64_t first, int64_t n) const;
    void       set_rotation(ggml_tensor * rotation) const;

    // Makes the cells anew: B kept ones, and those that appended names, in B + W.
    void use_cells(llama_seq_id seq_id, const std::vector<std::pair<uint32_t, llama_pos>> & appended);

    // Cells of positions 0 .. n-1, throws EDGEKV_E_PLAN when one is not there.
    std::vector<int32_t> cells_by_position(int32_t n) const;

    // Cells above the kept rows that are in use, with their positions, in the cells' order.
    std::vector<std::pair<uint32_t, llama_pos>> appended_cells() const;

    // Null where llama.cpp's own kernel is to be used.
    decode_attention * own_attention(const compact_layer & layer, const ggml_tensor * q, const ggml_tensor * mask);

    // Builds the worst case, which shows whether the model names what every layer's attention is given: fails with undo called when it does not.
    template <typename F>
    void require_inputs(const std::vector<ggml_tensor *> & tensors, F undo);

    // For graphs of our own: where their memory goes instead of being freed.
    device_graph::memory * kept_memory() { return m_keeps_freed ? &m_freed_graphs : nullptr; }

    void see(const edgekv_scores & scores);
    void forget_seen();

    // Throws EDGEKV_E_UNSUPPORTED where something lies between a layer's heads and its output matrix.
    void require_output_matrix() const;

    void add_eviction(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * weights, int32_t l);

    // rope_q, rope_k: null where RoPE does not make them last
    void add_blocks(ggml_context * ctx, ggml_cgraph * gf, const ggml_tensor * rope_q, const ggml_tensor * rope_k, int32_t l);

    // Throws EDGEKV_E_UNSUPPORTED where some layer's keys are not rotated by one position, last of all.
    void require_ropes();
    void rotate_layer(const compact_layer & layer, const rope & rope);

    ggml_tensor * store(ggml_context * ctx, ggml_tensor * target, ggml_tensor * cur, ggml_tensor * idxs, int32_t il);

    llama_context &  m_ctx;
    llama_kv_cache & m_kv;

    ggml_type m_type_k;
    ggml_type m_type_v;

    int32_t  m_n_head    = 0;
    int32_t  m_n_head_kv = 0;
    int64_t  m_d_k       = 0;
    int64_t  m_d_v       = 0;
    uint32_t m_n_ctx     = 0; // cells of the full layout

    std::vector<compact_layer> m_layers;
    std::vector<int32_t>       m_layer_of; // model layer -> index into m_layers

    // Mesa's software device (llvmpipe, seen with 22.3) writes into buffers that were freed between two graphs, stock llama.cpp's own among them: there nothing is
    // freed before the context is. No other device is known to.
    bool                                 m_keeps_freed = false;
    std::vector<layer_storage>           m_freed_storage;
    device_graph::memory                 m_freed_graphs;
    std::vector<llama_kv_cache::buffers> m_freed_buffers;

    bool     m_compact   = false;
    uint32_t m_n_kept    = 0; // B
    uint32_t m_room      = 0; // W, the same for all heads; some have a few rows more
    uint32_t m_block     = 256;
    int32_t  m_n_context = 0;

    uint64_t m_generation = 1;

    // tensors of the graph that is being built; renewed by build_idxs, which comes first in every graph
    std::map<const ggml_tensor *, ggml_tensor *> m_graph_idxs;
    std::map<uint32_t, ggml_tensor *>            m_graph_masks;

    mutable std::vector<int32_t> m_idxs_scratch;

    bool                                           m_own_attention = false;
    std::vector<std::unique_ptr<decode_attention>> m_decode; // by layer

    bool m_scoring     = false;
    bool m_scores_used = false;

    // What a pass's queries see, by cell, 1 or 0; empty: everything. On the host and on the devices of layers that are not there.
    struct device_tensor {
        ggml_context_ptr        ctx;
        ggml_backend_buffer_ptr buffer;
        ggml_tensor *           tensor = nullptr;
    };
    std::vector<float>                                  m_seen;
    std::map<ggml_backend_buffer_type_t, device_tensor> m_seen_on;
    std::vector<device_tensor>                          m_freed_seen; // as m_freed_storage

    struct weights_out {
        ggml_tensor * max  = nullptr;
        ggml_tensor * sum  = nullptr; // sum over queries on the host path, mean on the device path
        bool          mean = false;
    };
    std::vector<weights_out> m_weights; // by layer, of the graph built last

    struct eviction_out {
        ggml_tensor * full       = nullptr; // ||O_f||, [1, n_tokens]
        ggml_tensor * difference = nullptr; // ||O_c - O_f||, [1, n_tokens]
    };
    std::vector<device_tensor> m_kept_cells;   // by layer, 1 for what stays; empty: no eviction is looked at
    std::vector<eviction_out>  m_eviction_out; // by layer, of the graph built last

    std::vector<float> m_weights_scratch;

    std::shared_ptr<const score_map> m_map;
    std::vector<ggml_tensor *>       m_learned_out; // by layer, of the graph built last: [n_head_kv, n_tokens]
    std::vector<float>               m_learned;     // [position][layer][KV head], from m_learned_first on
    int32_t                          m_learned_first = 0;
    std::vector<float>               m_learned_scratch;

    bool                       m_keep_inputs = false;
    std::vector<ggml_tensor *> m_inputs_out;   // by layer, of the graph built last: [n_embd, n_tokens]
    int32_t                    m_n_inputs = 0; // tokens that they are there for

    std::vector<rope> m_ropes; // by layer

    bool    m_keep_queries = false;
    int32_t m_query_first  = 0; // position
    int32_t m_query_skip   = 0; // tokens of the batch that are before it
    int64_t m_n_queries    = 0;

    struct query_sums_out {
        bool          found      = false;
        ggml_tensor * q          = nullptr; // [1, d, n_head]
        ggml_tensor * qq         = nullptr; // [d, d, n_head]
        ggml_tensor * k          = nullptr; // [1, d, n_head_kv]
        ggml_tensor * rotated_q  = nullptr; // as q and qq, after RoPE
        ggml_tensor * rotated_qq = nullptr;
    };
    struct query_sums {
        std::vector<double> q;
        std::vector<double> qq;
        std::vector<double> k;
        std::vector<double> rotated_q;
        std::vector<double> rotated_qq;
    };
    std::vector<query_sums_out> m_query_out;  // by layer, of the graph built last
    std::vector<query_sums>     m_query_sums; // by layer
    std::vector<float>          m_query_scratch;

    struct blocks_out {
        bool          found = false;
        ggml_tensor * whole = nullptr; // [1, m_block_tokens, n_head, whole blocks], null: there are none
        ggml_tensor * rest  = nullptr; // [1, tokens after them, n_head]
    };
    int32_t                 m_block_tokens = 0;
    int32_t                 m_n_in_blocks  = 0; // tokens that the sums are there for
    std::vector<blocks_out> m_blocks_out;       // by layer, of the graph built last
};

} // namespace edgekv
