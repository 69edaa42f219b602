#include "cache/records.h"

#include <algorithm>

namespace edgekv {

void token_records::set_id(size_t i, int32_t id) {
    if (i >= m_ids.size()) {
        if (id == UNKNOWN) {
            return;
        }
        m_ids.resize(i + 1, UNKNOWN);
    }
    m_ids[i] = id;
}

float * token_records::add_scores(size_t i) {
    if (i >= m_scored.size()) {
        m_scores.resize((i + 1) * m_n_scores);
        m_scored.resize(i + 1, 0);
    }
    m_scored[i] = 1;
    return m_scores.data() + i * m_n_scores;
}

void token_records::forget_all_scores() {
    m_scored = {};
    m_scores = {};
}

void token_records::forget_all() {
    m_ids = {};
    forget_all_scores();
}

void token_records::copy(size_t i, const token_records & from, size_t from_i) {
    set_id(i, from.id(from_i));
    if (const float * scores = from.scores(from_i)) {
        std::copy_n(scores, m_n_scores, add_scores(i));
    } else {
        forget_scores(i);
    }
}

} // namespace edgekv
