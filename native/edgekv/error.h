// How failures travel inside the shim: an exception with a status, turned into a return value at the edge of the C API.
#pragma once

#include "edgekv.h"

#include <stdexcept>
#include <string>

namespace edgekv {

struct error : std::runtime_error {
    error(int32_t status, const std::string & message) : std::runtime_error(message), status(status) {}

    int32_t status;
};

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
[[noreturn]] void
fail(int32_t status, const char * format, ...);

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
std::string
text(const char * format, ...);

// Sets what edgekv_last_error() gives on this thread.
void set_last_error(const std::string & message);

// The last error that llama.cpp or ggml logged on this thread since clear_llama_error(), "" when none.
std::string llama_error();
void        clear_llama_error();

// llama.cpp's log goes through here from the first call on.
void install_log();

// What a thread inside the C API may do with a GGML_ASSERT that fails on it: a file or an argument that llama.cpp did not foresee ends as an
// exception instead of ending the process. Only where nothing half done is used again: loading a model, making a context.
struct abort_guard {
    abort_guard();
    ~abort_guard();
};

int32_t status_of_current_exception() noexcept;

// Runs f and turns what it throws into a status and a last error.
template <typename F>
int32_t guarded(F && f) noexcept {
    try {
        clear_llama_error();
        f();
        return EDGEKV_OK;
    } catch (...) {
        return status_of_current_exception();
    }
}

} // namespace edgekv
