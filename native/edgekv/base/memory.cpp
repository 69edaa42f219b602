#include "base/memory.h"

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

namespace {

#if defined(__linux__)

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

} // namespace

memory_left memory_left_on(ggml_backend_dev_t device) {
    if (!device || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
        return { host_memory_available(), "this machine" };
    }

    size_t free  = 0;
    size_t total = 0;
    ggml_backend_dev_memory(device, &free, &total);
    return { total ? free : UINT64_MAX, ggml_backend_dev_description(device) };
}

void host_memory_trim() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

} // namespace edgekv
