// Chat templates over llama.cpp's `common`: texts in, JSON out. edgekv_chat.h says what is in them.
#pragma once

#include <string>

struct llama_model;

namespace edgekv {
namespace chat {

std::string render(const llama_model * model, const char * chat_template, const std::string & messages, const std::string & tools,
                   const std::string & options);

std::string parse(const std::string & params, const std::string & answer, bool is_partial);

} // namespace chat
} // namespace edgekv
