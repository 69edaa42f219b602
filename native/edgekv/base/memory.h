#pragma once

#include "ggml-backend.h"

#include <cstdint>
#include <string>

namespace edgekv {

struct memory_left {
    uint64_t    bytes = UINT64_MAX; // that where nobody says
    std::string where;
};

// What a device has left. nullptr and the CPU: what this process can take without the system having to kill something, which is what the machine has available or
// what is left of the process's own limit (cgroup), whichever is less.
memory_left memory_left_on(ggml_backend_dev_t device);

// Gives freed heap memory back to the system, where the allocator would keep it.
void host_memory_trim();

} // namespace edgekv
