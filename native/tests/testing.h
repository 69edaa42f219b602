// What the native test programs share. Each is run as
//
//   PROGRAM BACKENDS MODEL TEMP_FOLDER [GPU_LAYERS [TEST]]
//
// MODEL: any small GGUF that can be made compact. TEST: parts of the names of those to run, with commas between. Ends with "N passed, N failed".
#pragma once

#include "api/edgekv.h"

#include "llama-context.h"
#include "llama-kv-cache.h"
#include "llama-model.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#define CHECK(condition)                                                                                                                   \
    do {                                                                                                                                   \
        if (!(condition)) {                                                                                                                \
            throw std::runtime_error(std::string(#condition) + " at line " + std::to_string(__LINE__) + " (" + edgekv_last_error() + ")"); \
        }                                                                                                                                  \
    } while (0)

#define OK(call) CHECK((call) == EDGEKV_OK)

inline llama_model * g_model = nullptr;
inline std::string   g_temp;
inline bool g_device = false; // whose matrix products may round both sides to f16, in one way for one query and in another for many

// A layer with a cache, as edgekv_model_layers gives it.
struct layer_shape {
    int32_t il        = 0; // in the model
    size_t  n_head    = 0;
    size_t  n_head_kv = 0;
    size_t  d_k       = 0;
    size_t  d_v       = 0;

    // of the layer's first one, among those of all layers
    size_t first_head    = 0;
    size_t first_head_kv = 0;

    size_t n_group() const { return n_head / n_head_kv; }

    size_t d(int32_t which) const { return which == EDGEKV_ROW_K ? d_k : d_v; }
};

// Of g_model.
inline std::vector<layer_shape> g_layers;
inline size_t                   g_n_heads    = 0; // of all layers
inline size_t                   g_n_heads_kv = 0;

inline void read_layers() {
    size_t n = 0;
    edgekv_model_layers(g_model, nullptr, 0, &n);
    std::vector<int32_t> numbers(5 * n);
    OK(edgekv_model_layers(g_model, numbers.data(), n, &n));
    for (size_t l = 0; l < n; ++l) {
        const int32_t * v = numbers.data() + 5 * l;
        g_layers.push_back({ v[0], (size_t) v[1], (size_t) v[2], (size_t) v[3], (size_t) v[4], g_n_heads, g_n_heads_kv });
        g_n_heads += v[1];
        g_n_heads_kv += v[2];
    }
}

inline int32_t n_layers() {
    return (int32_t) g_layers.size();
}

inline size_t n_embd() {
    return g_model->hparams.n_embd;
}

inline size_t n_vocab() {
    return (size_t) llama_vocab_n_tokens(llama_model_get_vocab(g_model));
}

inline llama_context_params params_of(uint32_t n_ctx, ggml_type type, int32_t threads) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx                = n_ctx;
    params.n_batch              = 256;
    params.n_ubatch             = 256;
    params.n_threads            = threads;
    params.n_threads_batch      = threads;
    params.flash_attn_type      = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.type_k               = type;
    params.type_v               = type;
    return params;
}

// A context that is attached, unless it is asked not to be.
struct context {
    explicit context(uint32_t n_ctx = 1024, ggml_type type = GGML_TYPE_F16, int32_t threads = 1)
        : context(params_of(n_ctx, type, threads)) {}

    explicit context(const llama_context_params & params, bool attach = true) : c(llama_init_from_model(g_model, params)) {
        CHECK(c);
        if (attach) {
            OK(edgekv_attach(c));
        }
    }

    ~context() { llama_free(c); }

    context(const context &)             = delete;
    context & operator=(const context &) = delete;

    int64_t get(int32_t key) const {
        int64_t value = 0;
        OK(edgekv_cache_get(c, key, &value));
        return value;
    }

    int32_t position() const { return (int32_t) get(EDGEKV_CACHE_POSITION); }

    llama_memory_t memory() const { return llama_get_memory(c); }

    std::vector<float> step(int32_t token) const {
        OK(edgekv_decode(c, &token, 1, EDGEKV_LOGITS_LAST, nullptr, nullptr));
        return logits();
    }

    std::vector<float> logits(int32_t index = -1) const {
        const float * p = llama_get_logits_ith(c, index);
        CHECK(p);
        return std::vector<float>(p, p + n_vocab());
    }

    llama_context * c = nullptr;
};

inline std::vector<int32_t> random_tokens(int32_t n, uint32_t seed) {
    std::mt19937                           random(seed);
    std::uniform_int_distribution<int32_t> token(1, (int32_t) n_vocab() - 1);
    std::vector<int32_t>                   tokens(n);
    std::generate(tokens.begin(), tokens.end(), [&] { return token(random); });
    return tokens;
}

inline std::vector<int32_t> part(const std::vector<int32_t> & tokens, size_t first, size_t n) {
    return { tokens.begin() + first, tokens.begin() + first + n };
}

struct plan {
    std::vector<int32_t> counts;
    std::vector<int32_t> positions;
};

// keep(layer, head, position)
inline plan make_plan(int32_t n_context, const std::function<bool(int32_t, int32_t, int32_t)> & keep) {
    plan result;
    for (int32_t l = 0; l < n_layers(); ++l) {
        for (int32_t h = 0; h < (int32_t) g_layers[l].n_head_kv; ++h) {
            int32_t n = 0;
            for (int32_t p = 0; p < n_context; ++p) {
                if (keep(l, h, p)) {
                    result.positions.push_back(p);
                    ++n;
                }
            }
            result.counts.push_back(n);
        }
    }
    return result;
}

inline plan random_plan(int32_t n_context, uint32_t seed) {
    std::mt19937                          random(seed);
    std::uniform_real_distribution<float> share(0.0f, 1.0f);
    std::vector<float>                    shares;
    return make_plan(n_context, [&](int32_t l, int32_t h, int32_t p) {
        const size_t head = g_layers[l].first_head_kv + h;
        if (p == 0) {
            shares.resize(head + 1, (l + h) % 5 == 4 ? 0.0f : share(random)); // some heads keep nothing
        }
        return share(random) < shares[head];
    });
}

inline int32_t apply(const context & c, const plan & p, uint32_t room = 0) {
    return edgekv_apply(c.c, p.counts.data(), p.counts.size(), p.positions.data(), p.positions.size(), room, room ? 1 : 0);
}

inline void feed(const context & c, const std::vector<int32_t> & tokens) {
    OK(edgekv_decode(c.c, tokens.data(), (int32_t) tokens.size(), EDGEKV_LOGITS_LAST, nullptr, nullptr));
}

inline double kl(const std::vector<float> & p, const std::vector<float> & q) {
    const auto log_sum = [](const std::vector<float> & x) {
        const float m = *std::max_element(x.begin(), x.end());
        double      s = 0;
        for (const float v : x) {
            s += std::exp((double) v - m);
        }
        return m + std::log(s);
    };
    const double lp  = log_sum(p);
    const double lq  = log_sum(q);
    double       sum = 0;
    for (size_t i = 0; i < p.size(); ++i) {
        sum += std::exp(p[i] - lp) * ((p[i] - lp) - (q[i] - lq));
    }
    return sum;
}

// What llama.cpp logged as errors, when somebody wants to know; the log is silent otherwise.
inline std::string * g_errors = nullptr;

// Whether a name has one of parts in it, which have commas between.
inline bool is_named(const std::string & name, const std::string & parts) {
    for (size_t first = 0; first <= parts.size();) {
        const size_t end = std::min(parts.find(',', first), parts.size());
        if (name.find(parts.substr(first, end - first)) != std::string::npos) {
            return true;
        }
        first = end + 1;
    }
    return false;
}

inline int run_tests(int argc, char ** argv, const std::vector<std::pair<const char *, void (*)()>> & tests) {
    if (argc < 4 || argc > 6) {
        std::fprintf(stderr, "usage: %s BACKENDS MODEL TEMP_FOLDER [GPU_LAYERS [TEST]]\n", argv[0]);
        return 2;
    }
    g_temp   = argv[3];
    g_device = argc > 4 && std::atoi(argv[4]) > 0;

    llama_log_set(
        [](ggml_log_level level, const char * text, void *) {
            if (g_errors && level == GGML_LOG_LEVEL_ERROR) {
                *g_errors += text;
            }
        },
        nullptr);
    if (edgekv_backends_load(argv[1], nullptr) != EDGEKV_OK) {
        std::fprintf(stderr, "%s\n", edgekv_last_error());
        return 1;
    }
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers       = argc > 4 ? std::atoi(argv[4]) : 0;
    g_model                   = llama_model_load_from_file(argv[2], params);
    if (!g_model) {
        std::fprintf(stderr, "%s\n", edgekv_log_error());
        return 1;
    }

    read_layers();

    int passed = 0;
    int failed = 0;
    for (const auto & [name, test] : tests) {
        if (argc > 5 && !is_named(name, argv[5])) {
            continue;
        }
        try {
            test();
            std::printf("ok   %s\n", name);
            ++passed;
        } catch (const std::exception & e) {
            std::printf("FAIL %s: %s\n", name, e.what());
            ++failed;
        }
        std::fflush(stdout);
    }
    llama_model_free(g_model);

    std::printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
