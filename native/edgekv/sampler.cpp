#include "objects.h"

using namespace edgekv;

edgekv_sampler::~edgekv_sampler() {
    llama_sampler_free(chain);
}

int32_t edgekv_sampler_create(float temperature, int32_t top_k, float top_p, float min_p, uint32_t seed, edgekv_sampler ** out) {
    return guarded([&] {
        if (!out) {
            fail(EDGEKV_E_ARGUMENT, "no place for the sampler was given");
        }
        auto sampler   = std::make_unique<edgekv_sampler>();
        sampler->chain = llama_sampler_chain_init(llama_sampler_chain_default_params());

        if (temperature > 0.0f) {
            if (top_k > 0) {
                llama_sampler_chain_add(sampler->chain, llama_sampler_init_top_k(top_k));
            }
            if (top_p < 1.0f) {
                llama_sampler_chain_add(sampler->chain, llama_sampler_init_top_p(top_p, 1));
            }
            if (min_p > 0.0f) {
                llama_sampler_chain_add(sampler->chain, llama_sampler_init_min_p(min_p, 1));
            }
            llama_sampler_chain_add(sampler->chain, llama_sampler_init_temp(temperature));
            llama_sampler_chain_add(sampler->chain, llama_sampler_init_dist(seed));
        } else {
            llama_sampler_chain_add(sampler->chain, llama_sampler_init_greedy());
        }

        *out = sampler.release();
    });
}

void edgekv_sampler_free(edgekv_sampler * sampler) {
    delete sampler;
}

int32_t edgekv_sampler_sample(edgekv_sampler * sampler, edgekv_context * context, int32_t * token) {
    return guarded([&] {
        if (!sampler || !context || !token) {
            fail(EDGEKV_E_ARGUMENT, "no sampler or no context was given");
        }
        if (!llama_get_logits_ith(context->ctx, -1)) {
            fail(EDGEKV_E_STATE, "there are no logits to sample from; decode a token first");
        }
        *token = llama_sampler_sample(sampler->chain, context->ctx, -1);
    });
}
