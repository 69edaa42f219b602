#include "api/edgekv_chat.h"

#include "base/error.h"
#include "chat/chat.h"

#include <cstring>
#include <memory>

using namespace edgekv;

struct edgekv_chat_result {
    std::string json;
};

int32_t edgekv_chat_render(const struct llama_model * model, const char * chat_template, const char * messages, const char * tools,
                           const char * options, edgekv_chat_result ** out) {
    return guarded([&] {
        if (!messages || !out || (!model && !chat_template)) {
            fail(EDGEKV_E_ARGUMENT, "no messages, or neither a model nor a template were given");
        }
        auto result  = std::make_unique<edgekv_chat_result>();
        result->json = chat::render(model, chat_template, messages, tools ? tools : "null", options ? options : "{}");
        *out         = result.release();
    });
}

int32_t edgekv_chat_parse(const char * params, const char * answer, size_t answer_bytes, bool is_partial, edgekv_chat_result ** out) {
    return guarded([&] {
        if (!params || (!answer && answer_bytes > 0) || !out) {
            fail(EDGEKV_E_ARGUMENT, "no parameters or no answer were given");
        }
        auto result  = std::make_unique<edgekv_chat_result>();
        result->json = chat::parse(params, std::string(answer ? answer : "", answer_bytes), is_partial);
        *out         = result.release();
    });
}

int32_t edgekv_chat_json(const edgekv_chat_result * result, char * text, size_t capacity, size_t * length) {
    return guarded([&] {
        if (!result || !length || (!text && capacity > 0)) {
            fail(EDGEKV_E_ARGUMENT, "no result was given");
        }
        *length = result->json.size();
        if (capacity <= result->json.size()) {
            fail(EDGEKV_E_ARGUMENT, "the text has %zu bytes, the buffer %zu", result->json.size(), capacity);
        }
        std::memcpy(text, result->json.c_str(), result->json.size() + 1);
    });
}

void edgekv_chat_free(edgekv_chat_result * result) {
    delete result;
}
