#include "cache/tokens.h"

#include "base/error.h"

#include "llama-batch.h"

namespace edgekv {

namespace {

// Where a position's record is.
struct record_place {
    const token_records * records = nullptr; // nullptr: no row holds the position
    size_t                index   = 0;

    int32_t       id() const { return records ? records->id(index) : token_records::UNKNOWN; }
    const float * scores() const { return records ? records->scores(index) : nullptr; }
};

std::vector<record_place> places_of(const compact_cache & cache, int32_t first, int32_t n) {
    if (first < 0 || n < 0 || first > cache.position() - n) {
        fail(EDGEKV_E_ARGUMENT, "positions %d .. %d were asked for, the cache has %d", first, first + n - 1, cache.position());
    }
    const auto                cell_of = cache.cells_by_position(first + n);
    std::vector<record_place> places(n);
    for (int32_t i = 0; i < n; ++i) {
        const int32_t p = first + i;
        if (p < cache.n_context()) {
            places[i] = { &cache.tokens().kept, (size_t) p };
        } else if (cell_of[p] >= 0) {
            places[i] = { &cache.tokens().cells, (size_t) cell_of[p] - cache.n_kept() };
        }
    }
    return places;
}

token_records & to_write(compact_cache & cache, const record_place & place) {
    return place.records == &cache.tokens().kept ? cache.tokens().kept : cache.tokens().cells;
}

void require_place(const record_place & place, int32_t position) {
    if (!place.records) {
        fail(EDGEKV_E_ARGUMENT, "position %d is not in the cache", position);
    }
}

} // namespace

void read_tokens(const compact_cache & cache, int32_t first, int32_t n, int32_t * ids) {
    for (const auto & place : places_of(cache, first, n)) {
        *ids++ = place.id();
    }
}

void set_tokens(compact_cache & cache, int32_t first, int32_t n, const int32_t * ids) {
    const auto places = places_of(cache, first, n);
    for (int32_t i = 0; i < n; ++i) {
        require_place(places[i], first + i);
    }
    for (int32_t i = 0; i < n; ++i) {
        to_write(cache, places[i]).set_id(places[i].index, ids[i]);
    }
}

void read_learned(const compact_cache & cache, int32_t first, int32_t n, float * scores) {
    const auto places = places_of(cache, first, n);
    for (int32_t t = 0; t < n; ++t) {
        if (!places[t].scores()) {
            fail(EDGEKV_E_STATE, "the learned scores of position %d are not known: it was read without a score map", first + t);
        }
    }
    for (int32_t t = 0; t < n; ++t) {
        const float * from = places[t].scores();
        for (size_t h = 0; h < cache.geometry().n_heads_kv(); ++h) {
            scores[h * n + t] = from[h];
        }
    }
}

void read_learned_known(const compact_cache & cache, int32_t first, int32_t n, uint8_t * known) {
    for (const auto & place : places_of(cache, first, n)) {
        *known++ = place.scores() ? 1 : 0;
    }
}

void set_learned(compact_cache & cache, int32_t first, int32_t n, const uint8_t * known, const float * scores) {
    const auto places = places_of(cache, first, n);
    for (int32_t t = 0; t < n; ++t) {
        if (known[t]) {
            require_place(places[t], first + t);
        }
    }
    for (int32_t t = 0; t < n; ++t) {
        if (!places[t].records) {
            continue;
        }
        token_records & records = to_write(cache, places[t]);
        if (!known[t]) {
            records.forget_scores(places[t].index);
            continue;
        }
        float * to = records.add_scores(places[t].index);
        for (size_t h = 0; h < cache.geometry().n_heads_kv(); ++h) {
            to[h] = scores[h * n + t];
        }
    }
}

void record_ubatch(compact_cache & cache, const llama_ubatch & ubatch, const uint32_t * cells, bool computed) {
    token_records & records = cache.tokens().cells;
    for (uint32_t t = 0; t < ubatch.n_tokens; ++t) {
        const size_t i = cells[t] - cache.n_kept();
        records.forget(i);
        if (computed && ubatch.token && !ubatch.embd) {
            records.set_id(i, ubatch.token[t]);
        }
    }
}

token_records records_by_position(const compact_cache & cache, int32_t n_context) {
    token_records records(cache.geometry().n_heads_kv());
    const auto    places = places_of(cache, 0, n_context);
    for (int32_t p = 0; p < n_context; ++p) {
        if (places[p].records) {
            records.copy(p, *places[p].records, places[p].index);
        }
    }
    return records;
}

token_records records_by_row(const compact_cache & cache) {
    const token_records & kept = cache.tokens().kept;
    token_records         records(cache.geometry().n_heads_kv());

    for (uint32_t i = 0; i < cache.n_kept(); ++i) {
        std::vector<float> scores;
        for (const auto & layer : cache.layers()) {
            for (int32_t h = 0; h < layer.shape.n_head_kv; ++h) {
                if (const float * known = kept.scores(layer.heads[h].positions[i])) {
                    scores.push_back(known[layer.shape.first_head_kv + h]);
                }
            }
        }
        if (scores.size() == cache.geometry().n_heads_kv()) {
            std::copy(scores.begin(), scores.end(), records.add_scores(i));
        }
    }
    return records;
}

void forget_cells(compact_cache & cache, llama_seq_id seq_id) {
    const llama_kv_cells & cells = cache.kv().get_cells();
    for (uint32_t i = 0; i < cells.size(); ++i) {
        if (seq_id < 0 || cells.is_empty(i) || (cells.seq_count(i) == 1 && cells.seq_has(i, seq_id))) {
            cache.tokens().cells.forget(i);
        }
    }
}

} // namespace edgekv
