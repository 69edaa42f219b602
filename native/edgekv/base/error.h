// How failures travel: an exception with a status, turned into a return value at the edge of the C API.
#pragma once

#include "api/edgekv.h"

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

// What edgekv_last_error() gives on this thread.
void                set_last_error(const std::string & message);
const std::string & last_error();

// The first error that llama.cpp or ggml logged in this call of the C API, without the name of the function that logged it. "" when there was none.
std::string llama_error();

// While one lives, llama_error() is about what happens in its life. Afterwards the thread's first error is what it was before, if there was one.
class log_scope {
public:
    log_scope();
    ~log_scope();

    log_scope(const log_scope &)             = delete;
    log_scope & operator=(const log_scope &) = delete;

private:
    std::string m_before;
};

int32_t status_of_current_exception() noexcept;

// Runs f and turns what it throws into a status and a last error.
template <typename F>
int32_t guarded(F && f) noexcept {
    try {
        const log_scope scope;
        f();
        return EDGEKV_OK;
    } catch (...) {
        return status_of_current_exception();
    }
}

} // namespace edgekv
