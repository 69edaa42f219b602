// Score passes and eviction errors: attention weights while tokens are fed.
#include "api/call.h"
#include "base/handles.h"
#include "context/feed.h"

#include <algorithm>

using namespace edgekv;

namespace {

// Tokens fed at one time so that their attention weights, [n_kv, tokens, heads] f32 of one layer at a time, take no more than bytes_max; 0 = 64 MiB.
int32_t tokens_with_weights(const context_ext & context, int32_t n_tokens, uint64_t bytes_max) {
    constexpr uint64_t BYTES_DEFAULT = 64ull << 20;

    const compact_cache & cache     = context.cache;
    const uint64_t        n_kv      = std::min<uint64_t>(cache.n_ctx(), (cache.position() + n_tokens + 255) / 256 * 256);
    const uint64_t        per_token = n_kv * cache.geometry().max_heads() * sizeof(float);
    const uint64_t        n_fit     = (bytes_max ? bytes_max : BYTES_DEFAULT) / per_token;

    return (int32_t) std::clamp<uint64_t>(n_fit, 1, tokens_per_batch(context));
}

// Runs f when it goes.
template <typename F>
class at_end {
public:
    explicit at_end(F f) : m_f(std::move(f)) {}

    ~at_end() { m_f(); }

    at_end(const at_end &)             = delete;
    at_end & operator=(const at_end &) = delete;

private:
    F m_f;
};

} // namespace

int32_t edgekv_scores_create(llama_context * ctx, int32_t n_context, uint32_t aggregates, edgekv_scores ** out) {
    return on_context(ctx, [&](context_ext & context) {
        if (!out || n_context <= 0 || n_context > (int32_t) context.ctx.get_model().hparams.n_ctx_train) {
            fail(EDGEKV_E_ARGUMENT, "scores of %d positions", n_context);
        }
        if (aggregates == 0 || (aggregates & ~(uint32_t) (EDGEKV_AGGREGATE_MAX | EDGEKV_AGGREGATE_SUM)) != 0) {
            fail(EDGEKV_E_ARGUMENT, "there are no aggregates %u", aggregates);
        }

        auto scores        = std::make_unique<edgekv_scores>();
        scores->n_layer    = context.cache.geometry().n_layer();
        scores->n_heads    = context.cache.geometry().n_heads();
        scores->n_context  = n_context;
        scores->aggregates = aggregates;

        const size_t n = scores->n_heads * n_context;
        if (aggregates & EDGEKV_AGGREGATE_MAX) {
            scores->max.resize(n);
        }
        if (aggregates & EDGEKV_AGGREGATE_SUM) {
            scores->sum.resize(n);
        }
        *out = scores.release();
    });
}

void edgekv_scores_free(edgekv_scores * scores) {
    delete scores;
}

int32_t edgekv_scores_see(edgekv_scores * scores, const int32_t * ranges, size_t n_ranges) {
    return guarded([&] {
        require(scores, "scores were");
        require(ranges || n_ranges == 0, "ranges were");
        std::vector<std::pair<int32_t, int32_t>> checked;

        int32_t end = 0;
        for (size_t i = 0; i < n_ranges; ++i) {
            const auto [first, last] = std::pair{ ranges[2 * i], ranges[2 * i + 1] };
            if (first < end || last <= first || last > scores->n_context) {
                fail(EDGEKV_E_ARGUMENT, "range %zu, positions %d .. %d, is empty, not after the one before it or not in 0 .. %d", i, first,
                     last - 1, scores->n_context - 1);
            }
            checked.emplace_back(first, last);
            end = last;
        }
        scores->sees_all = ranges == nullptr;
        scores->ranges   = std::move(checked);
    });
}

int32_t edgekv_score(llama_context * ctx, edgekv_scores * scores, const int32_t * tokens, int32_t n_tokens, uint64_t bytes_max,
                     edgekv_progress_fn progress, void * user) {
    return on_context(ctx, [&](context_ext & context) {
        const cache_geometry & geometry = context.cache.geometry();
        check_tokens(context, tokens, n_tokens);
        require(scores, "scores were");
        if (scores->n_layer != geometry.n_layer() || scores->n_heads != geometry.n_heads()) {
            fail(EDGEKV_E_ARGUMENT, "the scores were made for another model");
        }

        context.scores.begin(*scores);
        const at_end end([&] { context.scores.end(); });
        feed(context, { tokens, n_tokens, tokens_with_weights(context, n_tokens, bytes_max), EDGEKV_LOGITS_LAST, progress, user });
    });
}

int32_t edgekv_score_end(llama_context * ctx) {
    return on_context(ctx, [](context_ext & context) { context.cache.graphs().release_pass_memory(); });
}

int32_t edgekv_eviction_errors(llama_context * ctx, int32_t n_context, const int32_t * counts, const int32_t * positions,
                               size_t n_positions, const int32_t * tokens, int32_t n_tokens, double epsilon, double * errors, size_t count,
                               edgekv_progress_fn progress, void * user) {
    return on_context(ctx, [&](context_ext & context) {
        const int32_t n_layer = context.cache.geometry().n_layer();
        check_tokens(context, tokens, n_tokens);
        if (!counts || (!positions && n_positions > 0) || !errors || count != (size_t) n_layer) {
            fail(EDGEKV_E_ARGUMENT, "counts, positions and errors are needed, room for %d errors", n_layer);
        }
        if (!(epsilon > 0)) {
            fail(EDGEKV_E_ARGUMENT, "epsilon is %g and must be above 0", epsilon);
        }

        std::vector<double> sums(count, 0.0);
        context.evictions.begin({ n_context, counts, positions, n_positions }, epsilon, sums.data());
        {
            const at_end end([&] { context.evictions.end(); });
            feed(context, { tokens, n_tokens, tokens_with_weights(context, n_tokens, 0), EDGEKV_LOGITS_LAST, progress, user });
        }
        std::copy(sums.begin(), sums.end(), errors);
    });
}

const float * edgekv_scores_data(const edgekv_scores * scores, int32_t aggregate) {
    if (!scores || (aggregate != EDGEKV_AGGREGATE_MAX && aggregate != EDGEKV_AGGREGATE_SUM)) {
        return nullptr;
    }
    const auto & data = aggregate == EDGEKV_AGGREGATE_MAX ? scores->max : scores->sum;
    return data.empty() ? nullptr : data.data();
}

int64_t edgekv_scores_queries(const edgekv_scores * scores) {
    return scores ? scores->n_queries : 0;
}
