#include "backend.h"
#include "compact_cache.h"
#include "objects.h"

#include "llama-model.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

using namespace edgekv;

namespace {

struct progress_state {
    edgekv_progress_fn fn;
    void *             user;
    bool               cancelled;
};

bool on_progress(float share, void * user) {
    auto * state = (progress_state *) user;
    if (state->fn && !state->fn(share, state->user)) {
        state->cancelled = true;
    }
    return !state->cancelled;
}

// llama.cpp's own messages for these cases speak of its loader, not of the file.
void check_file(const char * path) {
    std::FILE * file = std::fopen(path, "rb");
    if (!file) {
        fail(EDGEKV_E_MODEL, "the model %s cannot be opened: %s", path, std::strerror(errno));
    }
    char         magic[4] = {};
    const size_t n        = std::fread(magic, 1, sizeof(magic), file);
    std::fclose(file);

    if (n != sizeof(magic) || std::memcmp(magic, "GGUF", sizeof(magic)) != 0) {
        fail(EDGEKV_E_MODEL, "%s is not a GGUF file", path);
    }
}

// Writes as much as fits and says how much there is.
void give_text(const std::string & from, char * to, size_t capacity, size_t * length, bool whole) {
    if (length) {
        *length = from.size();
    }
    if (whole && capacity < from.size()) {
        fail(EDGEKV_E_ARGUMENT, "the text has %zu bytes, the buffer %zu", from.size(), capacity);
    }
    if (to && capacity > 0) {
        const size_t n = std::min(from.size(), whole ? capacity : capacity - 1);
        std::memcpy(to, from.data(), n);
        if (n < capacity) {
            to[n] = 0;
        }
    }
}

const llama_vocab * vocab_of(const edgekv_model * model) {
    if (!model) {
        fail(EDGEKV_E_ARGUMENT, "no model was given");
    }
    return llama_model_get_vocab(model->model);
}

} // namespace

edgekv_model::~edgekv_model() {
    llama_model_free(model);
}

int32_t edgekv_model_load(const char * path, int32_t n_gpu_layers, bool use_mmap, edgekv_progress_fn progress, void * user,
                          edgekv_model ** out) {
    return guarded([&] {
        if (!path || !out) {
            fail(EDGEKV_E_ARGUMENT, "no model path was given");
        }
        require_backends();
        check_file(path);

        ggml_backend_dev_t devices[2] = { nullptr, nullptr };
        if (n_gpu_layers != 0) {
            const auto gpus = gpu_devices();
            if (gpus.empty()) {
                const std::string why = gpu_failures();
                fail(EDGEKV_E_BACKEND, "layers were asked to be put on a GPU, and there is none: %s",
                     why.empty() ? "no GPU backend lies beside the library, or it found no device" : why.c_str());
            }
            devices[0] = gpus[0];
        }

        progress_state state = { progress, user, false };

        llama_model_params params          = llama_model_default_params();
        params.devices                     = devices;
        params.n_gpu_layers                = n_gpu_layers;
        params.use_mmap                    = use_mmap;
        params.progress_callback           = on_progress;
        params.progress_callback_user_data = &state;

        auto result = std::make_unique<edgekv_model>();
        {
            const abort_guard guard;
            result->model = llama_model_load_from_file(path, params);
        }
        if (!result->model) {
            if (state.cancelled) {
                fail(EDGEKV_E_CANCELLED, "loading %s was stopped by the caller", path);
            }
            fail(EDGEKV_E_MODEL, "the model %s cannot be loaded: %s", path, llama_error().c_str());
        }

        *out = result.release();
    });
}

void edgekv_model_free(edgekv_model * model) {
    delete model;
}

int32_t edgekv_model_get(const edgekv_model * model, int32_t key, int64_t * value) {
    return guarded([&] {
        if (!model || !value) {
            fail(EDGEKV_E_ARGUMENT, "no model was given");
        }
        const llama_hparams & hparams = model->model->hparams;

        switch (key) {
            case EDGEKV_MODEL_N_LAYER:
                *value = llama_model_n_layer(model->model);
                break;
            case EDGEKV_MODEL_N_HEAD:
                *value = hparams.n_layer() ? hparams.n_head() : 0;
                break;
            case EDGEKV_MODEL_N_HEAD_KV:
                *value = hparams.n_layer() ? hparams.n_head_kv() : 0;
                break;
            case EDGEKV_MODEL_HEAD_SIZE_K:
                *value = hparams.n_embd_head_k();
                break;
            case EDGEKV_MODEL_HEAD_SIZE_V:
                *value = hparams.n_embd_head_v();
                break;
            case EDGEKV_MODEL_N_EMBD:
                *value = llama_model_n_embd(model->model);
                break;
            case EDGEKV_MODEL_N_CTX_TRAIN:
                *value = llama_model_n_ctx_train(model->model);
                break;
            case EDGEKV_MODEL_N_VOCAB:
                *value = llama_vocab_n_tokens(vocab_of(model));
                break;
            case EDGEKV_MODEL_N_PARAMS:
                *value = (int64_t) llama_model_n_params(model->model);
                break;
            case EDGEKV_MODEL_BYTES:
                *value = (int64_t) llama_model_size(model->model);
                break;
            default:
                fail(EDGEKV_E_ARGUMENT, "there is no model key %d", key);
        }
    });
}

int32_t edgekv_model_supported(const edgekv_model * model) {
    return guarded([&] {
        if (!model) {
            fail(EDGEKV_E_ARGUMENT, "no model was given");
        }
        const std::string reason = compact_cache::unsupported_reason(*model->model);
        if (!reason.empty()) {
            fail(EDGEKV_E_UNSUPPORTED, "the KV cache of this model cannot be made compact: %s", reason.c_str());
        }
    });
}

int32_t edgekv_model_text(const edgekv_model * model, const char * key, char * to, size_t capacity, size_t * length) {
    return guarded([&] {
        if (!model) {
            fail(EDGEKV_E_ARGUMENT, "no model was given");
        }

        std::string value(256, 0);
        for (;;) {
            const int32_t n = key ? llama_model_meta_val_str(model->model, key, value.data(), value.size())
                                  : llama_model_desc(model->model, value.data(), value.size());
            if (n < 0) {
                fail(EDGEKV_E_ARGUMENT, "the model has no metadata key %s", key ? key : "");
            }
            const bool whole = (size_t) n < value.size();
            value.resize(whole ? n : n + 1);
            if (whole) {
                break;
            }
        }
        give_text(value, to, capacity, length, false);
    });
}

int32_t edgekv_tokenize(const edgekv_model * model, const char * s, size_t text_bytes, bool add_special, bool parse_special,
                        int32_t * tokens, int32_t capacity, int32_t * count) {
    return guarded([&] {
        const llama_vocab * vocab = vocab_of(model);
        if ((!s && text_bytes > 0) || !count || (!tokens && capacity > 0) || capacity < 0 || text_bytes > INT32_MAX) {
            fail(EDGEKV_E_ARGUMENT, "the text or the buffer for its tokens is not valid");
        }

        const int32_t n = llama_tokenize(vocab, s, (int32_t) text_bytes, tokens, capacity, add_special, parse_special);
        if (n == INT32_MIN) {
            fail(EDGEKV_E_ARGUMENT, "the text has more tokens than can be counted");
        }
        *count = n < 0 ? -n : n;
        if (n < 0) {
            fail(EDGEKV_E_ARGUMENT, "the text has %d tokens, the buffer room for %d", -n, capacity);
        }
    });
}

int32_t edgekv_token_text(const edgekv_model * model, int32_t token, bool special, char * to, size_t capacity, size_t * length) {
    return guarded([&] {
        const llama_vocab * vocab = vocab_of(model);
        if (token < 0 || token >= llama_vocab_n_tokens(vocab)) {
            fail(EDGEKV_E_ARGUMENT, "token %d of %d", token, llama_vocab_n_tokens(vocab));
        }

        const int32_t n = llama_token_to_piece(vocab, token, to, (int32_t) std::min<size_t>(capacity, INT32_MAX), 0, special);
        if (length) {
            *length = n < 0 ? -n : n;
        }
        if (n < 0) {
            fail(EDGEKV_E_ARGUMENT, "the token has %d bytes, the buffer %zu", -n, capacity);
        }
    });
}

bool edgekv_token_is_end(const edgekv_model * model, int32_t token) {
    if (!model) {
        return false;
    }
    const llama_vocab * vocab = llama_model_get_vocab(model->model);
    return token >= 0 && token < llama_vocab_n_tokens(vocab) && llama_vocab_is_eog(vocab, token);
}

int32_t edgekv_chat_text(const edgekv_model * model, const char * const * roles, const char * const * contents, size_t n,
                         bool add_assistant, char * to, size_t capacity, size_t * length) {
    return guarded([&] {
        if (!model || (n > 0 && (!roles || !contents))) {
            fail(EDGEKV_E_ARGUMENT, "no model or no messages were given");
        }

        const char * chat_template = llama_model_chat_template(model->model, nullptr);
        if (!chat_template) {
            fail(EDGEKV_E_UNSUPPORTED, "the model has no chat template");
        }

        std::vector<llama_chat_message> messages;
        size_t                          total = 256;
        for (size_t i = 0; i < n; ++i) {
            if (!roles[i] || !contents[i]) {
                fail(EDGEKV_E_ARGUMENT, "message %zu has no role or no content", i);
            }
            messages.push_back({ roles[i], contents[i] });
            total += std::strlen(roles[i]) + std::strlen(contents[i]) + 64;
        }

        std::string result(total, 0);
        for (;;) {
            const int32_t size = llama_chat_apply_template(chat_template, messages.data(), messages.size(), add_assistant, result.data(),
                                                           (int32_t) result.size());
            if (size < 0) {
                fail(EDGEKV_E_UNSUPPORTED, "llama.cpp does not know this model's chat template");
            }
            const bool whole = (size_t) size <= result.size();
            result.resize(size);
            if (whole) {
                break;
            }
        }
        give_text(result, to, capacity, length, true);
    });
}
