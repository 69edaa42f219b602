// The library itself: its version, what went wrong on a thread, and the backends.
#include "base/backends.h"
#include "base/error.h"

#include "llama-host.h"

#include <string>

using namespace edgekv;

uint32_t edgekv_abi_version(void) {
    return EDGEKV_ABI_VERSION;
}

const char * edgekv_last_error(void) {
    return last_error().c_str();
}

const char * edgekv_log_error(void) {
    return llama_log_first_error().c_str();
}

void edgekv_log_error_clear(void) {
    llama_log_first_error().clear();
}

const char * edgekv_load_error(const char * path) {
    static thread_local std::string reason;
    reason = llama_load_error(path);
    return reason.c_str();
}

int32_t edgekv_backends_load(const char * folder, const char * cpu) {
    return guarded([&] { load_backends(folder, cpu); });
}
