// What is known of tokens beside their rows: ids, and learned scores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgekv {

// By an index that its user gives a meaning: a cell, or a position. Nothing is known of an index that was never set.
class token_records {
public:
    // n_scores: of one token
    explicit token_records(size_t n_scores) : m_n_scores(n_scores) {}

    static constexpr int32_t UNKNOWN = -1;

    int32_t id(size_t i) const { return i < m_ids.size() ? m_ids[i] : UNKNOWN; }

    void set_id(size_t i, int32_t id);

    // nullptr: not known
    const float * scores(size_t i) const { return i < m_scored.size() && m_scored[i] ? m_scores.data() + i * m_n_scores : nullptr; }

    // To be written by the caller. Valid until the next call.
    float * add_scores(size_t i);

    void forget_scores(size_t i) {
        if (i < m_scored.size()) {
            m_scored[i] = 0;
        }
    }

    void forget(size_t i) {
        set_id(i, UNKNOWN);
        forget_scores(i);
    }

    void forget_all_scores();
    void forget_all();

    void copy(size_t i, const token_records & from, size_t from_i);

private:
    size_t m_n_scores;

    std::vector<int32_t> m_ids;
    std::vector<uint8_t> m_scored;
    std::vector<float>   m_scores; // [index][n_scores]
};

// What a cache knows of its tokens.
struct token_log {
    explicit token_log(size_t n_scores) : cells(n_scores), kept(n_scores) {}

    // By cell, counted from the first one behind the kept rows. A cell's record counts while the cell is in use: who fills cells without decoding tokens has to forget theirs.
    token_records cells;

    // By position, of tokens that kept rows stand for.
    token_records kept;

    void forget_all() {
        cells.forget_all();
        kept.forget_all();
    }
};

} // namespace edgekv
