#include "chat/pieces.h"

#include "llama-host.h"
#include "llama.h"

#include <algorithm>
#include <cctype>

namespace edgekv {
namespace chat {

namespace {

bool is_space(char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0;
}

} // namespace

control_tokens::control_tokens(const llama_vocab * vocab) {
    for (llama_token id = 0; vocab && id < llama_vocab_n_tokens(vocab); ++id) {
        const int  attributes = llama_vocab_get_attr(vocab, id);
        const bool is_markup  = (attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) && llama_vocab_is_markup(vocab, id);
        if (!is_markup && !(attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN))) {
            continue;
        }
        const char * text = llama_vocab_get_text(vocab, id);
        if (*text) {
            if (m_first_letters.find(*text) == std::string::npos) {
                m_first_letters += *text;
            }
            m_tokens.push_back({ text, (attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0, (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0 });
        }
    }
    std::stable_sort(m_tokens.begin(), m_tokens.end(), [](const token & a, const token & b) { return a.text.size() > b.text.size(); });
}

std::string control_tokens::first_in(const std::string & text) const {
    if (text.find_first_of(m_first_letters) == std::string::npos) {
        return "";
    }
    for (const token & control : m_tokens) {
        if (text.find(control.text) != std::string::npos) {
            return control.text;
        }
    }
    return "";
}

std::vector<piece> control_tokens::split(const std::string & text) const {
    std::vector<piece> pieces{ { text, false } };
    for (const token & control : m_tokens) {
        if (text.find(control.text) == std::string::npos) {
            continue;
        }
        std::vector<piece> next;
        for (const piece & p : pieces) {
            if (p.control) {
                next.push_back(p);
            } else {
                cut(p.text, control, next);
            }
        }
        pieces = std::move(next);
    }
    return pieces;
}

// Cuts a control token out of a piece of text, wherever it stands.
void control_tokens::cut(const std::string & text, const token & control, std::vector<piece> & pieces) {
    size_t begin = 0;
    for (size_t found; (found = text.find(control.text, begin)) != std::string::npos;) {
        size_t first = found;
        size_t last  = found + control.text.size();
        while (control.takes_left && first > begin && is_space(text[first - 1])) {
            --first;
        }
        while (control.takes_right && last < text.size() && is_space(text[last])) {
            ++last;
        }
        if (first > begin) {
            pieces.push_back({ text.substr(begin, first - begin), false });
        }
        pieces.push_back({ text.substr(first, last - first), true });
        begin = last;
    }
    if (begin < text.size()) {
        pieces.push_back({ text.substr(begin), false });
    }
}

} // namespace chat
} // namespace edgekv
