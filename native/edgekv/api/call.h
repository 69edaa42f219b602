// What every edgekv_* function on a context begins with.
#pragma once

#include "base/error.h"
#include "context/context_ext.h"

namespace edgekv {

// Throws EDGEKV_E_STATE. freed: what context_ext::freed() gave before the call waited for the lock.
inline void require_not_freed(bool freed) {
    if (freed) {
        fail(EDGEKV_E_STATE, "the context was freed while the call waited for it");
    }
}

// Runs f on the context's extension, under its lock, and turns what it throws into a status and a last error.
template <typename F>
int32_t on_any_context(llama_context * ctx, F && f) noexcept {
    return guarded([&] {
        context_ext &            context = context_ext::of(ctx);
        const auto               freed   = context.freed();
        const llama_context_lock lock(&context);
        require_not_freed(*freed);
        try {
            f(context);
        } catch (const error & e) {
            if (e.status == EDGEKV_E_CANCELLED) {
                context.interrupted = false;
            }
            throw;
        }
    });
}

// The same, of a context that did not fail.
template <typename F>
int32_t on_context(llama_context * ctx, F && f) noexcept {
    return on_any_context(ctx, [&](context_ext & context) {
        context.require_sound();
        f(context);
    });
}

// The same, where f changes the cache, or what is known of its tokens.
template <typename F>
int32_t changing_context(llama_context * ctx, F && f) noexcept {
    return on_context(ctx, [&](context_ext & context) {
        context.changed();
        f(context);
    });
}

inline void require(bool given, const char * what) {
    if (!given) {
        fail(EDGEKV_E_ARGUMENT, "no %s given", what);
    }
}

inline void require_count(const char * what, const void * data, size_t count, size_t needed) {
    if (!data || count != needed) {
        fail(EDGEKV_E_ARGUMENT, "%s are %zu numbers, %zu were given", what, needed, count);
    }
}

} // namespace edgekv
