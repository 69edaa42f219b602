#include "backend.h"

#include "error.h"

#include "ggml-backend.h"
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

std::mutex  g_mutex;
bool        g_loaded = false;
std::string g_gpu_failures;

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

std::string gpu_failures() {
    std::lock_guard<std::mutex> lock(g_mutex);
    return g_gpu_failures;
}

std::vector<ggml_backend_dev_t> gpu_devices() {
    std::vector<ggml_backend_dev_t> devices;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        const auto         type   = ggml_backend_dev_type(device);
        if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            devices.push_back(device);
        }
    }
    return devices;
}

void load_backends(const char * folder, const char * cpu) {
    std::lock_guard<std::mutex> lock(g_mutex);
    if (g_loaded) {
        return;
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

    install_log();

    const fs::path best = best_cpu(cpus, cpu, folder);
    if (!ggml_backend_load(best.u8string().c_str())) {
        fail(EDGEKV_E_BACKEND, "%s could not be loaded: %s", best.u8string().c_str(), llama_error().c_str());
    }

    for (const auto & path : gpus) {
        // looked at first: the loader's own words name the library that is missing
        const library probe(path);
        if (!probe.error().empty()) {
            g_gpu_failures += (g_gpu_failures.empty() ? "" : "; ") + path.filename().u8string() + ": " + probe.error();
            continue;
        }
        if (!ggml_backend_load(path.u8string().c_str())) {
            g_gpu_failures += (g_gpu_failures.empty() ? "" : "; ") + path.filename().u8string() + ": " + llama_error();
        }
    }

    llama_backend_init();
    g_loaded = true;
}

void require_backends() {
    std::lock_guard<std::mutex> lock(g_mutex);
    if (!g_loaded && ggml_backend_dev_count() == 0) {
        fail(EDGEKV_E_BACKEND, "no backend is loaded; call edgekv_backends_load first");
    }
}

} // namespace edgekv

using namespace edgekv;

int32_t edgekv_backends_load(const char * folder, const char * cpu) {
    return guarded([&] { load_backends(folder, cpu); });
}

int32_t edgekv_device_count(void) {
    return (int32_t) ggml_backend_dev_count();
}

static void copy_text(char * to, size_t capacity, const char * from) {
    if (to && capacity > 0) {
        std::strncpy(to, from, capacity - 1);
        to[capacity - 1] = 0;
    }
}

int32_t edgekv_device_info(int32_t index, int32_t * type, uint64_t * bytes_free, uint64_t * bytes_total, char * name, size_t name_capacity,
                           char * description, size_t description_capacity) {
    return guarded([&] {
        if (index < 0 || index >= edgekv_device_count()) {
            fail(EDGEKV_E_ARGUMENT, "device %d of %d", index, edgekv_device_count());
        }
        ggml_backend_dev_t device = ggml_backend_dev_get(index);

        const auto gpus = gpu_devices();
        if (type) {
            *type = std::find(gpus.begin(), gpus.end(), device) != gpus.end() ? EDGEKV_DEVICE_GPU : EDGEKV_DEVICE_CPU;
        }

        size_t free  = 0;
        size_t total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        if (bytes_free) {
            *bytes_free = free;
        }
        if (bytes_total) {
            *bytes_total = total;
        }
        copy_text(name, name_capacity, ggml_backend_dev_name(device));
        copy_text(description, description_capacity, ggml_backend_dev_description(device));
    });
}
