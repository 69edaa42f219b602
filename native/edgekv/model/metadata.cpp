// What a GGUF file says, checked for type and range before llama.cpp acts on it (llama-host.h).
#include "ggml.h"
#include "gguf.h"
#include "llama-host.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

// The end of a key, behind the architecture's name, and the numbers that it may have.
struct number_range {
    std::string_view key;
    double           least;
    double           most;
};

constexpr double MOST_COUNT = std::numeric_limits<int32_t>::max(); // llama.cpp keeps counts in 32 bits, and hands them out as signed ones
constexpr double MOST_FLOAT = std::numeric_limits<float>::max();
constexpr double ABOVE_ZERO = std::numeric_limits<float>::min();

// Norms and rotations assert on these in the threads that compute; counts become negative where they are handed out.
constexpr number_range RANGES[] = {
    { "context_length", 1, MOST_COUNT },
    { "embedding_length", 1, MOST_COUNT },
    { "block_count", 0, MOST_COUNT },
    { "vocab_size", 0, MOST_COUNT },
    { "feed_forward_length", 0, MOST_COUNT },
    { "expert_count", 0, MOST_COUNT },
    { "expert_used_count", 0, MOST_COUNT },
    { "attention.head_count", 0, MOST_COUNT },
    { "attention.head_count_kv", 0, MOST_COUNT },
    { "attention.key_length", 0, MOST_COUNT },
    { "attention.value_length", 0, MOST_COUNT },
    { "attention.layer_norm_epsilon", 0, MOST_FLOAT },
    { "attention.layer_norm_rms_epsilon", 0, MOST_FLOAT },
    { "attention.group_norm_epsilon", 0, MOST_FLOAT },
    { "attention.max_alibi_bias", 0, MOST_FLOAT },
    { "rope.dimension_count", 0, MOST_COUNT },
    { "rope.freq_base", ABOVE_ZERO, MOST_FLOAT },
    { "rope.freq_base_swa", ABOVE_ZERO, MOST_FLOAT },
    { "rope.scale_linear", 0, MOST_FLOAT },
    { "rope.scaling.factor", 0, MOST_FLOAT },
    { "rope.scaling.original_context_length", 0, MOST_COUNT },
};

// Arrays that llama.cpp reads as if they were of this type.
struct array_type {
    std::string_view key;
    gguf_type        type;
};

constexpr array_type ARRAYS[] = {
    { "tokenizer.ggml.tokens", GGUF_TYPE_STRING },         { "tokenizer.ggml.merges", GGUF_TYPE_STRING },
    { "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32 },        { "tokenizer.ggml.token_type", GGUF_TYPE_INT32 },
    { "tokenizer.ggml.suppress_tokens", GGUF_TYPE_INT32 },
};

[[noreturn]] void refuse(std::string_view key, const std::string & what) {
    throw std::runtime_error("the file's " + std::string(key) + " " + what);
}

std::string to_text(double value) {
    const bool is_whole = std::abs(value) < 1e15 && value == std::trunc(value);
    return is_whole ? std::to_string((int64_t) value) : std::to_string(value);
}

std::string to_text(const number_range & range) {
    if (range.most == MOST_COUNT) {
        return "from " + to_text(range.least) + " to " + to_text(range.most);
    }
    return range.least == ABOVE_ZERO ? "a number above 0" : "a number of 0 or more";
}

template <typename T>
double element(const void * data, size_t index) {
    return (double) ((const T *) data)[index];
}

// Numbers of a type; null: it has none.
double (*reader_of(gguf_type type))(const void *, size_t) {
    switch (type) {
        case GGUF_TYPE_UINT8:
            return element<uint8_t>;
        case GGUF_TYPE_INT8:
            return element<int8_t>;
        case GGUF_TYPE_UINT16:
            return element<uint16_t>;
        case GGUF_TYPE_INT16:
            return element<int16_t>;
        case GGUF_TYPE_UINT32:
            return element<uint32_t>;
        case GGUF_TYPE_INT32:
            return element<int32_t>;
        case GGUF_TYPE_FLOAT32:
            return element<float>;
        case GGUF_TYPE_UINT64:
            return element<uint64_t>;
        case GGUF_TYPE_INT64:
            return element<int64_t>;
        case GGUF_TYPE_FLOAT64:
            return element<double>;
        default:
            return nullptr;
    }
}

const number_range * range_of(std::string_view key, std::string_view architecture) {
    if (key.size() <= architecture.size() || key.substr(0, architecture.size()) != architecture || key[architecture.size()] != '.') {
        return nullptr;
    }
    key.remove_prefix(architecture.size() + 1);
    for (const auto & range : RANGES) {
        if (range.key == key) {
            return &range;
        }
    }
    return nullptr;
}

void check_numbers(const gguf_context * metadata, int64_t id, std::string_view key, const number_range * range) {
    const bool      is_array = gguf_get_kv_type(metadata, id) == GGUF_TYPE_ARRAY;
    const gguf_type type     = is_array ? gguf_get_arr_type(metadata, id) : gguf_get_kv_type(metadata, id);
    const auto      read     = reader_of(type);
    if (!read) {
        return; // a wrong type is llama.cpp's own error, where the key is asked for
    }

    const bool   may_be_none = type == GGUF_TYPE_FLOAT32 || type == GGUF_TYPE_FLOAT64;
    const void * data        = is_array ? gguf_get_arr_data(metadata, id) : gguf_get_val_data(metadata, id);
    const size_t count       = is_array ? gguf_get_arr_n(metadata, id) : 1;
    for (size_t i = 0; (range || may_be_none) && i < count; i++) {
        const double value = read(data, i);
        if (std::isnan(value)) {
            refuse(key, "is NaN, where a number is needed");
        }
        if (range && !(value >= range->least && value <= range->most)) {
            refuse(key, "is " + to_text(value) + "; it has to be " + to_text(*range));
        }
    }
}

void check_suppressed(const gguf_context * metadata) {
    const int64_t suppressed = gguf_find_key(metadata, "tokenizer.ggml.suppress_tokens");
    const int64_t vocabulary = gguf_find_key(metadata, "tokenizer.ggml.tokens");
    if (suppressed < 0 || vocabulary < 0) {
        return;
    }
    const auto * ids    = (const int32_t *) gguf_get_arr_data(metadata, suppressed);
    const size_t tokens = gguf_get_arr_n(metadata, vocabulary);
    for (size_t i = 0; i < gguf_get_arr_n(metadata, suppressed); i++) {
        if (ids[i] < 0 || (size_t) ids[i] >= tokens) {
            refuse("tokenizer.ggml.suppress_tokens",
                   "names token " + std::to_string(ids[i]) + "; the vocabulary has " + std::to_string(tokens));
        }
    }
}

} // namespace

void llama_check_metadata(const gguf_context * metadata) {
    for (const auto & array : ARRAYS) {
        const int64_t id = gguf_find_key(metadata, std::string(array.key).c_str());
        if (id < 0) {
            continue;
        }
        const bool is_array = gguf_get_kv_type(metadata, id) == GGUF_TYPE_ARRAY;
        if (!is_array || gguf_get_arr_type(metadata, id) != array.type) {
            const gguf_type found = is_array ? gguf_get_arr_type(metadata, id) : gguf_get_kv_type(metadata, id);
            refuse(array.key, std::string("is ") + (is_array ? "an array of " : "one ") + gguf_type_name(found) +
                                  "; it has to be an array of " + gguf_type_name(array.type));
        }
    }
    check_suppressed(metadata);
    const int64_t vocabulary = gguf_find_key(metadata, "tokenizer.ggml.tokens");
    if (vocabulary >= 0 && gguf_get_arr_n(metadata, vocabulary) == 0) {
        refuse("tokenizer.ggml.tokens", "is empty");
    }

    const int64_t    architecture_id = gguf_find_key(metadata, "general.architecture");
    std::string_view architecture;
    if (architecture_id >= 0 && gguf_get_kv_type(metadata, architecture_id) == GGUF_TYPE_STRING) {
        architecture = gguf_get_val_str(metadata, architecture_id);
    }
    for (int64_t id = 0; id < gguf_get_n_kv(metadata); id++) {
        const std::string_view key = gguf_get_key(metadata, id);
        check_numbers(metadata, id, key, range_of(key, architecture));
    }
}
