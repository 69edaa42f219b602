#include "cache/apply.h"

#include "base/error.h"
#include "cache/move_rows.h"
#include "cache/tokens.h"

#include <algorithm>
#include <numeric>

namespace edgekv {

namespace {

constexpr uint32_t ROOM_DEFAULT = 256;

// Takes a plan apart: what each head keeps, and where those rows are now.
class plan_reader {
public:
    plan_reader(const compact_cache & cache, const plan_view & plan, int32_t n_context)
        : m_cache(cache), m_plan(plan), m_n_context(n_context), m_cell_of(cache.cells_by_position(n_context)) {}

    void read(std::vector<std::vector<head_rows>> & heads, std::vector<std::vector<row_list>> & sources) {
        for (const auto & layer : m_cache.layers()) {
            heads.emplace_back();
            sources.emplace_back();
            for (int32_t h = 0; h < layer.shape.n_head_kv; ++h) {
                heads.back().push_back(read_head(layer, h));
                sources.back().push_back(rows_of(layer, h, heads.back().back().positions));
            }
        }
        if (m_at != m_plan.n_positions) {
            fail(EDGEKV_E_PLAN, "the counts add up to %zu rows, the plan has %zu positions", m_at, m_plan.n_positions);
        }
    }

private:
    int index_of(const cache_layer & layer) const { return (int) (&layer - m_cache.layers().data()); }

    head_rows read_head(const cache_layer & layer, int32_t h) {
        const int     l     = index_of(layer);
        const int32_t count = m_plan.counts[layer.shape.first_head_kv + h];
        if (count < 0 || count > m_n_context) {
            fail(EDGEKV_E_PLAN, "layer %d, KV head %d: %d rows of %d positions", l, h, count, m_n_context);
        }
        if ((size_t) count > m_plan.n_positions - m_at) {
            fail(EDGEKV_E_PLAN, "layer %d, KV head %d: the plan ends after %zu positions", l, h, m_plan.n_positions);
        }
        head_rows head;
        head.n = (uint32_t) count;
        head.positions.assign(m_plan.positions + m_at, m_plan.positions + m_at + count);
        m_at += count;

        for (int32_t i = 0; i < count; ++i) {
            const int32_t p = head.positions[i];
            if (p < 0 || p >= m_n_context) {
                fail(EDGEKV_E_PLAN, "layer %d, KV head %d: position %d is not in 0 .. %d", l, h, p, m_n_context - 1);
            }
            if (i > 0 && p <= head.positions[i - 1]) {
                fail(EDGEKV_E_PLAN, "layer %d, KV head %d: position %d comes after %d", l, h, p, head.positions[i - 1]);
            }
        }
        return head;
    }

    // in a compact cache, kept rows by their positions and later tokens by their cells
    row_list rows_of(const cache_layer & layer, int32_t h, const std::vector<int32_t> & positions) const {
        const head_rows & now = layer.heads[h];
        row_list          rows;
        rows.reserve(positions.size());
        for (const int32_t p : positions) {
            int32_t row = -1;
            if (p < m_cache.n_context()) {
                const auto it = std::lower_bound(now.positions.begin(), now.positions.end(), p);
                if (it != now.positions.end() && *it == p) {
                    row = (int32_t) (it - now.positions.begin());
                }
            } else if (m_cell_of[p] >= 0) {
                row = (int32_t) now.n + m_cell_of[p] - (int32_t) m_cache.n_kept();
            }
            if (row < 0) {
                fail(EDGEKV_E_PLAN, "layer %d, KV head %d: position %d is no longer in the cache", index_of(layer), h, p);
            }
            rows.push_back(row);
        }
        return rows;
    }

    const compact_cache &      m_cache;
    const plan_view &          m_plan;
    const int32_t              m_n_context;
    const std::vector<int32_t> m_cell_of;

    size_t m_at = 0; // in the plan's positions
};

} // namespace

void apply_plan(compact_cache & cache, const plan_view & plan, uint32_t room, uint32_t align) {
    if (plan.n_counts != cache.geometry().n_heads_kv()) {
        fail(EDGEKV_E_PLAN, "the plan has counts for %zu KV heads, the model has %zu in %d layers", plan.n_counts,
             cache.geometry().n_heads_kv(), cache.geometry().n_layer());
    }
    if (room > cache.window() || align > cache.window()) {
        fail(EDGEKV_E_ARGUMENT, "room for %u tokens in steps of %u; the model's window is %u", room, align, cache.window());
    }
    cache.settle();

    const int32_t                      n_context = cache.position();
    std::vector<std::vector<row_list>> sources;
    compact_form                       form;
    plan_reader(cache, plan, n_context).read(form.heads, sources);

    form.room      = round_up(room ? room : ROOM_DEFAULT, align ? align : cache.on_device() ? (uint32_t) 256 : (uint32_t) 1);
    form.block     = form.room;
    form.n_context = n_context;
    form.seq_id    = cache.sequence();

    // everything new is built before anything old goes
    token_records kept = records_by_position(cache, n_context);
    form.storages      = allocate_all(cache.layers(), form.heads, form.room);
    for (size_t l = 0; l < form.storages.size(); ++l) {
        move_rows(cache, cache.layers()[l], form.storages[l], form.heads[l], sources[l]);
    }

    cache.adopt(std::move(form));
    cache.tokens().forget_all();
    cache.tokens().kept = std::move(kept);
}

bool grow(compact_cache & cache, uint32_t n_tokens) {
    const uint32_t free = cache.room() - (uint32_t) cache.appended().size();
    if (n_tokens <= free) {
        return true;
    }
    const uint32_t room = cache.room() + round_up(n_tokens - free, cache.block());

    try {
        bytes_by_buft needed;
        for (const auto & layer : cache.layers()) {
            auto           heads = layer.heads;
            const uint32_t now =
                std::accumulate(heads.begin(), heads.end(), 0u, [](uint32_t sum, const head_rows & head) { return sum + head.capacity; });
            // one layer at a time is there twice
            needed[layer.buft] += storage_bytes(layer, lay_out(layer, heads, room) - now);
        }
        check_memory(needed);

        for (int32_t l = 0; l < cache.geometry().n_layer(); ++l) {
            cache_layer &  layer   = cache.layer(l);
            auto           heads   = layer.heads;
            const uint32_t n_rows  = lay_out(layer, heads, room);
            layer_storage  storage = allocate_rows(layer, n_rows);

            std::vector<row_list> sources;
            for (const auto & head : layer.heads) {
                sources.emplace_back(head.n + cache.room());
                std::iota(sources.back().begin(), sources.back().end(), 0);
            }
            move_rows(cache, layer, storage, heads, sources);
            cache.replace(layer, std::move(storage), std::move(heads));
        }
        cache.set_room(room);
    } catch (...) {
        status_of_current_exception();
        return false;
    }
    return true;
}

} // namespace edgekv
