#include "base/devices.h"

#include "base/error.h"

namespace edgekv {

std::string features_of(ggml_backend_dev_t device) {
    const auto get =
        (ggml_backend_get_features_t) ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_get_features");
    std::string features;

    if (!get) {
        return features;
    }
    for (const ggml_backend_feature * feature = get(ggml_backend_dev_backend_reg(device)); feature && feature->name; ++feature) {
        const std::string value = feature->value ? feature->value : "";
        if (value != "0") {
            features += (features.empty() ? "" : " ") + std::string(feature->name) + (value == "1" ? "" : "=" + value);
        }
    }
    return features;
}

std::vector<ggml_backend_dev_t> devices_named(const char * const * names) {
    std::vector<ggml_backend_dev_t> devices;

    for (; names && *names; ++names) {
        const ggml_backend_dev_t device = ggml_backend_dev_by_name(*names);
        if (!device) {
            fail(EDGEKV_E_ARGUMENT, "there is no device %s", *names);
        }
        devices.push_back(device);
    }
    return devices;
}

} // namespace edgekv
