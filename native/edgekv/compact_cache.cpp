#include "compact_cache.h"

#include "edgekv.h"
#include "memory.h"

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "llama-arch.h"
#include "llama-hparams.h"
#include "llama-io.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

namespace edgekv {

namespace {

// GPU kernels bind views by offset, in steps of up to this.
constexpr size_t DEVICE_OFFSET_ALIGNMENT = 256;

template <typename T>
T round_up(T n, T step) {
    return (n + step - 1) / step * step;
}

size_t row_size(ggml_type type, int64_t d) {
    return ggml_row_size(type, d);
}

// A tensor over memory that another one owns: view_tensor keeps the type, this does not.
ggml_tensor * alias(ggml_context * ctx, ggml_backend_buffer_t buffer, ggml_type type, int64_t ne0, int64_t ne1, size_t nb1,
                    void * address) {
    ggml_tensor * t = ggml_new_tensor_2d(ctx, type, ne0, ne1);

    t->nb[1] = nb1;
    t->nb[2] = nb1 * ne1;
    t->nb[3] = t->nb[2];

    if (ggml_backend_tensor_alloc(buffer, t, address) != GGML_STATUS_SUCCESS) {
        fail(EDGEKV_E_INTERNAL, "a view of the cache was refused by its backend");
    }

    return t;
}

void * address_in(const ggml_tensor * t, size_t offset) {
    return (char *) t->data + offset;
}

ggml_context_ptr new_context(size_t n_tensors, size_t n_nodes) {
    const ggml_init_params params = {
        /*.mem_size   =*/n_tensors * ggml_tensor_overhead() + (n_nodes ? ggml_graph_overhead_custom(n_nodes, false) : 0),
        /*.mem_buffer =*/nullptr,
        /*.no_alloc   =*/true,
    };
    ggml_context_ptr ctx{ ggml_init(params) };
    if (!ctx) {
        throw std::bad_alloc();
    }
    return ctx;
}

void compute(ggml_backend_t backend, ggml_cgraph * gf, const char * what) {
    switch (ggml_backend_graph_compute(backend, gf)) {
        case GGML_STATUS_SUCCESS:
            return;
        case GGML_STATUS_ABORTED:
            fail(EDGEKV_E_CANCELLED, "%s was interrupted", what);
        default:
            fail(EDGEKV_E_INTERNAL, "%s failed on %s: %s", what, ggml_backend_name(backend), llama_error().c_str());
    }
}

std::string mib(size_t bytes) {
    return text("%.1f MiB", bytes / 1048576.0);
}

} // namespace

//
// what can be made compact
//

std::string compact_cache::unsupported_reason(const llama_model & model) {
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
        if (hparams.n_head_kv(il) == 0 || hparams.n_head(il) == 0) {
            return text("layer %u of %s has no attention", il, arch.c_str());
        }
        if (hparams.n_head(il) != hparams.n_head() || hparams.n_head_kv(il) != hparams.n_head_kv() ||
            hparams.n_embd_head_k(il) != hparams.n_embd_head_k() || hparams.n_embd_head_v(il) != hparams.n_embd_head_v()) {
            return text("layer %u of %s has other numbers or sizes of heads than layer 0", il, arch.c_str());
        }
    }

    return "";
}

compact_cache::compact_cache(llama_context & ctx)
    : m_ctx(ctx), m_kv([&]() -> llama_kv_cache & {
          const std::string reason = unsupported_reason(ctx.get_model());
          if (!reason.empty()) {
              fail(EDGEKV_E_UNSUPPORTED, "the KV cache of this model cannot be made compact: %s", reason.c_str());
          }

          auto * kv = dynamic_cast<llama_kv_cache *>(ctx.get_memory());
          if (!kv) {
              fail(EDGEKV_E_UNSUPPORTED, "the context's memory is not a plain KV cache");
          }
          if (kv->get_ext()) {
              fail(EDGEKV_E_STATE, "the context already belongs to another edgekv_context");
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
      }()),
      m_type_k(m_kv.type_k()), m_type_v(m_kv.type_v()) {
    const llama_hparams & hparams = ctx.get_model().hparams;

    m_n_head    = (int32_t) hparams.n_head();
    m_n_head_kv = (int32_t) hparams.n_head_kv();
    m_d_k       = hparams.n_embd_head_k();
    m_d_v       = hparams.n_embd_head_v();
    m_n_ctx     = m_kv.get_size();

    const auto ids = m_kv.get_layer_ids();

    m_layer_of.assign(hparams.n_layer_all, -1);
    for (const uint32_t il : ids) {
        compact_layer layer;

        layer.il    = (int32_t) il;
        layer.buft  = ggml_backend_buffer_get_type(m_kv.get_k_storage(layer.il)->buffer);
        layer.host  = ggml_backend_buft_is_host(layer.buft);
        layer.heads = std::vector<head_rows>(m_n_head_kv);

        if (!layer.host && (row_size(m_type_k, m_d_k) % 4 != 0 || row_size(m_type_v, m_d_v) % 4 != 0)) {
            fail(EDGEKV_E_UNSUPPORTED, "rows of %s with head size %d are not whole words, which %s cannot gather; use f16",
                 ggml_type_name(m_type_k), (int) m_d_k, ggml_backend_buft_name(layer.buft));
        }

        if (ggml_backend_dev_t device = ggml_backend_buft_get_device(layer.buft)) {
            m_keeps_freed |= std::strstr(ggml_backend_dev_description(device), "llvmpipe") != nullptr;
        }

        m_layer_of[il] = (int32_t) m_layers.size();
        m_layers.push_back(std::move(layer));
    }
    m_weights.resize(m_layers.size());
    m_ropes.resize(m_layers.size());
    for (size_t l = 0; l < m_layers.size(); ++l) {
        m_decode.push_back(std::make_unique<decode_attention>());
    }

    set_attention(EDGEKV_ATTENTION_AUTO);

    m_ctx.set_kv_ext(this);
    m_ctx.graph_invalidate(true); // graphs have more nodes now
}

compact_cache::~compact_cache() = default;

uint32_t compact_cache::n_nodes() const {
    // per run of heads: views and permutations of Q, K, V, the mask, the call, the concatenation; per layer: storing, the weights' reductions, learned scores, sums of queries,
    // eviction errors, attention inside blocks
    return (uint32_t) m_layers.size() * (130 + 16 * (uint32_t) m_n_head_kv);
}

void compact_cache::changed() {
    ++m_generation;
    m_n_inputs    = 0;
    m_n_in_blocks = 0;
    m_ctx.graph_invalidate(false);
}

void compact_cache::reserve() {
    m_ctx.graph_invalidate(!m_keeps_freed);
}

void compact_cache::replace(compact_layer & layer, layer_storage && storage) {
    m_kv.set_storage(layer.il, storage.k, storage.v);
    std::swap(layer.storage, storage);
    if (m_keeps_freed && storage.buffer) {
        m_freed_storage.push_back(std::move(storage));
    }
}

void compact_cache::release_buffers() {
    auto buffers = m_kv.release_buffers();
    if (m_keeps_freed) {
        m_freed_buffers.push_back(std::move(buffers));
    }
}

//
// numbers
//

size_t compact_cache::row_bytes() const {
    return row_size(m_type_k, m_d_k) + row_size(m_type_v, m_d_v);
}

size_t compact_cache::bytes() const {
    std::map<ggml_backend_buffer_type_t, size_t> sizes = m_kv.memory_breakdown();
    return std::accumulate(sizes.begin(), sizes.end(), size_t{ 0 }, [](size_t sum, const auto & entry) { return sum + entry.second; });
}

uint32_t compact_cache::room() const {
    return m_compact ? m_room : m_n_ctx;
}

void compact_cache::memory_breakdown(std::map<ggml_backend_buffer_type_t, size_t> & sizes) const {
    for (const auto & layer : m_layers) {
        if (layer.storage.buffer) {
            sizes[layer.buft] += ggml_backend_buffer_get_size(layer.storage.buffer.get());
        }
    }
}

llama_seq_id compact_cache::sequence() const {
    const llama_kv_cells & cells = m_kv.get_cells();
    if (cells.get_used() == 0) {
        return 0;
    }

    const uint32_t i = cells.used_min();
    if (cells.seq_count(i) != 1) {
        fail(EDGEKV_E_STATE, "the cache holds several sequences; one per context is what can be made compact");
    }
    return cells.seq_get(i);
}

int32_t compact_cache::position() const {
    const int32_t next = m_kv.seq_pos_max(sequence()) + 1;
    return m_compact ? std::max(next, m_n_context) : next;
}

std::vector<int32_t> compact_cache::cells_by_position(int32_t n) const {
    const llama_kv_cells & cells  = m_kv.get_cells();
    const llama_seq_id     seq_id = sequence();

    std::vector<int32_t> result(n, -1);

    const uint32_t end = cells.used_max_p1();
    for (uint32_t i = cells.used_min(); i < end; ++i) {
        if (cells.is_empty(i)) {
            continue;
        }
        if (cells.seq_count(i) != 1 || !cells.seq_has(i, seq_id)) {
            fail(EDGEKV_E_STATE, "the cache holds several sequences; one per context is what can be made compact");
        }
        const llama_pos pos = cells.pos_get(i);
        if (pos >= n) {
            continue;
        }
        if (result[pos] >= 0) {
            fail(EDGEKV_E_STATE, "position %d is in the cache twice", pos);
        }
        result[pos] = (int32_t) i;
    }

    return result;
}

std::vector<std::pair<uint32_t, llama_pos>> compact_cache::appended_cells() const {
    const llama_kv_cells & cells = m_kv.get_cells();

    std::vector<std::pair<uint32_t, llama_pos>> result;
    for (uint32_t i = m_n_kept; i < cells.used_max_p1(); ++i) {
        if (!cells.is_empty(i)) {
            result.emplace_back(i, cells.pos_get(i));
        }
    }
    return result;
}

void compact_cache::use_cells(llama_seq_id seq_id, const std::vector<std::pair<uint32_t, llama_pos>> & appended) {
    llama_kv_cells cells;
    cells.resize(m_n_kept + m_room);

    for (uint32_t i = 0; i < m_n_kept; ++i) {
        cells.pos_set(i, m_n_context - (llama_pos) m_n_kept + (llama_pos) i);
        cells.seq_add(i, seq_id);
    }
    for (const auto & [cell, pos] : appended) {
        cells.pos_set(cell, pos);
        cells.seq_add(cell, seq_id);
    }

    m_kv.set_cells(std::move(cells));
}

//
// memory
//

uint32_t compact_cache::lay_out(const compact_layer & layer, std::vector<head_rows> & heads, uint32_t room) const {
    const size_t row_k = row_size(m_type_k, m_d_k);
    const size_t row_v = row_size(m_type_v, m_d_v);

    // every head starts where kernels can bind it
    size_t alignment = ggml_backend_buft_get_alignment(layer.buft);
    if (!layer.host) {
        alignment = std::max(alignment, DEVICE_OFFSET_ALIGNMENT);
    }
    uint32_t step = 1;
    while (step * row_k % alignment != 0 || step * row_v % alignment != 0) {
        ++step;
    }

    uint32_t n_rows = 0;
    for (auto & head : heads) {
        head.offset   = n_rows;
        head.capacity = round_up(head.n + room, step);
        n_rows += head.capacity;
    }
    return n_rows;
}

size_t compact_cache::storage_bytes(const compact_layer & layer, uint32_t n_rows) const {
    const size_t alignment = ggml_backend_buft_get_alignment(layer.buft);
    return round_up(n_rows * row_size(m_type_k, m_d_k), alignment) + round_up(n_rows * row_size(m_type_v, m_d_v), alignment);
}

void compact_cache::check_memory(const std::map<ggml_backend_buffer_type_t, size_t> & needed) const {
    for (const auto & [buft, bytes] : needed) {
        const memory_left left = memory_left_on(ggml_backend_buft_is_host(buft) ? nullptr : ggml_backend_buft_get_device(buft));
        if (bytes > left.bytes) {
            fail(EDGEKV_E_MEMORY, "%s of memory are needed for the cache and %s has %s left", mib(bytes).c_str(), left.where.c_str(),
                 mib(left.bytes).c_str());
        }
    }
}

layer_storage compact_cache::allocate(const compact_layer & layer, uint32_t n_rows) const {
    layer_storage storage;

    storage.ctx = new_context(2, 0);
    storage.k   = ggml_new_tensor_2d(storage.ctx.get(), m_type_k, m_d_k, n_rows);
    storage.v   = ggml_new_tensor_2d(storage.ctx.get(), m_type_v, m_d_v, n_rows);
    ggml_format_name(storage.k, "compact_k_l%d", layer.il);
    ggml_format_name(storage.v, "compact_v_l%d", layer.il);

    storage.buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(storage.ctx.get(), layer.buft));
    if (!storage.buffer) {
        fail(EDGEKV_E_MEMORY, "%s of memory could not be had from %s for layer %d of the cache", mib(storage_bytes(layer, n_rows)).c_str(),
             ggml_backend_buft_name(layer.buft), layer.il);
    }
    // kernels multiply rows that the mask hides: what is there must be a number
    ggml_backend_buffer_clear(storage.buffer.get(), 0);

    return storage;
}

std::vector<layer_storage> compact_cache::allocate_all(std::vector<std::vector<head_rows>> & heads, uint32_t room) const {
    std::map<ggml_backend_buffer_type_t, size_t> needed;
    std::vector<uint32_t>                        n_rows(m_layers.size());
    for (size_t l = 0; l < m_layers.size(); ++l) {
        n_rows[l] = lay_out(m_layers[l], heads[l], room);
        needed[m_layers[l].buft] += storage_bytes(m_layers[l], n_rows[l]);
    }
    check_memory(needed);

    std::vector<layer_storage> storages;
    for (size_t l = 0; l < m_layers.size(); ++l) {
        storages.push_back(allocate(m_layers[l], n_rows[l]));
    }
    return storages;
}

layer_storage compact_cache::allocate_full(const compact_layer & layer) const {
    layer_storage storage;

    storage.ctx = new_context(2, 0);
    storage.k   = ggml_new_tensor_3d(storage.ctx.get(), m_type_k, m_d_k * m_n_head_kv, m_n_ctx, 1);
    storage.v   = ggml_new_tensor_3d(storage.ctx.get(), m_type_v, m_d_v * m_n_head_kv, m_n_ctx, 1);
    ggml_format_name(storage.k, "cache_k_l%d", layer.il);
    ggml_format_name(storage.v, "cache_v_l%d", layer.il);

    storage.buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(storage.ctx.get(), layer.buft));
    if (!storage.buffer) {
        fail(EDGEKV_E_MEMORY, "memory for layer %d of the full cache could not be had from %s", layer.il,
             ggml_backend_buft_name(layer.buft));
    }
    ggml_backend_buffer_clear(storage.buffer.get(), 0);

    return storage;
}

ggml_backend_t compact_cache::backend_of(ggml_backend_buffer_type_t buft) const {
    ggml_backend_sched_t     sched  = m_ctx.get_sched();
    const ggml_backend_dev_t device = ggml_backend_buft_get_device(buft);

    for (int i = 0; i < ggml_backend_sched_get_n_backends(sched); ++i) {
        ggml_backend_t backend = ggml_backend_sched_get_backend(sched, i);
        if (ggml_backend_supports_buft(backend, buft) && (!device || ggml_backend_get_device(backend) == device)) {
            return backend;
        }
    }
    fail(EDGEKV_E_INTERNAL, "no backend works on %s", ggml_backend_buft_name(buft));
}

//
// laying rows anew
//

void compact_cache::move_rows(const compact_layer & layer, const layer_storage & target, const std::vector<head_rows> & heads,
                              const std::vector<row_list> & sources) const {
    // In llama.cpp's layout the rows of all heads of a cell lie side by side, in the compact one each head's lie together. Either way the whole tensor is one list of
    // rows, which kernels can bind where it starts.
    const int32_t step  = m_compact ? 1 : m_n_head_kv;
    const auto index_of = [&](int32_t h, int32_t row) { return m_compact ? (int32_t) layer.heads[h].offset + row : row * m_n_head_kv + h; };

    // one list of indices per layer, each head's starting where a kernel can bind it
    constexpr size_t INDEX_STEP = DEVICE_OFFSET_ALIGNMENT / sizeof(int32_t);

    std::vector<size_t>  starts;
    std::vector<int32_t> indices;
    size_t               n_runs = 0;
    for (int32_t h = 0; h < m_n_head_kv; ++h) {
        starts.push_back(indices.size());
        for (size_t i = 0; i < sources[h].size(); ++i) {
            n_runs += i == 0 || sources[h][i] != sources[h][i - 1] + 1;
            indices.push_back(index_of(h, sources[h][i]));
        }
        indices.resize(round_up(indices.size(), INDEX_STEP), 0);
    }
    if (indices.empty()) {
        return;
    }

    // K and V, each run with its two ends
    const size_t n_nodes = 4 * std::max(n_runs, sources.size()) + 16;

    ggml_context_ptr ctx_index = new_context(1, 0);
    ggml_tensor *    index     = ggml_new_tensor_1d(ctx_index.get(), GGML_TYPE_I32, (int64_t) indices.size());

    ggml_backend_buffer_ptr index_buffer{ ggml_backend_alloc_ctx_tensors_from_buft(ctx_index.get(), layer.buft) };
    if (!index_buffer) {
        fail(EDGEKV_E_MEMORY, "memory for the row indices of layer %d could not be had from %s", layer.il,
             ggml_backend_buft_name(layer.buft));
    }
    ggml_backend_tensor_set(index, indices.data(), 0, indices.size() * sizeof(int32_t));

    ggml_context_ptr ctx = new_context(2 * n_nodes, n_nodes);
    ggml_cgraph *    gf  = ggml_new_graph_custom(ctx.get(), n_nodes, false);

    const auto move = [&](ggml_tensor * from, ggml_tensor * to, int64_t d) {
        const size_t  row    = row_size(to->type, d);
        const int64_t n_from = ggml_nelements(from) / d;

        for (int32_t h = 0; h < m_n_head_kv; ++h) {
            const size_t n_rows    = sources[h].size();
            const size_t to_offset = heads[h].offset * row;
            if (n_rows == 0) {
                continue;
            }

            if (row % sizeof(int32_t) == 0) {
                // rows as words: no type is converted, so this is exact for every cache type
                const int64_t n_words = (int64_t) (row / sizeof(int32_t));

                ggml_tensor * words = alias(ctx.get(), from->buffer, GGML_TYPE_I32, n_words, n_from, row, address_in(from, 0));
                ggml_tensor * picks = alias(ctx.get(), index_buffer.get(), GGML_TYPE_I32, (int64_t) n_rows, 1, n_rows * sizeof(int32_t),
                                            address_in(index, starts[h] * sizeof(int32_t)));

                // the result is written where it belongs, without a copy in between
                ggml_tensor * kept = ggml_get_rows(ctx.get(), words, picks);
                if (ggml_backend_tensor_alloc(to->buffer, kept, address_in(to, to_offset)) != GGML_STATUS_SUCCESS) {
                    fail(EDGEKV_E_INTERNAL, "a view of the cache was refused by its backend");
                }
                ggml_build_forward_expand(gf, kept);
                continue;
            }

            // head sizes such as 96 in q8_0: runs of rows, copied as they are
            const int32_t * picks = indices.data() + starts[h];
            for (size_t i = 0; i < n_rows;) {
                size_t n = 1;
                while (i + n < n_rows && picks[i + n] == picks[i] + (int32_t) n * step) {
                    ++n;
                }
                ggml_tensor * run =
                    alias(ctx.get(), from->buffer, from->type, d, (int64_t) n, step * row, address_in(from, picks[i] * row));
                ggml_tensor * dest = alias(ctx.get(), to->buffer, to->type, d, (int64_t) n, row, address_in(to, to_offset + i * row));

                ggml_tensor * copy = ggml_cpy(ctx.get(), run, dest);
                copy->buffer       = dest->buffer;
                copy->data         = dest->data;
                ggml_build_forward_expand(gf, copy);

                i += n;
            }
        }
    };

    move(m_kv.get_k_storage(layer.il), target.k, m_d_k);
    move(m_kv.get_v_storage(layer.il), target.v, m_d_v);

    compute(backend_of(layer.buft), gf, "moving rows of the cache");
}

void compact_cache::apply(const int32_t * counts, size_t n_counts, const int32_t * positions, size_t n_positions, uint32_t room,
                          uint32_t align) {
    const size_t n_heads = m_layers.size() * m_n_head_kv;

    if (n_counts != n_heads) {
        fail(EDGEKV_E_PLAN, "the plan has counts for %zu KV heads, the model has %zu layers x %d", n_counts, m_layers.size(), m_n_head_kv);
    }

    const uint32_t window = m_ctx.get_model().hparams.n_ctx_train;
    if (room > window || align > window) {
        fail(EDGEKV_E_ARGUMENT, "room for %u tokens in steps of %u; the model's window is %u", room, align, window);
    }

    m_ctx.synchronize();
    m_ctx.memory_update(false); // a shift that waits

    const int32_t      n_context = position();
    const llama_seq_id seq_id    = sequence();
    const auto         cell_of   = cells_by_position(n_context);

    // where each head's rows are now; in a compact cache, kept rows by their positions and later tokens by their cells
    std::vector<std::vector<row_list>>  sources(m_layers.size(), std::vector<row_list>(m_n_head_kv));
    std::vector<std::vector<head_rows>> heads(m_layers.size(), std::vector<head_rows>(m_n_head_kv));

    uint32_t n_kept = 0;
    size_t   offset = 0;
    for (size_t l = 0; l < m_layers.size(); ++l) {
        for (int32_t h = 0; h < m_n_head_kv; ++h) {
            const int32_t count = counts[l * m_n_head_kv + h];
            if (count < 0 || count > n_context) {
                fail(EDGEKV_E_PLAN, "layer %zu, KV head %d: %d rows of %d positions", l, h, count, n_context);
            }
            if (count > (int64_t) (n_positions - offset)) {
                fail(EDGEKV_E_PLAN, "layer %zu, KV head %d: the plan ends after %zu positions", l, h, n_positions);
            }

            const head_rows & old = m_layers[l].heads[h];
            head_rows &       now = heads[l][h];
            now.n                 = (uint32_t) count;
            now.positions.assign(positions + offset, positions + offset + count);
            sources[l][h].reserve(count);

            for (int32_t i = 0; i < count; ++i) {
                const int32_t p = now.positions[i];
                if (p < 0 || p >= n_context) {
                    fail(EDGEKV_E_PLAN, "layer %zu, KV head %d: position %d is not in 0 .. %d", l, h, p, n_context - 1);
                }
                if (i > 0 && p <= now.positions[i - 1]) {
                    fail(EDGEKV_E_PLAN, "layer %zu, KV head %d: position %d comes after %d", l, h, p, now.positions[i - 1]);
                }

                int32_t row = -1;
                if (m_compact && p < m_n_context) {
                    const auto it = std::lower_bound(old.positions.begin(), old.positions.end(), p);
                    if (it != old.positions.end() && *it == p) {
                        row = (int32_t) (it - old.positions.begin());
                    }
                } else if (cell_of[p] >= 0) {
                    row = m_compact ? (int32_t) old.n + cell_of[p] - (int32_t) m_n_kept : cell_of[p];
                }
                if (row < 0) {
                    fail(EDGEKV_E_PLAN, "layer %zu, KV head %d: position %d is no longer in the cache", l, h, p);
                }
                sources[l][h].push_back(row);
            }

            n_kept = std::max(n_kept, now.n);
            offset += count;
        }
    }
    if (offset != n_positions) {
        fail(EDGEKV_E_PLAN, "the counts add up to %zu rows, the plan has %zu positions", offset, n_positions);
    }

    const bool     on_device = std::any_of(m_layers.begin(), m_layers.end(), [](const compact_layer & layer) { return !layer.host; });
    const uint32_t block     = round_up(room ? room : 256u, align ? align : on_device ? 256u : 1u);

    // everything new is built before anything old goes
    std::vector<layer_storage> storages = allocate_all(heads, block);
    for (size_t l = 0; l < m_layers.size(); ++l) {
        move_rows(m_layers[l], storages[l], heads[l], sources[l]);
    }

    // nothing fails from here on
    for (size_t l = 0; l < m_layers.size(); ++l) {
        replace(m_layers[l], std::move(storages[l]));
        m_layers[l].heads = std::move(heads[l]);
    }
    release_buffers();

    m_compact   = true;
    m_n_kept    = n_kept;
    m_room      = block;
    m_block     = block;
    m_n_context = n_context;

    use_cells(seq_id, {});
    changed();
    m_scores_used = false;
    reserve();
    host_memory_trim();
}

bool compact_cache::grow(uint32_t n_tokens) {
    const auto         appended = appended_cells();
    const llama_seq_id seq_id   = sequence();

    const uint32_t free = m_room - (uint32_t) appended.size();
    if (n_tokens <= free) {
        return true;
    }
    const uint32_t room = m_room + round_up(n_tokens - free, m_block);

    try {
        std::map<ggml_backend_buffer_type_t, size_t> needed;
        for (auto & layer : m_layers) {
            auto heads = layer.heads;
            // one layer at a time is there twice
            needed[layer.buft] +=
                storage_bytes(layer, lay_out(layer, heads, room) -
                                         std::accumulate(layer.heads.begin(), layer.heads.end(), 0u,
                                                         [](uint32_t sum, const head_rows & head) { return sum + head.capacity; }));
        }
        check_memory(needed);

        for (auto & layer : m_layers) {
            auto           heads   = layer.heads;
            const uint32_t n_rows  = lay_out(layer, heads, room);
            layer_storage  storage = allocate(layer, n_rows);

            std::vector<row_list> sources;
            for (const auto & head : layer.heads) {
                sources.emplace_back(head.n + m_room);
                std::iota(sources.back().begin(), sources.back().end(), 0);
            }
            move_rows(layer, storage, heads, sources);

            replace(layer, std::move(storage));
            layer.heads = std::move(heads);
            changed();
        }
    } catch (...) {
        // layers that have grown already just have more room than is used
        set_last_error("");
        status_of_current_exception();
        return false;
    }

    m_room = room;
    use_cells(seq_id, appended);
    changed();

    return true;
}

//
// the cache's own calls
//

llama_kv_ext_i::rm_action compact_cache::on_seq_rm(llama_pos p0, llama_pos p1) const {
    if (p0 >= m_n_context) {
        return RM_CELLS;
    }
    if (p0 <= 0 && p1 >= position()) {
        return RM_ALL;
    }
    return RM_REFUSE;
}

void compact_cache::on_clear() {
    if (!m_compact) {
        for (auto & layer : m_layers) {
            if (layer.storage.buffer) {
                ggml_backend_buffer_clear(layer.storage.buffer.get(), 0);
            }
        }
        return;
    }

    m_ctx.synchronize();

    // back to llama.cpp's own layout, which score passes need; where its memory is not to be had, an empty compact cache does all the rest
    try {
        std::map<ggml_backend_buffer_type_t, size_t> needed;
        for (const auto & layer : m_layers) {
            needed[layer.buft] += storage_bytes(layer, m_n_ctx * (uint32_t) m_n_head_kv);
        }
        check_memory(needed);

        std::vector<layer_storage> storages;
        for (const auto & layer : m_layers) {
            storages.push_back(allocate_full(layer));
        }

        for (size_t l = 0; l < m_layers.size(); ++l) {
            replace(m_layers[l], std::move(storages[l]));
            m_layers[l].heads = std::vector<head_rows>(m_n_head_kv);
        }

        m_compact = false;
        m_n_kept  = 0;
        m_room    = 0;

        llama_kv_cells cells;
        cells.resize(m_n_ctx);
        m_kv.set_cells(std::move(cells));
    } catch (const std::exception &) {
        uint32_t room = std::numeric_limits<uint32_t>::max();
        for (auto & layer : m_layers) {
            ggml_backend_buffer_clear(layer.storage.buffer.get(), 0);
            for (auto & head : layer.heads) {
                head.n = 0;
                head.positions.clear();
                room = std::min(room, head.capacity);
            }
        }

        m_n_kept = 0;
        m_room   = room;
        use_cells(0, {});
    }

    m_n_context = 0;
    changed();
    host_memory_trim();
}

//
// graph
//

ggml_tensor * compact_cache::build_idxs(ggml_context * ctx, uint32_t n_tokens) {
    m_graph_idxs.clear();
    m_graph_masks.clear();

    // a layer's indices start where a kernel can bind them
    const int64_t n = round_up<int64_t>((int64_t) n_tokens * m_n_head_kv, DEVICE_OFFSET_ALIGNMENT / sizeof(int32_t));

    ggml_tensor * idxs = ggml_new_tensor_2d(ctx, GGML_TYPE_I32, n, (int64_t) m_layers.size());
    ggml_set_input(idxs);
    return idxs;
}

void compact_cache::set_idxs(ggml_tensor * idxs, const uint32_t * cells, uint32_t n_tokens) const {
    m_idxs_scratch.resize(ggml_nelements(idxs));

    for (size_t l = 0; l < m_layers.size(); ++l) {
        int32_t * row = m_idxs_scratch.data() + l * idxs->ne[0];
        for (uint32_t t = 0; t < n_tokens; ++t) {
            for (const auto & head : m_layers[l].heads) {
                *row++ = (int32_t) (head.offset + head.n + cells[t] - m_n_kept);
            }
        }
    }

    ggml_backend_tensor_set(idxs, m_idxs_scratch.data(), 0, ggml_nbytes(idxs));
}

ggml_tensor * compact_cache::store(ggml_context * ctx, ggml_tensor * target, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) {
    const compact_layer & layer = layer_of(il);

    const int64_t n_rows = cur->ne[1] * cur->ne[2];

    if (!ggml_is_contiguous(cur)) {
        cur = ggml_cont(ctx, cur);
    }
    cur = ggml_reshape_2d(ctx, cur, cur->ne[0], n_rows);

    if (!layer.host) {
        // views of a host input would be copied to the device one by one
        ggml_tensor *& copy = m_graph_idxs[idxs];
        if (!copy) {
            copy = ggml_cont(ctx, idxs);
        }
        idxs = copy;
    }
    idxs = ggml_view_1d(ctx, idxs, n_rows, m_layer_of[il] * idxs->nb[1]);

    return ggml_set_rows(ctx, target, cur, idxs);
}

ggml_tensor * compact_cache::store_k(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) {
    return store(ctx, layer_of(il).storage.k, cur, idxs, il);
}

ggml_tensor * compact_cache::store_v(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) {
    return store(ctx, layer_of(il).storage.v, cur, idxs, il);
}

void compact_cache::set_positions(uint32_t n_positions) {
    // the context's own copy of its parameters; nothing but the choice of factors reads this one once the cache is made
    const_cast<llama_cparams &>(m_ctx.get_cparams()).n_ctx_seq = n_positions;
    changed();
    reserve();
}

void compact_cache::set_attention(int32_t kernel) {
    switch (kernel) {
        case EDGEKV_ATTENTION_AUTO:
            m_own_attention = !ggml_is_quantized(m_type_k) && !ggml_is_quantized(m_type_v);
            break;
        case EDGEKV_ATTENTION_EDGEKV:
            m_own_attention = true;
            break;
        case EDGEKV_ATTENTION_LLAMA:
            m_own_attention = false;
            break;
        default:
            fail(EDGEKV_E_ARGUMENT, "there is no attention kernel %d", kernel);
    }
    changed();
}

decode_attention * compact_cache::own_attention(const compact_layer & layer, const ggml_tensor * q, const ggml_tensor * mask) {
    if (!m_own_attention || !layer.host || q->ne[2] != 1 || mask->type != GGML_TYPE_F16 ||
        !decode_attention::supports(m_type_k, m_type_v, m_d_k, m_d_v)) {
        return nullptr;
    }

    // below so many rows a thread costs more than it does
    constexpr int64_t ROWS_PER_THREAD = 64;

    decode_attention & op = *m_decode[m_layer_of[layer.il]];

    int64_t n_rows = 0;
    op.heads.clear();
    for (const auto & head : layer.heads) {
        op.heads.push_back({ head.offset, head.n });
        n_rows += head.n;
    }
    op.n_kept  = m_n_kept;
    op.n_group = m_n_head / m_n_head_kv;
    op.d_k     = m_d_k;
    op.d_v     = m_d_v;
    op.n_parts = (int32_t) std::clamp<int64_t>(n_rows / ROWS_PER_THREAD, 1, m_ctx.get_cparams().n_threads);

    return &op;
}

ggml_tensor * compact_cache::attend(ggml_context * ctx, ggml_tensor * q, ggml_tensor * mask, ggml_tensor * sinks, float scale,
                                    float softcap, int32_t il) {
    const compact_layer & layer = layer_of(il);

    if (decode_attention * own = own_attention(layer, q, mask)) {
        own->scale   = scale;
        own->softcap = softcap;
        return own->build(ctx, q, layer.storage.k, layer.storage.v, mask, sinks);
    }

    const int64_t n_group  = m_n_head / m_n_head_kv;
    const int64_t n_tokens = q->ne[2];
    const int64_t n_room   = mask->ne[0] - m_n_kept; // rows behind the kept ones that the mask covers

    const auto mask_for = [&](uint32_t n) -> ggml_tensor * {
        const int64_t first = m_n_kept - n;
        if (first == 0) {
            return mask;
        }

        ggml_tensor *& part = m_graph_masks[n];
        if (!part) {
            part = ggml_view_2d(ctx, mask, mask->ne[0] - first, mask->ne[1], mask->nb[1], first * mask->nb[0]);
            // kernels want it contiguous, which one row is; GPU kernels do not take views of it
            if (n_tokens > 1 || !layer.host) {
                part = ggml_cont(ctx, part);
            }
        }
        return part;
    };

    ggml_tensor * result = nullptr;

    for (int32_t h = 0; h < m_n_head_kv;) {
        const head_rows & head = layer.heads[h];

        // neighbours with equal counts share a call
        int32_t end = h + 1;
        while (end < m_n_head_kv && layer.heads[end].n == head.n && layer.heads[end].capacity == head.capacity) {
            ++end;
        }
        const int64_t n_run = end - h;

        const auto rows_of = [&](ggml_tensor * t) {
            return ggml_view_3d(ctx, t, t->ne[0], head.n + n_room, n_run, t->nb[1], head.capacity * t->nb[1], head.offset * t->nb[1]);
        };

        ggml_tensor * q_run = q;
        if (n_run < m_n_head_kv) {
            q_run = ggml_view_3d(ctx, q, q->ne[0], n_run * n_group, n_tokens, q->nb[1], q->nb[2], h * n_group * q->nb[1]);
            if (!layer.host && h * n_group * q->nb[1] % DEVICE_OFFSET_ALIGNMENT != 0) {
                q_run = ggml_cont(ctx, q_run);
            }
        }
        q_run = ggml_permute(ctx, q_run, 0, 2, 1, 3);

        ggml_tensor * out =
            ggml_flash_attn_ext(ctx, q_run, rows_of(layer.storage.k), rows_of(layer.storage.v), mask_for(head.n), scale, 0.0f, softcap);
        ggml_flash_attn_ext_set_prec(out, GGML_PREC_F32);
        if (sinks) {
            ggml_flash_attn_ext_add_sinks(out, n_run < m_n_head_kv ? ggml_view_1d(ctx, sinks, n_run * n_group, h * n_group * sinks->nb[0])
                                                                   : sinks);
        }

        result = result ? ggml_concat(ctx, result, out, 1) : out;
        h      = end;
    }

    return ggml_reshape_2d(ctx, result, result->ne[0] * result->ne[1], n_tokens);
}

} // namespace edgekv
