#include "model/fit.h"

#include "base/error.h"
#include "base/memory.h"

#include "llama-ext.h"
#include "llama.h"

#include <algorithm>
#include <map>
#include <memory>

namespace edgekv {

namespace {

struct free_model {
    void operator()(llama_model * model) const { llama_model_free(model); }
};

struct free_context {
    void operator()(llama_context * context) const { llama_free(context); }
};

// The model and its context as they would be with so many layers on devices, without memory for weights and cache.
class projection {
public:
    projection(const std::string & path, llama_model_params model, llama_context_params context, int32_t n_gpu_layers) {
        model.n_gpu_layers = n_gpu_layers;
        model.no_alloc     = true;
        model.load_mode    = LLAMA_LOAD_MODE_NONE; // a mapped file would be counted as the host's
        m_model.reset(llama_model_load_from_file(path.c_str(), model));
        if (!m_model) {
            const std::string reason = llama_error();
            fail(EDGEKV_E_MODEL, "%s cannot be loaded: %s", path.c_str(), reason.empty() ? "llama.cpp gives no reason" : reason.c_str());
        }
        context.n_ctx   = std::min(context.n_ctx, (uint32_t) llama_model_n_ctx_train(m_model.get()));
        context.n_batch = context.n_ubatch = std::min(context.n_batch, context.n_ctx);
        m_context.reset(llama_init_from_model(m_model.get(), context));
        if (!m_context) {
            const std::string reason = llama_error();
            fail(EDGEKV_E_UNSUPPORTED, "no context of %u tokens can be made: %s", context.n_ctx,
                 reason.empty() ? "llama.cpp gives no reason" : reason.c_str());
        }
    }

    int32_t n_layers() const { return llama_model_n_layer(m_model.get()) + 1; }

    bool has_devices() const { return llama_model_n_devices(m_model.get()) > 0; }

    bool fits(uint64_t spare) const {
        std::map<ggml_backend_dev_t, uint64_t> needed;
        for (const auto & [type, bytes] : llama_get_memory_breakdown(m_context.get())) {
            const ggml_backend_dev_t device = ggml_backend_buft_is_host(type) ? nullptr : ggml_backend_buft_get_device(type);
            if (device) {
                needed[device] += bytes.model + bytes.context + bytes.compute;
            }
        }
        for (int32_t i = 0; i < llama_model_n_devices(m_model.get()); ++i) {
            const ggml_backend_dev_t device = llama_model_get_device(m_model.get(), i);
            const uint64_t           free   = memory_left_on(device).bytes;
            if (needed[device] > 0 && (needed[device] > free || spare > free - needed[device])) {
                return false;
            }
        }
        return true;
    }

private:
    std::unique_ptr<llama_model, free_model>     m_model;
    std::unique_ptr<llama_context, free_context> m_context; // freed first
};

} // namespace

int32_t fit_layers(const std::string & path, std::vector<ggml_backend_dev_t> devices, uint32_t n_ctx, uint32_t n_batch, int32_t type_k,
                   int32_t type_v, uint64_t spare) {
    llama_model_params model = llama_model_default_params();
    if (!devices.empty()) {
        devices.push_back(nullptr);
        model.devices = devices.data();
    }
    llama_context_params context = llama_context_default_params();
    context.n_ctx                = n_ctx;
    context.n_batch              = n_batch;
    context.n_ubatch             = n_batch;
    context.flash_attn_type      = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    context.type_k               = (ggml_type) type_k;
    context.type_v               = (ggml_type) type_v;

    int32_t beyond = 0;
    {
        const projection all(path, model, context, INT32_MAX);
        if (all.fits(spare)) {
            return all.has_devices() ? all.n_layers() : 0;
        }
        beyond = all.n_layers();
    }

    // Memory grows with the number of layers: between one that fits and one that does not.
    int32_t fits = 0;
    while (fits + 1 < beyond) {
        const int32_t tried                                                   = fits + (beyond - fits) / 2;
        (projection(path, model, context, tried).fits(spare) ? fits : beyond) = tried;
    }
    return fits;
}

} // namespace edgekv
