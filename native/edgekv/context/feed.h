// Feeding tokens to the one sequence of a context.
#pragma once

#include "context/context_ext.h"

namespace edgekv {

// Tokens that one ubatch holds.
int32_t tokens_per_batch(const context_ext & context);

// Throws EDGEKV_E_ARGUMENT when there is none, or one that the vocabulary does not have.
void check_tokens(const context_ext & context, const int32_t * tokens, int32_t n_tokens);

struct feed_request {
    const int32_t * tokens   = nullptr;
    int32_t         n_tokens = 0;
    int32_t         step     = 0; // tokens at one time, tokens_per_batch() at most
    int32_t         logits   = EDGEKV_LOGITS_LAST;

    edgekv_progress_fn progress = nullptr;
    void *             user     = nullptr;
};

// Decodes the tokens at the next positions, step by step. On failure all of them are taken back. Throws EDGEKV_E_WINDOW before the first step when they do not fit.
void feed(context_ext & context, const feed_request & request);

// Removes every token at position and after. Throws EDGEKV_E_STATE when that reaches into kept rows.
void take_back(context_ext & context, int32_t position);

} // namespace edgekv
