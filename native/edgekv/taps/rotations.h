// How the graphs rotate each layer's keys.
#pragma once

#include "cache/rotation.h"
#include "taps/tap.h"

#include <vector>

namespace edgekv {

class rotations final : public tap {
public:
    explicit rotations(compact_cache & cache) : m_cache(cache), m_ropes(cache.layers().size()) {}

    // By layer. Throws EDGEKV_E_UNSUPPORTED where some layer's keys are not rotated by one position, last of all.
    const std::vector<rope> & ropes();

    bool     active() const override { return true; }
    uint32_t n_nodes() const override { return 0; }
    bool     collects() const override { return false; }
    void     add_heads(const graph_part & part, const graph_heads & heads) override;

private:
    compact_cache &   m_cache;
    std::vector<rope> m_ropes;
};

} // namespace edgekv
