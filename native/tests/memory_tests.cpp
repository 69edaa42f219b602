// Memory that is not to be had: every allocation of a call fails once, and what the call was about is whole afterwards, or its context says that it failed.
#include "testing.h"

#include <dlfcn.h>
#include <new>
#include <utility>

namespace {

// Allocations that this thread still gets before one fails; below 0: all.
thread_local int64_t t_left = -1;

bool is_refused() {
    return t_left >= 0 && t_left-- == 0;
}

} // namespace

// Not inlined, or the compiler sees free() where it wants operator delete.
[[gnu::noinline]] void * operator new(size_t bytes) {
    void * p = is_refused() ? nullptr : std::malloc(std::max<size_t>(bytes, 1));
    if (!p) {
        throw std::bad_alloc();
    }
    return p;
}

[[gnu::noinline]] void operator delete(void * p) noexcept {
    std::free(p);
}

[[gnu::noinline]] void operator delete(void * p, size_t) noexcept {
    std::free(p);
}

// Buffers of caches. What ggml takes for itself and for graphs is not refused: without it ggml ends the process, loses memory, or uses what it has freed.
extern "C" ggml_backend_buffer_t ggml_backend_alloc_ctx_tensors_from_buft(ggml_context * ctx, ggml_backend_buffer_type_t buft) {
    static const auto allocate =
        (decltype(&ggml_backend_alloc_ctx_tensors_from_buft)) dlsym(RTLD_NEXT, "ggml_backend_alloc_ctx_tensors_from_buft");

    if (is_refused()) {
        return nullptr;
    }
    const int64_t               left   = std::exchange(t_left, -1);
    const ggml_backend_buffer_t buffer = allocate(ctx, buft);
    t_left                             = left;
    return buffer;
}

namespace {

// Makes the call again and again, another allocation failing each time, until it gets all that it asks for. Returns how often it failed.
int refuse_each(int32_t step, const std::function<bool()> & call, const std::function<void()> & after_failure) {
    for (int64_t refused = 0;; refused += step) {
        t_left           = refused;
        const bool done  = call();
        const bool asked = t_left < 0;
        t_left           = -1;
        if (done && !asked) {
            return (int) (refused / step);
        }
        if (!done) {
            after_failure();
        }
    }
}

bool failed(const context & c) {
    return c.get(EDGEKV_CACHE_FAULT) != 0;
}

// The logits of a token that is taken back.
std::vector<float> peek(const context & c, int32_t token) {
    const auto logits = c.step(token);
    OK(edgekv_rollback(c.c, c.position() - 1));
    return logits;
}

// Over a full cache, and over a compact one: the rows that were there are there.
void plans_without_memory_leave_the_cache_whole() {
    const auto tokens = random_tokens(60, 1);
    const plan first  = make_plan(60, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 2 == 0; });
    const plan second = make_plan(60, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 4 == 0; });

    const context c(256);
    feed(c, tokens);
    for (const plan & p : { first, second }) {
        const auto    logits   = peek(c, 5);
        const int64_t rows     = c.get(EDGEKV_CACHE_ROWS);
        const int64_t bytes    = c.get(EDGEKV_CACHE_BYTES);
        const int     failures = refuse_each(
                1, [&] { return apply(c, p, 16) == EDGEKV_OK; },
                [&] {
                CHECK(!failed(c));
                CHECK(c.get(EDGEKV_CACHE_ROWS) == rows && c.get(EDGEKV_CACHE_BYTES) == bytes && c.position() == 60);
                CHECK(peek(c, 5) == logits);
            });
        CHECK(failures > 20);
        CHECK(c.get(EDGEKV_CACHE_ROWS) == (int64_t) p.positions.size());
    }
    const context other(256);
    feed(other, tokens);
    OK(apply(other, second, 16));
    CHECK(peek(c, 5) == peek(other, 5));
}

// A step that makes a compact cache grow.
void growing_without_memory_takes_the_tokens_back() {
    const auto tokens = random_tokens(40, 2);
    const auto more   = random_tokens(9, 3);
    const plan p      = make_plan(40, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 2 == 0; });

    const context c(256);
    const auto    prepare = [&] {
        feed(c, tokens);
        OK(apply(c, p, 8));
    };
    prepare();
    const auto logits = peek(c, 5);

    const int failures = refuse_each(
        5, [&] { return edgekv_decode(c.c, more.data(), 9, EDGEKV_LOGITS_LAST, nullptr, nullptr) == EDGEKV_OK; },
        [&] {
            if (failed(c)) {
                OK(edgekv_clear(c.c));
                prepare();
            }
            CHECK(c.position() == 40);
            CHECK(peek(c, 5) == logits);
        });
    CHECK(failures > 10);
    CHECK(c.position() == 49);
}

void clearing_without_memory_leaves_an_empty_cache() {
    const auto    tokens = random_tokens(40, 4);
    const plan    p      = make_plan(40, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 2 == 0; });
    const context c(256);
    feed(c, tokens);
    const auto logits = peek(c, 5);
    OK(edgekv_clear(c.c));

    bool    compact  = true;
    int64_t refused  = 0;
    int     failures = 0;
    for (; compact; ++refused) {
        feed(c, tokens);
        OK(apply(c, p, 64));
        t_left = refused;
        OK(edgekv_clear(c.c));
        t_left  = -1;
        compact = c.get(EDGEKV_CACHE_COMPACT) != 0;
        failures += compact;
        CHECK(c.position() == 0 && c.get(EDGEKV_CACHE_ROWS) == 0 && !failed(c));
    }
    CHECK(failures > 0);
    feed(c, tokens);
    CHECK(peek(c, 5) == logits);
}

void states_without_memory_make_the_context_fail() {
    const auto    tokens = random_tokens(40, 5);
    const context a(256);
    feed(a, tokens);
    OK(apply(a, make_plan(40, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 2 == 0; }), 8));
    std::vector<uint8_t> state(llama_state_get_size(a.c));
    CHECK(llama_state_get_data(a.c, state.data(), state.size()) == state.size());

    const context b(256);
    const int     failures = refuse_each(
            1, [&] { return llama_state_set_data(b.c, state.data(), state.size()) == state.size(); },
            [&] {
            CHECK(failed(b));
            OK(edgekv_clear(b.c));
            b.step(3);
            OK(edgekv_clear(b.c));
        });
    CHECK(failures > 20);
    CHECK(!failed(b) && peek(a, 5) == peek(b, 5));
}

void score_passes_without_memory_are_taken_back() {
    const auto    tokens = random_tokens(60, 6);
    const auto    task   = random_tokens(12, 7);
    const context c(256);
    feed(c, tokens);
    const auto logits = peek(c, 5);

    edgekv_scores * scores = nullptr;
    OK(edgekv_scores_create(c.c, 60, EDGEKV_AGGREGATE_MAX, &scores));
    const int failures = refuse_each(
        5, [&] { return edgekv_score(c.c, scores, task.data(), 12, 0, nullptr, nullptr) == EDGEKV_OK; },
        [&] {
            if (failed(c)) {
                OK(edgekv_clear(c.c));
                feed(c, tokens);
            }
            CHECK(c.position() == 60);
            CHECK(peek(c, 5) == logits);
        });
    edgekv_scores_free(scores);
    CHECK(failures > 10);
    CHECK(c.position() == 72);
}

} // namespace

int main(int argc, char ** argv) {
    return run_tests(argc, argv,
                     {
                         { "plans_without_memory_leave_the_cache_whole", plans_without_memory_leave_the_cache_whole },
                         { "growing_without_memory_takes_the_tokens_back", growing_without_memory_takes_the_tokens_back },
                         { "clearing_without_memory_leaves_an_empty_cache", clearing_without_memory_leaves_an_empty_cache },
                         { "states_without_memory_make_the_context_fail", states_without_memory_make_the_context_fail },
                         { "score_passes_without_memory_are_taken_back", score_passes_without_memory_are_taken_back },
                     });
}
