// stock: unpatched llama.cpp behind a line protocol. Tests and figures hold EdgeKV against it: a full cache, a cache after
// llama_memory_seq_rm, and the mask oracle, which is a plan of kept rows as a mask over the full cache.
//
//   stock [--gpu] [--cpu NAME]
//     --gpu        loads the GPU backend that lies beside this program
//     --cpu NAME   the CPU variant (haswell, zen4, ...) instead of the best one that this machine can run
//
// A request is a line on stdin, a verb and key=value fields, tabs between them. A reply is a line of JSON on stdout, "ok" first. Token and
// position files are int32, logits and scores float32, keep masks bits: all little-endian, no header.
//
//   open      model, threads, type=f32|f16|q8_0|q4_0, flash=0|1, ctx, batch, ubatch, layers (on the GPU), offload=0|1, hook=0|1; a quantized V needs
//             flash attention, so without it V is f16 there
//   prefill   tokens                         in batches, no logits but the last token's
//   decode    tokens, logits, single=0|1     forced tokens, one at a time or as one prompt; logits of every token to a file
//   greedy    count, stop                    picks the most likely token count times, or until token stop
//   remove    positions                      llama_memory_seq_rm of each of them
//   rollback  position                       llama_memory_seq_rm from there on
//   pack                                     saves the sequence, clears and loads it: what was removed leaves no holes for later tokens
//   mask      kind=none|softmax|flash, bits, context
//   score     tokens, context, max, sum      attention weights that the tokens give the first context positions, over all of them
//   tokenize  model, pre, text, tokens       of a file's text, by the pre-tokenizer pre instead of the model's own; no model stays open
//   clear, devices, quantize (from, to, type=f16|f32)
//
// The mask has a bit for each layer, KV head and context position, each head's bits padded to whole bytes, lowest bit first; 1 keeps.
// It needs hook=1, and cells that equal positions, which is so in a cache that was filled from 0 and had nothing removed.

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

using fields = std::map<std::string, std::string>;

std::string g_log; // what llama.cpp last complained of

void on_log(ggml_log_level level, const char * text, void *) {
    static const bool loud = getenv("EDGEKV_STOCK_LOG") != nullptr;
    if (loud) {
        fputs(text, stderr);
    }
    if (level == GGML_LOG_LEVEL_ERROR) {
        g_log = text;
    }
}

double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

[[noreturn]] void fail(const std::string & what) {
    throw std::runtime_error(g_log.empty() ? what : what + ": " + g_log);
}

std::string text(const fields & f, const std::string & key) {
    const auto it = f.find(key);
    if (it == f.end()) {
        fail("field " + key + " is missing");
    }
    return it->second;
}

int number(const fields & f, const std::string & key, int other) {
    const auto it = f.find(key);
    return it == f.end() ? other : std::stoi(it->second);
}

template <typename T>
std::vector<T> read_file(const std::string & path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        fail("cannot read " + path);
    }
    in.seekg(0, std::ios::end);
    std::vector<T> data(size_t(in.tellg()) / sizeof(T));
    in.seekg(0);
    in.read(reinterpret_cast<char *>(data.data()), std::streamsize(data.size() * sizeof(T)));
    return data;
}

template <typename T>
void write_file(const std::string & path, const std::vector<T> & data) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char *>(data.data()), std::streamsize(data.size() * sizeof(T)));
    if (!out) {
        fail("cannot write " + path);
    }
}

std::string quoted(const std::string & s) {
    std::string out = "\"";
    for (const char c : s) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (uint8_t(c) < 0x20) {
            out += ' ';
        } else {
            out += c;
        }
    }
    return out + "\"";
}

// The layer of a tensor called prefix-<layer>, or -1.
int layer_of(const ggml_tensor * t, const char * prefix) {
    const size_t n = strlen(prefix);
    return strncmp(t->name, prefix, n) == 0 && t->name[n] == '-' ? atoi(t->name + n + 1) : -1;
}

// Sees every node of the graph before and after it is computed: the mask oracle and the reference scores.
struct hook {
    enum class masks { none, softmax, flash };

    masks kind      = masks::none;
    int   n_head    = 0;
    int   n_head_kv = 0;
    int   n_layer   = 0;
    int   n_context = 0;

    std::vector<uint8_t> bits;

    bool               scoring = false;
    std::vector<float> max;
    std::vector<float> sum;

    // Every flash attention node belongs to a layer with a cache, and they come in order: where its KV heads' rows of the mask begin. Layers may differ in heads.
    size_t first_row = 0;

    // What stands in for the mask of a node while it is computed.
    ggml_tensor *         original = nullptr;
    ggml_tensor           plane{};
    std::vector<uint16_t> plane_data;

    std::vector<float> row_data;

    // nullptr: nothing of this head is dropped beyond what the caller does anyway
    const uint8_t * kept(int il, int head_kv) const {
        return bits.data() + (size_t(il) * size_t(n_head_kv) + size_t(head_kv)) * row_bytes();
    }

    static bool has(const uint8_t * row, int i) { return (row[i / 8] >> (i % 8)) & 1; }

    void softmax_mask(ggml_tensor * t, int il) {
        const int64_t n_kv     = t->ne[0];
        const int64_t n_tokens = t->ne[1];
        const int     columns  = int(std::min<int64_t>(n_kv, n_context));
        row_data.resize(size_t(ggml_nelements(t)));
        ggml_backend_tensor_get(t, row_data.data(), 0, ggml_nbytes(t));
        for (int h = 0; h < t->ne[2]; ++h) {
            const uint8_t * keep = kept(il, h / (n_head / n_head_kv));
            for (int64_t q = 0; q < n_tokens; ++q) {
                float * row  = row_data.data() + (size_t(h) * size_t(n_tokens) + size_t(q)) * size_t(n_kv);
                double  left = 0.0;
                for (int j = 0; j < columns; ++j) {
                    if (!has(keep, j)) {
                        row[j] = 0.0f;
                    }
                }
                for (int64_t j = 0; j < n_kv; ++j) {
                    left += row[j];
                }
                for (int64_t j = 0; j < n_kv; ++j) {
                    row[j] = float(row[j] / left);
                }
            }
        }
        ggml_backend_tensor_set(t, row_data.data(), 0, ggml_nbytes(t));
    }

    size_t row_bytes() const { return size_t((n_context + 7) / 8); }

    // One mask for each query head: the CPU's flash attention takes plane (head % ne[2]).
    void flash_mask(ggml_tensor * t) {
        const ggml_tensor * mask  = t->src[3];
        const int           heads = int(t->src[0]->ne[2]);
        const int           kv    = int(t->src[1]->ne[2]);
        if (mask == nullptr || mask->type != GGML_TYPE_F16 || mask->ne[2] != 1 || mask->ne[3] != 1 || !ggml_is_contiguous(mask)) {
            fail("flash attention " + std::string(t->name) + " has a mask of another form");
        }
        if (bits.size() < (first_row + size_t(kv)) * row_bytes()) {
            fail("the mask has fewer KV heads than the model");
        }
        const size_t   n_kv           = size_t(mask->ne[0]);
        const size_t   n_tokens       = size_t(mask->ne[1]);
        const size_t   columns        = std::min(n_kv, size_t(n_context));
        const uint16_t minus_infinity = 0xfc00;

        plane_data.resize(n_kv * n_tokens * size_t(heads));
        for (int h = 0; h < heads; ++h) {
            uint16_t *      out  = plane_data.data() + size_t(h) * n_kv * n_tokens;
            const uint8_t * keep = bits.data() + (first_row + size_t(h / (heads / kv))) * row_bytes();
            memcpy(out, mask->data, n_kv * n_tokens * sizeof(uint16_t));
            for (size_t q = 0; q < n_tokens; ++q) {
                for (size_t j = 0; j < columns; ++j) {
                    if (!has(keep, int(j))) {
                        out[q * n_kv + j] = minus_infinity;
                    }
                }
            }
        }
        plane       = *mask;
        plane.ne[2] = heads;
        plane.nb[2] = n_kv * n_tokens * sizeof(uint16_t);
        plane.nb[3] = plane.nb[2] * size_t(heads);
        plane.data  = plane_data.data();
        original    = t->src[3];
        t->src[3]   = &plane;
    }

    void gather_scores(ggml_tensor * t, int il) {
        const int64_t n_kv     = t->ne[0];
        const int64_t n_tokens = t->ne[1];
        row_data.resize(size_t(ggml_nelements(t)));
        ggml_backend_tensor_get(t, row_data.data(), 0, ggml_nbytes(t));
        for (int h = 0; h < t->ne[2]; ++h) {
            float * m = max.data() + (size_t(il) * size_t(n_head) + size_t(h)) * size_t(n_context);
            float * s = sum.data() + (size_t(il) * size_t(n_head) + size_t(h)) * size_t(n_context);
            for (int64_t q = 0; q < n_tokens; ++q) {
                const float * row = row_data.data() + (size_t(h) * size_t(n_tokens) + size_t(q)) * size_t(n_kv);
                for (int j = 0; j < n_context && j < n_kv; ++j) {
                    m[j] = std::max(m[j], row[j]);
                    s[j] += row[j];
                }
            }
        }
    }

    bool see(ggml_tensor * t, bool ask) {
        if (kind == masks::flash && t->op == GGML_OP_FLASH_ATTN_EXT) {
            if (ask) {
                flash_mask(t);
            } else {
                t->src[3] = original;
                first_row += size_t(t->src[1]->ne[2]);
                first_row = first_row * row_bytes() == bits.size() ? 0 : first_row;
            }
            return true;
        }
        const bool wants = scoring || kind == masks::softmax;
        const int  il    = wants ? layer_of(t, "kq_soft_max") : -1;
        if (il < 0) {
            return !ask;
        }
        if (!ask) {
            if (kind == masks::softmax) {
                softmax_mask(t, il);
            }
            if (scoring) {
                gather_scores(t, il);
            }
        }
        return true;
    }

    static bool call(ggml_tensor * t, bool ask, void * self) { return static_cast<hook *>(self)->see(t, ask); }
};

struct program {
    std::string                                               path;
    int                                                       layers = 0;
    std::unique_ptr<llama_model, decltype(&llama_model_free)> model{ nullptr, llama_model_free };
    std::unique_ptr<llama_context, decltype(&llama_free)>     ctx{ nullptr, llama_free };
    hook                                                      eye;
    bool                                                      hooked   = false;
    int                                                       position = 0;
    int                                                       n_batch  = 0;
    int                                                       n_vocab  = 0;

    void open(const fields & f, std::string & out) {
        const double start = now();
        const int    wants = number(f, "layers", 0);
        ctx.reset();
        if (!model || path != text(f, "model") || layers != wants) {
            model.reset();
            llama_model_params mp = llama_model_default_params();
            mp.n_gpu_layers       = wants;
            // A copy that is private to this process: repacked weights, as llama.cpp does without being asked.
            model.reset(llama_model_load_from_file(text(f, "model").c_str(), mp));
            if (!model) {
                fail("cannot load " + text(f, "model"));
            }
            path   = text(f, "model");
            layers = wants;
        }

        static const std::map<std::string, ggml_type> types = {
            { "f32", GGML_TYPE_F32 }, { "f16", GGML_TYPE_F16 }, { "q8_0", GGML_TYPE_Q8_0 }, { "q4_0", GGML_TYPE_Q4_0 }
        };
        hooked                  = number(f, "hook", 0) != 0;
        n_batch                 = number(f, "batch", 512);
        llama_context_params cp = llama_context_default_params();
        cp.n_ctx                = uint32_t(number(f, "ctx", 1024));
        cp.n_batch              = uint32_t(n_batch);
        cp.n_ubatch             = uint32_t(number(f, "ubatch", n_batch));
        cp.n_threads            = number(f, "threads", 2);
        cp.n_threads_batch      = cp.n_threads;
        cp.flash_attn_type      = number(f, "flash", 1) != 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        cp.type_k               = types.at(text(f, "type"));
        cp.type_v      = cp.flash_attn_type == LLAMA_FLASH_ATTN_TYPE_DISABLED && ggml_is_quantized(cp.type_k) ? GGML_TYPE_F16 : cp.type_k;
        cp.offload_kqv = number(f, "offload", 1) != 0;
        cp.no_perf     = true;
        if (hooked) {
            cp.cb_eval           = hook::call;
            cp.cb_eval_user_data = &eye;
        }
        eye           = hook();
        eye.n_head    = llama_model_n_head(model.get());
        eye.n_head_kv = llama_model_n_head_kv(model.get());
        eye.n_layer   = llama_model_n_layer(model.get());
        ctx.reset(llama_init_from_model(model.get(), cp));
        if (!ctx) {
            fail("cannot make a context");
        }
        position = 0;
        n_vocab  = llama_vocab_n_tokens(llama_model_get_vocab(model.get()));
        out += ",\"layers\":" + std::to_string(eye.n_layer) + ",\"heads\":" + std::to_string(eye.n_head) +
               ",\"kv_heads\":" + std::to_string(eye.n_head_kv) + ",\"vocabulary\":" + std::to_string(n_vocab) +
               ",\"seconds\":" + std::to_string(now() - start);
    }

    void need() const {
        if (!ctx) {
            fail("no model is open");
        }
    }

    // One llama_decode; every: logits of all tokens, else of the last.
    void feed(const int32_t * tokens, int n, bool every) {
        llama_batch batch = llama_batch_init(n, 0, 1);
        batch.n_tokens    = n;
        for (int i = 0; i < n; ++i) {
            batch.token[i]     = tokens[i];
            batch.pos[i]       = position + i;
            batch.n_seq_id[i]  = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i]    = every || i == n - 1;
        }
        eye.first_row    = 0;
        const int status = llama_decode(ctx.get(), batch);
        llama_batch_free(batch);
        if (status != 0) {
            fail("llama_decode returned " + std::to_string(status));
        }
        position += n;
    }

    void timing(std::string & out, double start, size_t n) const {
        const double s = now() - start;
        char         line[128];
        snprintf(line, sizeof line, ",\"seconds\":%.9f,\"tokens\":%zu,\"position\":%d", s, n, position);
        out += line;
    }

    void feed_all(const std::vector<int32_t> & tokens) {
        for (size_t i = 0; i < tokens.size(); i += size_t(n_batch)) {
            feed(tokens.data() + i, int(std::min(tokens.size() - i, size_t(n_batch))), false);
        }
        llama_synchronize(ctx.get());
    }

    void prefill(const fields & f, std::string & out) {
        need();
        const auto   tokens = read_file<int32_t>(text(f, "tokens"));
        const double start  = now();
        feed_all(tokens);
        timing(out, start, tokens.size());
    }

    void decode(const fields & f, std::string & out) {
        need();
        const auto         tokens = read_file<int32_t>(text(f, "tokens"));
        const bool         single = number(f, "single", 1) != 0;
        const bool         wanted = f.count("logits") != 0;
        std::vector<float> logits;
        if (wanted) {
            logits.reserve(tokens.size() * size_t(n_vocab));
        }
        const auto take = [&](int i) {
            const float * p = llama_get_logits_ith(ctx.get(), i);
            if (p == nullptr) {
                fail("no logits");
            }
            if (wanted) {
                logits.insert(logits.end(), p, p + n_vocab);
            }
        };
        const double start = now();
        if (single) {
            for (const int32_t token : tokens) {
                feed(&token, 1, true);
                take(0);
            }
        } else {
            for (size_t i = 0; i < tokens.size(); i += size_t(n_batch)) {
                const int n = int(std::min(tokens.size() - i, size_t(n_batch)));
                feed(tokens.data() + i, n, true);
                for (int j = 0; j < n; ++j) {
                    take(j);
                }
            }
        }
        llama_synchronize(ctx.get());
        timing(out, start, tokens.size());
        if (wanted) {
            write_file(text(f, "logits"), logits);
        }
    }

    void greedy(const fields & f, std::string & out) {
        need();
        const int            count = number(f, "count", 1);
        const int            stop  = number(f, "stop", -1);
        std::vector<int32_t> picked;
        const double         start = now();
        for (int i = 0; i < count; ++i) {
            const float * p = llama_get_logits_ith(ctx.get(), -1);
            if (p == nullptr) {
                fail("nothing was decoded yet");
            }
            const int32_t token = int32_t(std::max_element(p, p + n_vocab) - p);
            if (token == stop) {
                break;
            }
            picked.push_back(token);
            feed(&token, 1, true);
        }
        llama_synchronize(ctx.get());
        timing(out, start, picked.size());
        out += ",\"picked\":[";
        for (size_t i = 0; i < picked.size(); ++i) {
            out += (i == 0 ? "" : ",") + std::to_string(picked[i]);
        }
        out += "]";
    }

    void remove(const fields & f) {
        need();
        for (const int32_t p : read_file<int32_t>(text(f, "positions"))) {
            if (!llama_memory_seq_rm(llama_get_memory(ctx.get()), 0, p, p + 1)) {
                fail("position " + std::to_string(p) + " cannot be removed");
            }
        }
    }

    void pack() {
        need();
        std::vector<uint8_t> state(llama_state_seq_get_size(ctx.get(), 0));
        if (llama_state_seq_get_data(ctx.get(), state.data(), state.size(), 0) != state.size()) {
            fail("cannot save the sequence");
        }
        llama_memory_clear(llama_get_memory(ctx.get()), true);
        if (llama_state_seq_set_data(ctx.get(), state.data(), state.size(), 0) != state.size()) {
            fail("cannot load the sequence");
        }
    }

    void rollback(const fields & f) {
        need();
        const int p = number(f, "position", 0);
        if (!llama_memory_seq_rm(llama_get_memory(ctx.get()), 0, p, -1)) {
            fail("cannot roll back to " + std::to_string(p));
        }
        position = p;
    }

    void mask(const fields & f) {
        need();
        const std::string kind = text(f, "kind");
        if (kind == "none") {
            eye.kind = hook::masks::none;
            return;
        }
        if (!hooked) {
            fail("open with hook=1");
        }
        eye.n_context = number(f, "context", 0);
        eye.bits      = read_file<uint8_t>(text(f, "bits"));
        eye.first_row = 0;
        if (kind != "flash" && eye.bits.size() != size_t(eye.n_layer) * size_t(eye.n_head_kv) * eye.row_bytes()) {
            fail("the mask has another size");
        }
        if (kind != "softmax" && kind != "flash") {
            fail("mask kind " + kind + " is not known");
        }
        eye.kind = kind == "flash" ? hook::masks::flash : hook::masks::softmax;
    }

    void score(const fields & f, std::string & out) {
        need();
        if (!hooked) {
            fail("open with hook=1");
        }
        const auto tokens = read_file<int32_t>(text(f, "tokens"));
        eye.n_context     = number(f, "context", 0);
        eye.max.assign(size_t(eye.n_layer) * size_t(eye.n_head) * size_t(eye.n_context), 0.0f);
        eye.sum            = eye.max;
        eye.scoring        = true;
        const double start = now();
        feed_all(tokens);
        eye.scoring = false;
        timing(out, start, tokens.size());
        if (f.count("max") != 0) {
            write_file(text(f, "max"), eye.max);
        }
        if (f.count("sum") != 0) {
            write_file(text(f, "sum"), eye.sum);
        }
    }

    static void tokenize(const fields & f) {
        llama_model_kv_override overrides[2] = {};
        overrides[0].tag                     = LLAMA_KV_OVERRIDE_TYPE_STR;
        snprintf(overrides[0].key, sizeof overrides[0].key, "tokenizer.ggml.pre");
        snprintf(overrides[0].val_str, sizeof overrides[0].val_str, "%s", text(f, "pre").c_str());
        llama_model_params mp = llama_model_default_params();
        mp.vocab_only         = true;
        mp.kv_overrides       = overrides;
        const std::unique_ptr<llama_model, decltype(&llama_model_free)> vocabulary(llama_model_load_from_file(text(f, "model").c_str(), mp),
                                                                                   llama_model_free);
        if (!vocabulary) {
            fail("cannot load " + text(f, "model"));
        }
        const auto           bytes = read_file<char>(text(f, "text"));
        std::vector<int32_t> tokens(bytes.size());
        const int            n = llama_tokenize(llama_model_get_vocab(vocabulary.get()), bytes.data(), int(bytes.size()), tokens.data(),
                                                int(tokens.size()), false, false);
        if (n < 0) {
            fail("cannot tokenize");
        }
        tokens.resize(size_t(n));
        write_file(text(f, "tokens"), tokens);
    }

    void devices(std::string & out) const {
        out += ",\"devices\":[";
        for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
            ggml_backend_dev_t dev = ggml_backend_dev_get(i);
            out += (i == 0 ? "" : ",") + quoted(std::string(ggml_backend_dev_name(dev)) + ": " + ggml_backend_dev_description(dev));
        }
        out += "]";
    }

    void quantize(const fields & f, std::string & out) {
        const double                start = now();
        llama_model_quantize_params qp    = llama_model_quantize_default_params();
        qp.nthread                        = number(f, "threads", 2);
        qp.allow_requantize               = true;
        qp.ftype                          = text(f, "type") == "f32" ? LLAMA_FTYPE_ALL_F32 : LLAMA_FTYPE_MOSTLY_F16;
        if (llama_model_quantize(text(f, "from").c_str(), text(f, "to").c_str(), &qp) != 0) {
            fail("cannot write " + text(f, "to"));
        }
        timing(out, start, 0);
    }

    void run(const std::string & verb, const fields & f, std::string & out) {
        if (verb == "open") {
            open(f, out);
        } else if (verb == "prefill") {
            prefill(f, out);
        } else if (verb == "decode") {
            decode(f, out);
        } else if (verb == "greedy") {
            greedy(f, out);
        } else if (verb == "remove") {
            remove(f);
        } else if (verb == "rollback") {
            rollback(f);
        } else if (verb == "pack") {
            pack();
        } else if (verb == "mask") {
            mask(f);
        } else if (verb == "score") {
            score(f, out);
        } else if (verb == "clear") {
            need();
            llama_memory_clear(llama_get_memory(ctx.get()), true);
            position = 0;
        } else if (verb == "tokenize") {
            tokenize(f);
        } else if (verb == "devices") {
            devices(out);
        } else if (verb == "quantize") {
            quantize(f, out);
        } else {
            fail("verb " + verb + " is not known");
        }
    }
};

// The CPU variant that scores highest here. Never the AMX one: some hypervisors list AMX and kill the process that uses it.
fs::path best_cpu(const fs::path & folder) {
    fs::path best;
    int      score = 0;
    for (const auto & entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (name.rfind("libggml-cpu-", 0) != 0 || name.find("sapphirerapids") != std::string::npos) {
            continue;
        }
        void * lib = dlopen(entry.path().c_str(), RTLD_NOW | RTLD_LOCAL);
        if (lib == nullptr) {
            continue;
        }
        const auto ask  = reinterpret_cast<int (*)()>(dlsym(lib, "ggml_backend_score"));
        const int  here = ask == nullptr ? 0 : ask();
        if (here > score) {
            score = here;
            best  = entry.path();
        }
        dlclose(lib);
    }
    return best;
}

void load_backends(const fs::path & folder, const std::string & cpu, bool gpu) {
    const fs::path path = cpu.empty() ? best_cpu(folder) : folder / ("libggml-cpu-" + cpu + ".so");
    if (path.empty() || ggml_backend_load(path.c_str()) == nullptr) {
        fail("no CPU backend in " + folder.string());
    }
    for (const char * name : { "libggml-vulkan.so", "libggml-cuda.so" }) {
        if (gpu && fs::exists(folder / name) && ggml_backend_load((folder / name).c_str()) == nullptr) {
            fail(std::string("cannot load ") + name);
        }
    }
}

} // namespace

int main(int argc, char ** argv) {
    llama_log_set(on_log, nullptr);
    program state;
    try {
        std::string cpu;
        bool        gpu = false;
        for (int i = 1; i < argc; ++i) {
            const std::string arg = argv[i];
            if (arg == "--gpu") {
                gpu = true;
            } else if (arg == "--cpu" && i + 1 < argc) {
                cpu = argv[++i];
            } else {
                fail("argument " + arg + " is not known");
            }
        }
        load_backends(fs::read_symlink("/proc/self/exe").parent_path(), cpu, gpu);
        llama_backend_init();
    } catch (const std::exception & e) {
        fprintf(stderr, "stock: %s\n", e.what());
        return 1;
    }

    std::string line;
    while (std::getline(std::cin, line)) {
        fields      f;
        std::string verb;
        size_t      from = 0;
        while (from <= line.size()) {
            const size_t      to   = std::min(line.find('\t', from), line.size());
            const std::string part = line.substr(from, to - from);
            const size_t      eq   = part.find('=');
            if (from == 0) {
                verb = part;
            } else if (eq != std::string::npos) {
                f[part.substr(0, eq)] = part.substr(eq + 1);
            }
            from = to + 1;
        }
        g_log.clear();
        std::string out;
        try {
            state.run(verb, f, out);
            out = "{\"ok\":true" + out + "}";
        } catch (const std::exception & e) {
            out = "{\"ok\":false,\"error\":" + quoted(e.what()) + "}";
        }
        puts(out.c_str());
        fflush(stdout);
    }
    return 0;
}
