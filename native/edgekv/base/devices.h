// ggml's devices by name.
#pragma once

#include "ggml-backend.h"

#include <string>
#include <vector>

namespace edgekv {

// What the device's backend was built to use, a space between each; "" when it does not say.
std::string features_of(ggml_backend_dev_t device);

// names: ended by nullptr; nullptr: no device. Throws EDGEKV_E_ARGUMENT for one that is not there.
std::vector<ggml_backend_dev_t> devices_named(const char * const * names);

} // namespace edgekv
