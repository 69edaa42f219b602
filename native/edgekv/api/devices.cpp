// What ggml's backends compute on.
#include "base/devices.h"
#include "api/call.h"
#include "model/fit.h"

#include "ggml-backend.h"

using namespace edgekv;

namespace {

int32_t kind_of(ggml_backend_dev_t device) {
    switch (ggml_backend_dev_type(device)) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:
            return EDGEKV_DEVICE_CPU;
        case GGML_BACKEND_DEVICE_TYPE_GPU:
            return EDGEKV_DEVICE_GPU;
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return EDGEKV_DEVICE_INTEGRATED_GPU;
        default:
            return EDGEKV_DEVICE_ACCELERATOR;
    }
}

} // namespace

size_t edgekv_device_count(void) {
    return ggml_backend_dev_count();
}

int32_t edgekv_device_get(size_t index, edgekv_device * device) {
    return guarded([&] {
        require(device, "place for the device was");
        if (index >= ggml_backend_dev_count()) {
            fail(EDGEKV_E_ARGUMENT, "there are %zu devices, and no device %zu", ggml_backend_dev_count(), index);
        }
        static thread_local std::string features;

        const ggml_backend_dev_t found = ggml_backend_dev_get(index);
        features                       = features_of(found);
        size_t free                    = 0;
        size_t total                   = 0;
        ggml_backend_dev_memory(found, &free, &total);
        *device = { ggml_backend_dev_name(found),
                    ggml_backend_dev_description(found),
                    ggml_backend_reg_name(ggml_backend_dev_backend_reg(found)),
                    features.c_str(),
                    kind_of(found),
                    free,
                    total };
    });
}

int32_t edgekv_fit(const char * path, const char * const * devices, uint32_t n_ctx, uint32_t n_batch, int32_t type_k, int32_t type_v,
                   uint64_t spare, int32_t * n_gpu_layers) {
    return guarded([&] {
        require(path, "path was");
        require(n_gpu_layers, "place for the number of layers was");
        *n_gpu_layers = fit_layers(path, devices_named(devices), n_ctx, n_batch, type_k, type_v, spare);
    });
}
