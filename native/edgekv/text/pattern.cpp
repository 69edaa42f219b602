#include "text/pattern.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>

namespace edgekv {

namespace {

constexpr uint32_t UNBOUNDED  = std::numeric_limits<uint32_t>::max();
constexpr uint32_t LAST_CHAR  = std::numeric_limits<uint32_t>::max();
constexpr uint32_t MAX_REPEAT = 1000;
constexpr size_t   MAX_STATES = 10000;

struct node {
    enum kind_t { characters, sequence, alternatives, repeat, lookahead, end_of_text };

    explicit node(kind_t kind) : kind(kind) {}

    kind_t                             kind;
    uint32_t                           set     = 0;
    uint32_t                           min     = 0; // of repeat
    uint32_t                           max     = 0;
    bool                               negated = false;
    std::vector<std::unique_ptr<node>> parts;
};

using node_ptr = std::unique_ptr<node>;

char_ranges in_order(char_ranges ranges) {
    std::sort(ranges.begin(), ranges.end());
    char_ranges result;
    for (const auto & [first, last] : ranges) {
        if (!result.empty() && (result.back().second == LAST_CHAR || first <= result.back().second + 1)) {
            result.back().second = std::max(result.back().second, last);
        } else {
            result.emplace_back(first, last);
        }
    }
    return result;
}

char_ranges all_but(const char_ranges & ranges) {
    char_ranges result;
    uint32_t    from = 0;
    for (const auto & [first, last] : in_order(ranges)) {
        if (first > from) {
            result.emplace_back(from, first - 1);
        }
        if (last == LAST_CHAR) {
            return result;
        }
        from = last + 1;
    }
    result.emplace_back(from, LAST_CHAR);
    return result;
}

// Those of \s, \d, \w and their opposites; none for another letter.
char_ranges ranges_of_class(char32_t letter) {
    switch (letter) {
        case U's':
            return { { '\t', '\r' }, { ' ', ' ' } };
        case U'd':
            return { { '0', '9' } };
        case U'w':
            return { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
        case U'S':
        case U'D':
        case U'W':
            return all_but(ranges_of_class(letter - U'A' + U'a'));
        default:
            return {};
    }
}

class parser {
public:
    explicit parser(const std::u32string & text) : m_text(text) {}

    node_ptr parse() {
        node_ptr result = parse_alternatives();
        if (m_at < m_text.size()) {
            unknown("a bracket that nothing opened");
        }
        return result;
    }

    std::vector<char_ranges> take_sets() { return std::move(m_sets); }

private:
    [[noreturn]] void unknown(const char * what) const {
        throw std::invalid_argument(std::string(what) + " at character " + std::to_string(m_at) + " of the pattern");
    }

    bool take(char32_t c) {
        const bool found = m_at < m_text.size() && m_text[m_at] == c;
        m_at += found ? 1 : 0;
        return found;
    }

    char32_t take_any() {
        if (m_at == m_text.size()) {
            unknown("an end in the middle");
        }
        return m_text[m_at++];
    }

    node_ptr parse_alternatives() {
        auto result = std::make_unique<node>(node::alternatives);
        do {
            result->parts.push_back(parse_sequence());
        } while (take(U'|'));
        return result;
    }

    node_ptr parse_sequence() {
        auto result = std::make_unique<node>(node::sequence);
        while (m_at < m_text.size() && m_text[m_at] != U'|' && m_text[m_at] != U')') {
            result->parts.push_back(parse_repeats(parse_atom()));
        }
        return result;
    }

    node_ptr parse_atom() {
        const char32_t c = take_any();
        switch (c) {
            case U'(':
                return parse_group();
            case U'[':
                return characters(parse_set());
            case U'\\':
                return characters(parse_escape());
            case U'$':
                return std::make_unique<node>(node::end_of_text);
            case U'^':
            case U'.':
            case U'*':
            case U'+':
            case U'?':
            case U'{':
                unknown("an unknown construct");
            default:
                return characters({ { c, c } });
        }
    }

    node_ptr parse_group() {
        node_ptr look;
        if (take(U'?')) {
            const char32_t kind = take_any();
            if (kind == U'=' || kind == U'!') {
                look          = std::make_unique<node>(node::lookahead);
                look->negated = kind == U'!';
            } else if (kind != U':') {
                unknown("an unknown kind of group");
            }
        }
        node_ptr inside = parse_alternatives();
        if (!take(U')')) {
            unknown("a bracket that nothing closes");
        }
        if (!look) {
            return inside;
        }
        look->parts.push_back(std::move(inside));
        return look;
    }

    node_ptr parse_repeats(node_ptr part) {
        uint32_t min = 0;
        uint32_t max = UNBOUNDED;
        if (take(U'?')) {
            max = 1;
        } else if (take(U'+')) {
            min = 1;
        } else if (take(U'{')) {
            min = parse_number();
            max = !take(U',') ? min : m_at < m_text.size() && m_text[m_at] == U'}' ? UNBOUNDED : parse_number();
            if (!take(U'}') || max < min) {
                unknown("a repetition without a meaning");
            }
        } else if (!take(U'*')) {
            return part;
        }
        if (m_at < m_text.size() && std::u32string(U"?+*{").find(m_text[m_at]) != std::u32string::npos) {
            unknown("a repetition that is not greedy");
        }
        auto result = std::make_unique<node>(node::repeat);
        result->min = min;
        result->max = max;
        result->parts.push_back(std::move(part));
        return result;
    }

    uint32_t parse_number() {
        uint32_t     result = 0;
        const size_t first  = m_at;
        while (m_at < m_text.size() && m_text[m_at] >= U'0' && m_text[m_at] <= U'9' && result <= MAX_REPEAT) {
            result = 10 * result + uint32_t(m_text[m_at++] - U'0');
        }
        if (m_at == first || result > MAX_REPEAT) {
            unknown("a number that is missing or too large");
        }
        return result;
    }

    // After the backslash. One character, or those of a class.
    char_ranges parse_escape() {
        static const std::u32string letters  = U"fnrtv";
        static const std::u32string controls = U"\f\n\r\t\v";

        const char32_t c = take_any();
        if (const char_ranges ranges = ranges_of_class(c); !ranges.empty()) {
            return ranges;
        }
        if (const size_t i = letters.find(c); i != std::u32string::npos) {
            return { { controls[i], controls[i] } };
        }
        if ((c >= U'0' && c <= U'9') || (c >= U'A' && c <= U'Z') || (c >= U'a' && c <= U'z')) {
            unknown("an unknown escape");
        }
        return { { c, c } };
    }

    // After the bracket that opens it.
    char_ranges parse_set() {
        const bool  negated = take(U'^');
        char_ranges result;
        while (!take(U']')) {
            const char_ranges item = parse_set_item();
            // A dash stands for itself at the end, and after a range.
            const bool        dash = m_at + 1 < m_text.size() && m_text[m_at] == U'-' && m_text[m_at + 1] != U']';
            if (!dash) {
                result.insert(result.end(), item.begin(), item.end());
                continue;
            }
            ++m_at;
            const char_ranges last = parse_set_item();
            if (!is_character(item) || !is_character(last) || last[0].first < item[0].first) {
                unknown("a range without a meaning");
            }
            result.emplace_back(item[0].first, last[0].first);
        }
        return negated ? all_but(result) : result;
    }

    char_ranges parse_set_item() {
        const char32_t c = take_any();
        if (c == U'[' && m_at < m_text.size() && std::u32string(U".:=").find(m_text[m_at]) != std::u32string::npos) {
            unknown("a class of POSIX");
        }
        return c == U'\\' ? parse_escape() : char_ranges{ { c, c } };
    }

    static bool is_character(const char_ranges & ranges) { return ranges.size() == 1 && ranges[0].first == ranges[0].second; }

    node_ptr characters(const char_ranges & ranges) {
        const char_ranges set    = in_order(ranges);
        auto              result = std::make_unique<node>(node::characters);
        result->set              = uint32_t(std::find(m_sets.begin(), m_sets.end(), set) - m_sets.begin());
        if (result->set == m_sets.size()) {
            m_sets.push_back(set);
        }
        return result;
    }

    const std::u32string &   m_text;
    size_t                   m_at = 0;
    std::vector<char_ranges> m_sets;
};

// Whether a part can match nothing, and whether it can match something.
bool can_be_empty(const node & n) {
    const auto empty = [](const node_ptr & part) { return can_be_empty(*part); };
    switch (n.kind) {
        case node::characters:
            return false;
        case node::sequence:
            return std::all_of(n.parts.begin(), n.parts.end(), empty);
        case node::alternatives:
            return std::any_of(n.parts.begin(), n.parts.end(), empty);
        case node::repeat:
            return n.min == 0 || empty(n.parts[0]);
        default:
            return true;
    }
}

bool can_take(const node & n) {
    return n.kind == node::characters || (n.kind != node::lookahead && (n.kind != node::repeat || n.max > 0) &&
                                          std::any_of(n.parts.begin(), n.parts.end(), [](const node_ptr & p) { return can_take(*p); }));
}

// Writes states from the last to the first: each is given the state after it.
class writer {
public:
    explicit writer(pattern & target) : m_states(target.states) { add({}); }

    uint32_t write(const node & n, uint32_t next) {
        switch (n.kind) {
            case node::characters:
                return add({ pattern_state::character, false, n.set, 0, next });
            case node::end_of_text:
                return add({ pattern_state::end_of_text, false, 0, 0, next });
            case node::lookahead:
                return add({ pattern_state::lookahead, n.negated, 0, write(*n.parts[0], MATCH), next });
            case node::sequence:
                for (size_t i = n.parts.size(); i-- > 0;) {
                    next = write(*n.parts[i], next);
                }
                return next;
            case node::alternatives: {
                uint32_t rest = write(*n.parts.back(), next);
                for (size_t i = n.parts.size() - 1; i-- > 0;) {
                    rest = add({ pattern_state::either, false, 0, write(*n.parts[i], next), rest });
                }
                return rest;
            }
            case node::repeat:
                return write_repeat(n, next);
        }
        return next;
    }

    static constexpr uint32_t MATCH = 0;

private:
    uint32_t write_repeat(const node & n, uint32_t next) {
        const node & part = *n.parts[0];
        if (can_be_empty(part)) {
            throw std::invalid_argument("a repetition of what may be empty");
        }
        uint32_t rest = next;
        if (n.max == UNBOUNDED) {
            rest                  = add({ pattern_state::either, false, 0, 0, next });
            const uint32_t inside = write(part, rest);
            m_states[rest].first  = inside;
        } else {
            for (uint32_t i = n.min; i < n.max; ++i) {
                rest = add({ pattern_state::either, false, 0, write(part, rest), next });
            }
        }
        for (uint32_t i = 0; i < n.min; ++i) {
            rest = write(part, rest);
        }
        return rest;
    }

    uint32_t add(const pattern_state & state) {
        if (m_states.size() == MAX_STATES) {
            throw std::invalid_argument("a pattern that is too large");
        }
        m_states.push_back(state);
        return uint32_t(m_states.size() - 1);
    }

    std::vector<pattern_state> & m_states;
};

// Nothing that may be empty is repeated, so that no state reaches itself without taking a character.
void put_in_order(const pattern & p, uint32_t state, std::vector<bool> & seen, std::vector<uint32_t> & order) {
    if (seen[state]) {
        return;
    }
    seen[state]             = true;
    const pattern_state & s = p.states[state];
    if (s.kind == pattern_state::either || s.kind == pattern_state::lookahead) {
        put_in_order(p, s.first, seen, order);
    }
    if (s.kind != pattern_state::match && s.kind != pattern_state::character) {
        put_in_order(p, s.next, seen, order);
    }
    order.push_back(state);
}

} // namespace

pattern parse_pattern(const std::u32string & text) {
    parser         parser(text);
    const node_ptr whole = parser.parse();
    pattern        result;
    result.sets  = parser.take_sets();
    result.empty = can_be_empty(*whole);
    if (result.empty && can_take(*whole)) {
        throw std::invalid_argument("a pattern that may match something and nothing");
    }
    result.start = writer(result).write(*whole, writer::MATCH);
    std::vector<bool> seen(result.states.size());
    for (uint32_t i = 0; i < result.states.size(); ++i) {
        put_in_order(result, i, seen, result.order);
    }
    return result;
}

} // namespace edgekv
