// What EdgeKV keeps about a llama_context, which owns it: the cache, what is read while it computes, the lock, and why the context failed.
#pragma once

#include "cache/layout.h"
#include "taps/attention_scores.h"
#include "taps/blocks.h"
#include "taps/eviction_errors.h"
#include "taps/inputs.h"
#include "taps/learned_scores.h"
#include "taps/query_sums.h"
#include "taps/rotations.h"
#include "taps/tap_list.h"

#include "llama-host.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace edgekv {

class context_ext final : public llama_context_ext_i {
public:
    // Gives the context an extension, or finds the one that it has. Throws EDGEKV_E_UNSUPPORTED.
    static context_ext & attach(llama_context & ctx);

    // nullptr: the context has none.
    static context_ext * find(const llama_context * ctx);

    // Throws EDGEKV_E_ARGUMENT without a context, EDGEKV_E_STATE without an extension.
    static context_ext & of(llama_context * ctx);

    explicit context_ext(llama_context & ctx);
    ~context_ext() override;

    llama_context & ctx;
    compact_cache   cache;
    compact_layout  layout;

    rotations        ropes;
    attention_scores scores;
    eviction_errors  evictions;
    learned_scores   learned;
    attention_inputs inputs;
    query_sums       queries;
    block_attention  blocks;
    tap_list         taps; // all of them

    // Set by whoever wants the context's work to stop; taken back where it stopped.
    std::atomic<bool> interrupted{ false };

    // A different number after every change of the cache.
    int64_t changes() const { return m_changes; }
    void    changed() { ++m_changes; }

    // "": the context did not fail.
    const std::string & fault() const { return m_fault; }

    // Throws EDGEKV_E_STATE with the reason when the context failed.
    void require_sound() const;

    // Becomes true when the context is freed, which happens under its lock: for calls that wait for the lock meanwhile.
    std::shared_ptr<const bool> freed() const { return m_freed; }

    // What llama.cpp chooses RoPE factors by: the positions that there will be, not the cells that the full cache has.
    void set_positions(uint32_t n_positions);

    // The outputs that were kept aside.
    std::shared_ptr<const llama_context::outputs> outputs;

    //
    // llama_context_ext_i
    //

    // nullptr on a thread that acts for the one that holds it
    std::shared_ptr<lock_t> lock() const override { return t_guest_of == m_lock.get() ? nullptr : m_lock; }

    void set_guest(bool guest) { t_guest_of = guest ? m_lock.get() : nullptr; }

    // Rows that compression freed leave the positions up to the model's window, however few cells the context was made with.
    uint32_t n_positions(uint32_t n_cells) const override { return cache.compact() ? std::max(cache.window(), n_cells) : n_cells; }

    int  on_batch_begin(const llama_batch & batch) override;
    void on_batch_end(int status) override;
    void on_ubatch_begin(const llama_ubatch & ubatch) override;
    void on_ubatch_end(const llama_ubatch & ubatch, const uint32_t * cells, bool computed) override;
    bool aborts() const override { return interrupted.load(std::memory_order_relaxed) && !layout.growing(); }
    void on_memory_changed() override { changed(); }
    void on_memory_cleared() override;
    void on_failed(const char * what) override;
    void on_state_read(bool read) override;

private:
    static thread_local const lock_t * t_guest_of;

    std::shared_ptr<lock_t> m_lock;
    std::shared_ptr<bool>   m_freed;
    int64_t                 m_changes = 0;
    std::string             m_fault;
    int32_t                 m_n_threads = 0; // of the context when the last graph was built
};

} // namespace edgekv
