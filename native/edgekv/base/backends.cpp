#include "base/backends.h"

#include "base/error.h"

#include "ggml-backend.h"
#include "llama-impl.h"
#include "llama.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#if defined(_WIN32)
#    define NOMINMAX
#    include <windows.h>
#else
#    include <dlfcn.h>
#endif

namespace edgekv {

namespace {

namespace fs = std::filesystem;

std::mutex g_mutex;

// A library that is open only to be looked at.
class library {
public:
    explicit library(const fs::path & path) {
#if defined(_WIN32)
        m_handle = LoadLibraryW(path.c_str());
        if (!m_handle) {
            m_error = "error " + std::to_string(GetLastError());
        }
#else
        m_handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!m_handle) {
            const char * message = dlerror();
            m_error              = message ? message : "unknown error";
        }
#endif
    }

    library(const library &)             = delete;
    library & operator=(const library &) = delete;

    ~library() {
        if (m_handle) {
#if defined(_WIN32)
            FreeLibrary((HMODULE) m_handle);
#else
            dlclose(m_handle);
#endif
        }
    }

    const std::string & error() const {
        return m_error;
    }

    void * symbol(const char * name) const {
        if (!m_handle) {
            return nullptr;
        }
#if defined(_WIN32)
        return (void *) GetProcAddress((HMODULE) m_handle, name);
#else
        return dlsym(m_handle, name);
#endif
    }

private:
    void *      m_handle = nullptr;
    std::string m_error;
};

// "cpu-zen4" of libggml-cpu-zen4.so, "" for what is no backend.
std::string backend_name(const fs::path & path) {
    std::string stem = path.stem().string();
    const auto  ext  = path.extension();
    if (ext != ".so" && ext != ".dylib" && ext != ".dll") {
        return "";
    }
    for (const char * prefix : { "libggml-", "ggml-" }) {
        if (stem.rfind(prefix, 0) == 0) {
            stem = stem.substr(std::strlen(prefix));
            return stem == "base" ? "" : stem;
        }
    }
    return "";
}

bool is_cpu(const std::string & name) {
    return name.rfind("cpu", 0) == 0;
}

// The score that a CPU variant gives itself on this machine, 0: it cannot run here.
int score(const fs::path & path) {
    const library lib(path);
    const auto    fn = (int (*)()) lib.symbol("ggml_backend_score");
    if (!lib.error().empty()) {
        return 0;
    }
    return fn ? fn() : 1; // a build for one machine has no score
}

fs::path best_cpu(const std::vector<fs::path> & paths, const char * wanted, const std::string & folder) {
    fs::path    best;
    int         best_score = 0;
    std::string names;

    for (const auto & path : paths) {
        const std::string name    = backend_name(path);
        const std::string variant = name == "cpu" ? "" : name.substr(std::strlen("cpu-"));
        names += (names.empty() ? "" : ", ") + variant;

        if (wanted ? variant != wanted : variant == "sapphirerapids") {
            continue;
        }
        const int s = score(path);
        if (s > best_score) {
            best       = path;
            best_score = s;
        }
    }

    if (best.empty()) {
        if (wanted) {
            fail(EDGEKV_E_BACKEND, "the CPU variant '%s' is not in %s or cannot run on this machine; there are: %s", wanted, folder.c_str(),
                 names.c_str());
        }
        fail(EDGEKV_E_BACKEND, "no CPU backend in %s can run on this machine; there are: %s", folder.c_str(),
             names.empty() ? "none" : names.c_str());
    }
    return best;
}

} // namespace

void load_backends(const char * folder, const char * cpu) {
    std::lock_guard<std::mutex> lock(g_mutex);
    if (ggml_backend_dev_count() > 0) {
        return; // loaded already, by us or by somebody else, or linked in
    }
    if (!folder) {
        fail(EDGEKV_E_ARGUMENT, "no folder with backends was given");
    }

    std::error_code       ec;
    std::vector<fs::path> cpus;
    std::vector<fs::path> gpus;
    for (const auto & entry : fs::directory_iterator(fs::u8path(folder), ec)) {
        const std::string name = backend_name(entry.path());
        if (!name.empty()) {
            (is_cpu(name) ? cpus : gpus).push_back(entry.path());
        }
    }
    if (ec) {
        fail(EDGEKV_E_BACKEND, "the folder %s cannot be read: %s", folder, ec.message().c_str());
    }
    std::sort(cpus.begin(), cpus.end());
    std::sort(gpus.begin(), gpus.end());

    const fs::path best = best_cpu(cpus, cpu, folder);
    if (!ggml_backend_load(best.u8string().c_str())) {
        fail(EDGEKV_E_BACKEND, "%s could not be loaded: %s", best.u8string().c_str(), llama_error().c_str());
    }

    for (const auto & path : gpus) {
        // looked at first: the loader's own words name the library that is missing
        const library probe(path);
        if (!probe.error().empty() || !ggml_backend_load(path.u8string().c_str())) {
            LLAMA_LOG_WARN("edgekv: %s is not used: %s\n", path.filename().u8string().c_str(),
                           probe.error().empty() ? llama_error().c_str() : probe.error().c_str());
        }
    }

    llama_backend_init();
}

} // namespace edgekv
