#include "context/context_ext.h"

#include "base/memory.h"
#include "cache/tokens.h"

#include "ggml-backend.h"
#include "llama-impl.h"

#include <algorithm>

namespace edgekv {

namespace {

std::mutex g_attach_mutex;

// ggml's device backends are not to be used by two threads at once.
std::shared_ptr<context_ext::lock_t> lock_for(llama_context & ctx) {
    static const auto of_devices = std::make_shared<context_ext::lock_t>();

    ggml_backend_sched_t sched = ctx.get_sched();
    for (int i = 0; i < ggml_backend_sched_get_n_backends(sched); ++i) {
        const auto type = ggml_backend_dev_type(ggml_backend_get_device(ggml_backend_sched_get_backend(sched, i)));
        if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            return of_devices;
        }
    }
    return std::make_shared<context_ext::lock_t>();
}

// Why llama_decode() must not be called with a batch, for which it would end the process; nullptr: it may.
const char * wrong_with(const llama_context & ctx, const llama_batch & batch) {
    if (batch.n_tokens <= 0 || (!batch.token && !batch.embd)) {
        return "the batch has no tokens";
    }
    const llama_cparams & cparams = ctx.get_cparams();
    if ((uint32_t) batch.n_tokens > cparams.n_batch) {
        return "the batch has more tokens than n_batch";
    }
    if (!cparams.causal_attn && (uint32_t) batch.n_tokens > cparams.n_ubatch) {
        return "without causal attention a batch must fit into n_ubatch";
    }
    int64_t n_outputs = batch.n_tokens;
    if (!cparams.embeddings) {
        n_outputs = batch.logits ? batch.n_tokens - std::count(batch.logits, batch.logits + batch.n_tokens, 0) : 1;
    }
    if (n_outputs > cparams.n_outputs_max) {
        return "the batch asks for more outputs than n_outputs_max";
    }
    if (batch.pos && std::any_of(batch.pos, batch.pos + batch.n_tokens, [](llama_pos p) { return p < 0; })) {
        return "a position is below 0";
    }
    return nullptr;
}

} // namespace

thread_local const context_ext::lock_t * context_ext::t_guest_of = nullptr;

context_ext & context_ext::attach(llama_context & ctx) {
    const std::lock_guard<std::mutex> lock(g_attach_mutex);

    if (!ctx.get_ext()) {
        auto ext = std::make_unique<context_ext>(ctx);
        ctx.set_kv_layout(&ext->layout);
        ctx.set_graph_tap(&ext->taps);
        ctx.set_ext(std::move(ext));
        ctx.graph_invalidate(true); // graphs have more nodes now
    }
    return of(&ctx);
}

context_ext * context_ext::find(const llama_context * ctx) {
    return ctx ? dynamic_cast<context_ext *>(ctx->get_ext()) : nullptr;
}

context_ext & context_ext::of(llama_context * ctx) {
    if (!ctx) {
        fail(EDGEKV_E_ARGUMENT, "no context was given");
    }
    context_ext * ext = find(ctx);
    if (!ext) {
        fail(EDGEKV_E_STATE, "the context is not attached");
    }
    return *ext;
}

context_ext::context_ext(llama_context & ctx)
    : ctx(ctx), cache(ctx), layout(cache, [this](const char * what) { on_failed(what); }), ropes(cache), scores(cache), evictions(cache),
      learned(cache), inputs(cache), queries(cache), blocks(cache),
      taps(cache, { &ropes, &scores, &evictions, &learned, &inputs, &queries, &blocks }), m_lock(lock_for(ctx)),
      m_freed(std::make_shared<bool>(false)) {}

context_ext::~context_ext() {
    *m_freed = true;
    host_memory_trim();
}

void context_ext::require_sound() const {
    if (!m_fault.empty()) {
        fail(EDGEKV_E_STATE, "%s", m_fault.c_str());
    }
}

void context_ext::set_positions(uint32_t n_positions) {
    // the context's own copy of its parameters; nothing but the choice of factors reads this one once the cache is made
    const_cast<llama_cparams &>(ctx.get_cparams()).n_ctx_seq = n_positions;
    cache.graphs().changed();
    cache.graphs().reserve();
}

int context_ext::on_batch_begin(const llama_batch & batch) {
    if (!m_fault.empty()) {
        LLAMA_LOG_ERROR("edgekv: %s\n", m_fault.c_str());
        return -3;
    }
    if (const char * what = wrong_with(ctx, batch)) {
        LLAMA_LOG_ERROR("edgekv: %s\n", what);
        return -1;
    }
    if (interrupted.exchange(false)) {
        return 2;
    }
    changed();
    taps.begin_batch();
    return 0;
}

void context_ext::on_batch_end(int status) {
    if (status == 2) {
        interrupted = false;
    }
}

void context_ext::on_ubatch_begin(const llama_ubatch & ubatch) {
    taps.begin_ubatch(ubatch);
    if (const int32_t n_threads = ctx.get_cparams().n_threads; n_threads != m_n_threads) {
        m_n_threads = n_threads;
        cache.graphs().changed(); // our attention kernel's shares are made for a number of threads
    }
}

void context_ext::on_ubatch_end(const llama_ubatch & ubatch, const uint32_t * cells, bool computed) {
    record_ubatch(cache, ubatch, cells, computed);
    if (computed && taps.collects()) {
        ggml_backend_sched_synchronize(ctx.get_sched());
        taps.collect(ubatch, cells);
    }
}

void context_ext::on_memory_cleared() {
    changed();
    m_fault.clear();
}

void context_ext::on_failed(const char * what) {
    changed();
    if (m_fault.empty()) { // what came first is the cause
        m_fault = text("the context failed and has to be cleared: %s", what);
    }
    LLAMA_LOG_ERROR("edgekv: %s\n", m_fault.c_str());
}

void context_ext::on_state_read(bool read) {
    changed();
    const std::string why = layout.take_state_error();
    if (!read) {
        on_failed(text("a state could not be loaded: %s", why.empty() ? "it is damaged, or not a state of this kind of model" : why.c_str())
                      .c_str());
    }
}

} // namespace edgekv
