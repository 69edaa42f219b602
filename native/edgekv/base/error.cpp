#include "base/error.h"

#include "llama-host.h"

#include <cctype>
#include <cstdarg>
#include <cstdio>
#include <new>
#include <utility>
#include <vector>

namespace edgekv {

namespace {

thread_local std::string t_last_error;

std::string vtext(const char * format, va_list args) {
    va_list copy;
    va_copy(copy, args);
    const int n = std::vsnprintf(nullptr, 0, format, copy);
    va_end(copy);

    std::vector<char> buffer(n + 1);
    std::vsnprintf(buffer.data(), buffer.size(), format, args);

    return std::string(buffer.data(), n);
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

const std::string & last_error() {
    return t_last_error;
}

std::string llama_error() {
    const std::string & line = llama_log_first_error();

    // "llama_model_load: error loading model" begins with the name of a function
    size_t end = 0;
    while (end < line.size() && (std::isalnum((unsigned char) line[end]) || line[end] == '_')) {
        ++end;
    }
    return end > 0 && line.compare(end, 2, ": ") == 0 ? line.substr(end + 2) : line;
}

log_scope::log_scope() : m_before(std::exchange(llama_log_first_error(), {})) {}

log_scope::~log_scope() {
    if (!m_before.empty()) {
        llama_log_first_error() = std::move(m_before);
    }
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
