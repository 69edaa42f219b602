// The patterns that split text before it is tokenized, as programs. They are what std::regex takes in its ECMAScript grammar, as far as
// llama.cpp's tokenizers use it: alternatives, groups, sets, \s \d \w and their opposites, greedy * + ? {m,n}, (?=) (?!) and $.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace edgekv {

// Characters of a set, as ranges that are in order and apart.
using char_ranges = std::vector<std::pair<uint32_t, uint32_t>>;

struct pattern_state {
    enum kind_t : uint8_t {
        match,      // the pattern has matched
        character,  // takes a character of the set, and goes on at next
        either,     // first, and where the text cannot match that way, next
        lookahead,  // goes on at next where a match starts at first, or where none does
        end_of_text // goes on at next at the end of the text
    };

    kind_t   kind    = match;
    bool     negated = false; // of lookahead
    uint32_t set     = 0;     // of character
    uint32_t first   = 0;
    uint32_t next    = 0;
};

struct pattern {
    std::vector<char_ranges>   sets; // each once
    std::vector<pattern_state> states;
    std::vector<uint32_t>      order; // of states: those that can be reached without taking a character come before those that reach them
    uint32_t                   start = 0;
    bool                       empty = false; // whether all matches are empty; otherwise none is
};

// Classes are those of the locale "C", which std::regex has wherever nobody calls std::locale::global().
// Throws std::invalid_argument for what is not known here, a pattern of some empty and some other matches included.
pattern parse_pattern(const std::u32string & text);

} // namespace edgekv
