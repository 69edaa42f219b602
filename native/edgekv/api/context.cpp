// A context: attach, lock, decode, interrupt, and taking back.
#include "api/call.h"
#include "cache/tokens.h"
#include "context/feed.h"

#include <chrono>
#include <mutex>

using namespace edgekv;

int32_t edgekv_attach(llama_context * ctx) {
    return guarded([&] {
        require(ctx, "context was");
        context_ext::attach(*ctx);
    });
}

bool edgekv_attached(const llama_context * ctx) {
    return context_ext::find(ctx) != nullptr;
}

int32_t edgekv_lock(llama_context * ctx, int32_t wait_ms) {
    return guarded([&] {
        const context_ext & context = context_ext::of(ctx);
        const auto          freed   = context.freed();
        const auto          shared  = context.lock();
        if (!shared) {
            return;
        }
        std::unique_lock<context_ext::lock_t> lock(*shared, std::defer_lock);
        if (wait_ms < 0) {
            lock.lock();
        } else if (!lock.try_lock_for(std::chrono::milliseconds(wait_ms))) {
            fail(EDGEKV_E_BUSY, "the context is in use by another thread");
        }
        require_not_freed(*freed);
        lock.release();
    });
}

void edgekv_unlock(llama_context * ctx) {
    const context_ext * context = context_ext::find(ctx);
    if (const auto lock = context ? context->lock() : nullptr) {
        lock->unlock();
    }
}

void edgekv_lock_guest(llama_context * ctx, bool guest) {
    if (context_ext * context = context_ext::find(ctx)) {
        context->set_guest(guest);
    }
}

int32_t edgekv_positions_set(llama_context * ctx, uint32_t n_positions) {
    return changing_context(ctx, [&](context_ext & context) {
        const uint32_t window = context.ctx.get_model().hparams.n_ctx_train;
        if (n_positions == 0 || n_positions > window) {
            fail(EDGEKV_E_WINDOW, "a context of %u positions; the model's window is %u", n_positions, window);
        }
        if (context.cache.position() > 0) {
            fail(EDGEKV_E_STATE, "the cache holds %d tokens, whose keys are rotated already; clear it first", context.cache.position());
        }
        context.set_positions(n_positions);
    });
}

int32_t edgekv_attention_set(llama_context * ctx, int32_t kernel) {
    return on_context(ctx, [&](context_ext & context) { context.layout.attention().set_kernel(kernel); });
}

int32_t edgekv_decode(llama_context * ctx, const int32_t * tokens, int32_t n_tokens, int32_t logits, edgekv_progress_fn progress,
                      void * user) {
    return on_context(ctx, [&](context_ext & context) {
        check_tokens(context, tokens, n_tokens);
        const int32_t n_batch = tokens_per_batch(context);
        if (logits < EDGEKV_LOGITS_NONE || logits > EDGEKV_LOGITS_ALL) {
            fail(EDGEKV_E_ARGUMENT, "there is no choice of logits %d", logits);
        }
        if (logits == EDGEKV_LOGITS_ALL && n_tokens > n_batch) {
            fail(EDGEKV_E_ARGUMENT, "logits of all of %d tokens were asked for, a batch has %d", n_tokens, n_batch);
        }
        feed(context, { tokens, n_tokens, n_batch, logits, progress, user });
    });
}

void edgekv_interrupt(llama_context * ctx) {
    if (context_ext * context = context_ext::find(ctx)) {
        context->interrupted = true;
    }
}

void edgekv_interrupt_reset(llama_context * ctx) {
    if (context_ext * context = context_ext::find(ctx)) {
        context->interrupted = false;
    }
}

int32_t edgekv_outputs_keep(llama_context * ctx) {
    return on_context(ctx, [&](context_ext & context) { context.outputs = context.ctx.outputs_keep(); });
}

int32_t edgekv_outputs_restore(llama_context * ctx) {
    return on_context(ctx, [&](context_ext & context) {
        if (!context.outputs) {
            fail(EDGEKV_E_STATE, "no outputs were kept");
        }
        context.ctx.outputs_restore(*context.outputs);
        context.outputs = nullptr;
    });
}

int32_t edgekv_rollback(llama_context * ctx, int32_t position) {
    return changing_context(ctx, [&](context_ext & context) {
        if (position < 0 || position > context.cache.position()) {
            fail(EDGEKV_E_ARGUMENT, "position %d is not in 0 .. %d", position, context.cache.position());
        }
        take_back(context, position);
    });
}

int32_t edgekv_clear(llama_context * ctx) {
    return on_any_context(ctx, [](context_ext & context) { llama_memory_clear(context.ctx.get_memory(), false); });
}

int32_t edgekv_fail(llama_context * ctx, const char * reason) {
    return on_any_context(ctx, [&](context_ext & context) {
        require(reason && *reason, "reason was");
        context.on_failed(reason);
    });
}

int32_t edgekv_tokens(llama_context * ctx, int32_t first, int32_t n, int32_t * tokens) {
    return on_context(ctx, [&](context_ext & context) {
        require(tokens || n <= 0, "place for the tokens was");
        read_tokens(context.cache, first, n, tokens);
    });
}

int32_t edgekv_tokens_set(llama_context * ctx, int32_t first, int32_t n, const int32_t * tokens) {
    return changing_context(ctx, [&](context_ext & context) {
        if (n != 0) {
            check_tokens(context, tokens, n);
        }
        set_tokens(context.cache, first, n, tokens);
    });
}
