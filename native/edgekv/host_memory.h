#pragma once

#include <cstdint>

namespace edgekv {

// Bytes that this process can take without the system having to kill something: what the machine has available, or what is left
// of the process's own limit (cgroup), whichever is less. UINT64_MAX where the system does not say.
uint64_t host_memory_available();

// Gives freed heap memory back to the system, where the allocator would keep it.
void host_memory_trim();

} // namespace edgekv
