#include "error.h"

#include "ggml.h"
#include "llama.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <new>
#include <vector>

namespace edgekv {

namespace {

thread_local std::string t_last_error;
thread_local std::string t_llama_error;
thread_local int         t_abort_guards = 0;

std::mutex    g_log_mutex;
edgekv_log_fn g_log_fn   = nullptr;
void *        g_log_user = nullptr;

std::string vtext(const char * format, va_list args) {
    va_list copy;
    va_copy(copy, args);
    const int n = std::vsnprintf(nullptr, 0, format, copy);
    va_end(copy);

    std::vector<char> buffer(n + 1);
    std::vsnprintf(buffer.data(), buffer.size(), format, args);

    return std::string(buffer.data(), n);
}

std::string trimmed(const char * s) {
    std::string line(s);
    while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) {
        line.pop_back();
    }
    return line;
}

void on_log(ggml_log_level level, const char * s, void * /* user */) {
    const std::string line = trimmed(s);
    if (line.empty()) {
        return;
    }

    if (level == GGML_LOG_LEVEL_ERROR) {
        // the first error names the cause, later ones where it was noticed
        if (t_llama_error.empty()) {
            t_llama_error = line;
        }
    }

    std::lock_guard<std::mutex> lock(g_log_mutex);
    if (g_log_fn && level != GGML_LOG_LEVEL_CONT && level != GGML_LOG_LEVEL_NONE) {
        g_log_fn(level, line.c_str(), g_log_user);
    }
}

void on_abort(const char * message) {
    if (t_abort_guards > 0) {
        fail(EDGEKV_E_INTERNAL, "llama.cpp gave up: %s", message);
    }
    std::fprintf(stderr, "%s\n", message);
}

} // namespace

void fail(int32_t status, const char * format, ...) {
    va_list args;
    va_start(args, format);
    const std::string message = vtext(format, args);
    va_end(args);

    throw error(status, message);
}

std::string text(const char * format, ...) {
    va_list args;
    va_start(args, format);
    std::string s = vtext(format, args);
    va_end(args);

    return s;
}

void set_last_error(const std::string & message) {
    t_last_error = message;
}

std::string llama_error() {
    return t_llama_error;
}

void clear_llama_error() {
    t_llama_error.clear();
}

void install_log() {
    llama_log_set(on_log, nullptr);
    ggml_set_abort_callback(on_abort);
}

abort_guard::abort_guard() {
    ++t_abort_guards;
}

abort_guard::~abort_guard() {
    --t_abort_guards;
}

int32_t status_of_current_exception() noexcept {
    try {
        try {
            throw;
        } catch (const error & e) {
            set_last_error(e.what());
            return e.status;
        } catch (const std::bad_alloc &) {
            set_last_error("out of memory");
            return EDGEKV_E_MEMORY;
        } catch (const std::exception & e) {
            set_last_error(e.what());
            return EDGEKV_E_INTERNAL;
        } catch (...) {
            set_last_error("unknown failure");
            return EDGEKV_E_INTERNAL;
        }
    } catch (...) {
        return EDGEKV_E_MEMORY; // no memory even for the message
    }
}

} // namespace edgekv

using namespace edgekv;

uint32_t edgekv_abi_version(void) {
    return EDGEKV_ABI_VERSION;
}

const char * edgekv_last_error(void) {
    return t_last_error.c_str();
}

void edgekv_log_set(edgekv_log_fn fn, void * user) {
    {
        std::lock_guard<std::mutex> lock(g_log_mutex);
        g_log_fn   = fn;
        g_log_user = user;
    }
    install_log();
}
