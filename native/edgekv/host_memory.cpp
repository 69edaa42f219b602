#include "host_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#if defined(__GLIBC__)
#    include <malloc.h>
#endif
#if defined(_WIN32)
#    define NOMINMAX
#    include <windows.h>
#endif

namespace edgekv {

#if defined(__linux__)

namespace {

uint64_t number_in(const char * path) {
    std::ifstream file(path);
    uint64_t      n = 0;
    return file >> n ? n : UINT64_MAX; // "max" is not a number
}

uint64_t left_of(const char * limit_path, const char * used_path) {
    const uint64_t limit = number_in(limit_path);
    const uint64_t used  = number_in(used_path);
    return limit == UINT64_MAX || used == UINT64_MAX ? UINT64_MAX : limit - std::min(limit, used);
}

} // namespace

uint64_t host_memory_available() {
    uint64_t available = UINT64_MAX;

    std::ifstream meminfo("/proc/meminfo");
    std::string   key;
    uint64_t      kib = 0;
    std::string   unit;
    while (meminfo >> key >> kib && std::getline(meminfo, unit)) {
        if (key == "MemAvailable:") {
            available = kib * 1024;
            break;
        }
    }

    available = std::min(available, left_of("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"));
    available = std::min(available, left_of("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"));

    return available;
}

#elif defined(_WIN32)

uint64_t host_memory_available() {
    MEMORYSTATUSEX status = {};
    status.dwLength       = sizeof(status);
    return GlobalMemoryStatusEx(&status) ? std::min<uint64_t>(status.ullAvailPhys, status.ullAvailPageFile) : UINT64_MAX;
}

#else

uint64_t host_memory_available() {
    return UINT64_MAX;
}

#endif

void host_memory_trim() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

} // namespace edgekv
