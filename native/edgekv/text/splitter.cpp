#include "text/splitter.h"

#include "unicode-split.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace edgekv {

namespace {

template <typename CharT>
char32_t number_of(CharT c) {
    return char32_t(std::make_unsigned_t<CharT>(c));
}

} // namespace

splitter::splitter(pattern p) : m_pattern(std::move(p)), m_words((m_pattern.states.size() + 63) / 64) {
    add_classes();
    forget_rows();
}

void splitter::add_classes() {
    m_class_starts = { 0 };
    for (const char_ranges & set : m_pattern.sets) {
        for (const auto & [first, last] : set) {
            m_class_starts.push_back(first);
            if (last != UINT32_MAX) {
                m_class_starts.push_back(last + 1);
            }
        }
    }
    std::sort(m_class_starts.begin(), m_class_starts.end());
    m_class_starts.erase(std::unique(m_class_starts.begin(), m_class_starts.end()), m_class_starts.end());

    std::map<std::vector<bool>, uint16_t> ids;
    std::vector<size_t>                   range(m_pattern.sets.size()); // of each set, the first one that does not end before
    for (const uint32_t start : m_class_starts) {
        std::vector<bool> in(m_pattern.sets.size());
        for (size_t s = 0; s < in.size(); ++s) {
            const char_ranges & set = m_pattern.sets[s];
            while (range[s] < set.size() && set[range[s]].second < start) {
                ++range[s];
            }
            in[s] = range[s] < set.size() && set[range[s]].first <= start;
        }
        const auto [it, is_new] = ids.emplace(in, (uint16_t) m_class_sets.size());
        if (is_new) {
            m_class_sets.push_back(in);
        }
        m_class_ids.push_back(it->second);
    }
    for (uint32_t c = 0, i = 0; c < 256; ++c) {
        i += i + 1 < m_class_starts.size() && m_class_starts[i + 1] == c ? 1 : 0;
        m_low_classes[c] = m_class_ids[i];
    }
}

void splitter::forget_rows() {
    m_rows.clear();
    m_row_ids.clear();
    m_steps.clear();
    m_end_row = add_row(make_row(NONE, 0));
}

inline size_t splitter::class_of(uint32_t c) {
    if (c < 256) {
        return m_low_classes[c];
    }
    const size_t next = m_last_range + 1;
    if (c < m_class_starts[m_last_range] || (next < m_class_starts.size() && c >= m_class_starts[next])) {
        m_last_range = size_t(std::upper_bound(m_class_starts.begin(), m_class_starts.end(), c) - m_class_starts.begin()) - 1;
    }
    return m_class_ids[m_last_range];
}

std::vector<uint64_t> splitter::make_row(row_id after, size_t cls) const {
    std::vector<uint64_t> result(m_words);
    for (const uint32_t state : m_pattern.order) {
        const pattern_state & s   = m_pattern.states[state];
        bool                  can = true;
        switch (s.kind) {
            case pattern_state::match:
                break;
            case pattern_state::character:
                can = after != NONE && m_class_sets[cls][s.set] && has(row(after), s.next);
                break;
            case pattern_state::either:
                can = has(result.data(), s.first) || has(result.data(), s.next);
                break;
            case pattern_state::lookahead:
                can = has(result.data(), s.first) != s.negated && has(result.data(), s.next);
                break;
            case pattern_state::end_of_text:
                can = after == NONE && has(result.data(), s.next);
                break;
        }
        result[state / 64] |= uint64_t(can) << (state % 64);
    }
    return result;
}

splitter::row_id splitter::add_row(const std::vector<uint64_t> & row) {
    const size_t n = m_row_ids.size();
    if (n == MAX_ROWS) {
        throw std::length_error("the text is too irregular for the pattern that splits it");
    }
    const auto [it, is_new] = m_row_ids.emplace(row, (row_id) n);
    if (is_new) {
        m_rows.insert(m_rows.end(), row.begin(), row.end());
        m_steps.resize(m_steps.size() + m_class_sets.size(), NONE);
    }
    return it->second;
}

inline splitter::row_id splitter::row_before(row_id after, size_t cls) {
    const size_t step = after * m_class_sets.size() + cls;
    if (m_steps[step] == NONE) {
        const row_id id = add_row(make_row(after, cls)); // which may move m_steps
        m_steps[step]   = id;
    }
    return m_steps[step];
}

template <typename CharT>
void splitter::fill(const CharT * text, size_t length, row_id * row_at) {
    row_at[length] = m_end_row;
    for (size_t i = length; i-- > 0;) {
        row_at[i] = row_before(row_at[i + 1], class_of(number_of(text[i])));
    }
}

// Of the one that starts where row_at does.
size_t splitter::length_of_match(const row_id * row_at) const {
    size_t   length = 0;
    uint32_t state  = m_pattern.start;
    for (;;) {
        const pattern_state & s = m_pattern.states[state];
        switch (s.kind) {
            case pattern_state::match:
                return length;
            case pattern_state::either:
                state = has(row(row_at[length]), s.first) ? s.first : s.next;
                break;
            case pattern_state::character:
                ++length;
                state = s.next;
                break;
            case pattern_state::lookahead:
            case pattern_state::end_of_text:
                state = s.next;
                break;
        }
    }
}

void splitter::find_matches(const row_id * row_at, size_t length, std::vector<size_t> & lengths) const {
    size_t done = 0;
    for (size_t at = 0; at <= length;) {
        if (!has(row(row_at[at]), m_pattern.start)) {
            ++at;
            continue;
        }
        if (at > done) {
            lengths.push_back(at - done);
        }
        done = at + (m_pattern.empty ? 0 : length_of_match(row_at + at));
        lengths.push_back(done - at);
        at = done + (m_pattern.empty ? 1 : 0); // no other match starts where an empty one lies
    }
    if (done < length) {
        lengths.push_back(length - done);
    }
}

template <typename CharT>
std::vector<size_t> splitter::split(const std::basic_string<CharT> & text, const std::vector<size_t> & lengths) {
    if (m_row_ids.size() > MAX_ROWS / 2) {
        forget_rows(); // of other texts
    }
    std::vector<size_t> result;
    result.reserve(lengths.size());
    std::vector<row_id> row_at;
    const CharT *       p = text.data();
    for (const size_t length : lengths) {
        row_at.resize(std::max(row_at.size(), length + 1));
        fill(p, length, row_at.data());
        find_matches(row_at.data(), length, result);
        p += length;
    }
    return result;
}

namespace {

// Some tokenizers split word by word, and a pattern takes longer to read than a word. There are as many as llama.cpp has patterns.
splitter & splitter_of(const std::u32string & regex) {
    thread_local std::map<std::u32string, splitter> known;

    const auto it = known.find(regex);
    return it != known.end() ? it->second : known.emplace(regex, splitter(parse_pattern(regex))).first->second;
}

template <typename CharT>
std::vector<size_t> split_by(const std::basic_string<CharT> & regex, const std::basic_string<CharT> & text,
                             const std::vector<size_t> & lengths) {
    // Without text there is nothing to find in it, and a pattern comes here that llama.cpp otherwise has code of its own for.
    if (text.empty()) {
        return {};
    }
    std::u32string numbers;
    for (const CharT c : regex) {
        numbers += number_of(c);
    }
    return splitter_of(numbers).split(text, lengths);
}

} // namespace

} // namespace edgekv

std::vector<size_t> unicode_split_by_regex(const std::string & text, const std::string & regex, const std::vector<size_t> & lengths) {
    return edgekv::split_by(regex, text, lengths);
}

std::vector<size_t> unicode_split_by_regex(const std::wstring & text, const std::wstring & regex, const std::vector<size_t> & lengths) {
    return edgekv::split_by(regex, text, lengths);
}
