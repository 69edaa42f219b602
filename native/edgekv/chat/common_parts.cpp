// The few functions of llama.cpp's common/common.cpp and common/log.cpp that its chat templates need. Those files are not built: they bring
// samplers, downloads and a logging thread along.
#include "common.h"
#include "log.h"

std::string string_join(const std::vector<std::string> & values, const std::string & separator) {
    std::string result;
    for (size_t i = 0; i < values.size(); ++i) {
        result += i > 0 ? separator : "";
        result += values[i];
    }
    return result;
}

std::vector<std::string> string_split(const std::string & str, const std::string & delimiter) {
    std::vector<std::string> parts;
    size_t                   begin = 0;
    for (size_t end; (end = str.find(delimiter, begin)) != std::string::npos; begin = end + delimiter.size()) {
        parts.push_back(str.substr(begin, end - begin));
    }
    parts.push_back(str.substr(begin));
    return parts;
}

std::string string_repeat(const std::string & str, size_t n) {
    std::string result;
    for (size_t i = 0; i < n; ++i) {
        result += str;
    }
    return result;
}

void string_replace_all(std::string & s, const std::string & search, const std::string & replace) {
    if (search.empty()) {
        return;
    }
    std::string result;
    size_t      begin = 0;
    for (size_t end; (end = s.find(search, begin)) != std::string::npos; begin = end + search.size()) {
        result.append(s, begin, end - begin).append(replace);
    }
    result.append(s, begin, std::string::npos);
    s = std::move(result);
}

std::string regex_escape(const std::string & s) {
    std::string result;
    for (const char c : s) {
        if (c != '\0' && std::string(".^$|()*+?[]{}\\").find(c) != std::string::npos) {
            result += '\\';
        }
        result += c;
    }
    return result;
}

std::vector<llama_token> common_tokenize(const struct llama_vocab * vocab, const std::string & text, bool add_special, bool parse_special) {
    std::vector<llama_token> tokens(text.size() + 8);
    int32_t                  n =
        llama_tokenize(vocab, text.data(), (int32_t) text.size(), tokens.data(), (int32_t) tokens.size(), add_special, parse_special);
    if (n < 0) {
        tokens.resize(-n);
        n = llama_tokenize(vocab, text.data(), (int32_t) text.size(), tokens.data(), (int32_t) tokens.size(), add_special, parse_special);
    }
    tokens.resize(n < 0 ? 0 : n);
    return tokens;
}

std::string common_token_to_piece(const struct llama_vocab * vocab, llama_token token, bool special) {
    std::string piece(64, '\0');
    int32_t     n = llama_token_to_piece(vocab, token, &piece[0], (int32_t) piece.size(), 0, special);
    if (n < 0) {
        piece.resize(-n);
        n = llama_token_to_piece(vocab, token, &piece[0], (int32_t) piece.size(), 0, special);
    }
    piece.resize(n < 0 ? 0 : n);
    return piece;
}

// Nothing is logged: what fails throws, and the rest quotes conversations.
int common_log_get_verbosity_thold(void) {
    return LOG_LEVEL_OUTPUT - 1;
}

struct common_log * common_log_main() {
    return nullptr;
}

void common_log_add(struct common_log * /* log */, enum ggml_log_level /* level */, const char * /* fmt */, ...) {}
