// Finds the matches of a pattern in a text of any length, as std::regex_iterator does: the leftmost one, and of those the one that the order
// of alternatives and greedy repetitions comes to first. Time and memory grow with the text alone, and the stack does not grow.
//
// A text is gone through twice. Backwards: which states can match from each position on, which is one row of a table for each position. Forwards:
// the first alternative that can match is the one to take, so that nothing is ever tried in vain.
#pragma once

#include "text/pattern.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace edgekv {

// Rows and the steps between them are made as texts need them, and kept from one text to the next.
class splitter {
public:
    explicit splitter(pattern p);

    // The lengths of the matches and of what lies between them, in each part of a text by itself. lengths: of the parts.
    // Throws std::length_error where a text needs more rows than there may be.
    template <typename CharT>
    std::vector<size_t> split(const std::basic_string<CharT> & text, const std::vector<size_t> & lengths);

private:
    using row_id = uint16_t;

    static constexpr row_id NONE     = UINT16_MAX;
    static constexpr size_t MAX_ROWS = NONE;

    void   add_classes();
    size_t class_of(uint32_t c);
    void   forget_rows();
    row_id row_before(row_id after, size_t cls);
    row_id add_row(const std::vector<uint64_t> & row);

    // row_at: of each position of a part, and of its end.
    template <typename CharT>
    void   fill(const CharT * text, size_t length, row_id * row_at);
    void   find_matches(const row_id * row_at, size_t length, std::vector<size_t> & lengths) const;
    size_t length_of_match(const row_id * row_at) const;

    // The row of a text's end is made with after == NONE.
    std::vector<uint64_t> make_row(row_id after, size_t cls) const;

    static bool has(const uint64_t * row, uint32_t state) { return (row[state / 64] >> (state % 64) & 1) != 0; }

    const uint64_t * row(row_id id) const { return m_rows.data() + id * m_words; }

    pattern m_pattern;

    // Characters that no set tells apart are of one class. Class i lies from m_class_starts[i'] up to the next one, for all i' that give i.
    std::vector<uint32_t>          m_class_starts;
    std::vector<uint16_t>          m_class_ids;
    std::vector<std::vector<bool>> m_class_sets; // of each class, the sets that it is in
    uint16_t                       m_low_classes[256];
    size_t                         m_last_range = 0; // of the last character: neighbours tend to be of one script

    // A row is the set of states that can match, as bits.
    size_t                                  m_words;
    std::vector<uint64_t>                   m_rows;
    std::map<std::vector<uint64_t>, row_id> m_row_ids;
    std::vector<row_id>                     m_steps; // [row, class]: the row before; NONE where it was not needed yet
    row_id                                  m_end_row = 0;
};

} // namespace edgekv
