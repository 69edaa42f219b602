// The library itself: its version, what went wrong on a thread, and the backends.
#include "base/backends.h"
#include "base/error.h"

#include "llama-host.h"

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

int32_t edgekv_backends_load(const char * folder, const char * cpu) {
    return guarded([&] { load_backends(folder, cpu); });
}
