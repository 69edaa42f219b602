// Where the control tokens of a vocabulary stand in a text, those among them that the file types as user-defined.
#pragma once

#include <string>
#include <vector>

struct llama_vocab;

namespace edgekv {
namespace chat {

struct piece {
    std::string text;
    bool        control; // a control token, with the white space around it that the tokenizer takes as part of it
};

class control_tokens {
public:
    // vocab may be nullptr: then there are none
    explicit control_tokens(const llama_vocab * vocab);

    // The pieces together are the text. They are what llama.cpp's tokenizer finds when it parses special tokens.
    std::vector<piece> split(const std::string & text) const;

    // The text of one that stands in a text, "" when none does.
    std::string first_in(const std::string & text) const;

private:
    struct token {
        std::string text;
        bool        takes_left;
        bool        takes_right;
    };

    static void cut(const std::string & text, const token & control, std::vector<piece> & pieces);

    std::vector<token> m_tokens;        // longest first, as the tokenizer looks for them
    std::string        m_first_letters; // what they begin with
};

} // namespace chat
} // namespace edgekv
