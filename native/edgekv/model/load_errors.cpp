// Why model files could not be loaded (llama-host.h). Who loads one may be on another thread by the time it is told that it failed.
#include "llama-host.h"

#include <deque>
#include <mutex>
#include <string>
#include <utility>

namespace {

// Failures that nobody asked for are forgotten, the oldest first.
constexpr size_t KEPT = 64;

std::mutex                                      g_mutex;
std::deque<std::pair<std::string, std::string>> g_errors; // file, reason

} // namespace

void llama_set_load_error(const std::string & path, const std::string & reason) {
    const std::lock_guard<std::mutex> lock(g_mutex);
    for (auto it = g_errors.begin(); it != g_errors.end();) {
        it = it->first == path ? g_errors.erase(it) : it + 1;
    }
    if (reason.empty()) {
        return;
    }
    if (g_errors.size() == KEPT) {
        g_errors.pop_front();
    }
    g_errors.emplace_back(path, reason);
}

std::string llama_load_error(const std::string & path) {
    const std::lock_guard<std::mutex> lock(g_mutex);
    for (const auto & [file, reason] : g_errors) {
        if (file == path) {
            return reason;
        }
    }
    return {};
}
