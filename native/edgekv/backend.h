#pragma once

#include "ggml-backend.h"

#include <string>
#include <vector>

namespace edgekv {

// Throws EDGEKV_E_BACKEND when no backend was loaded, by us or by whoever else uses the library.
void require_backends();

std::vector<ggml_backend_dev_t> gpu_devices();

// Why GPU backends that lie in the folder are not in use, "" when none failed.
std::string gpu_failures();

} // namespace edgekv
