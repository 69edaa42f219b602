// How much of a model its devices hold.
#pragma once

#include "ggml-backend.h"

#include <cstdint>
#include <string>
#include <vector>

namespace edgekv {

// The largest number of layers that fit, the output layer counted as one. edgekv_fit says what it is given. devices: empty for those that llama.cpp would take.
int32_t fit_layers(const std::string & path, std::vector<ggml_backend_dev_t> devices, uint32_t n_ctx, uint32_t n_batch, int32_t type_k,
                   int32_t type_v, uint64_t spare);

} // namespace edgekv
