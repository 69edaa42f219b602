#include "taps/tap.h"

namespace edgekv {

void graph_part::add(ggml_tensor * result) const {
    ggml_set_output(result);
    ggml_build_forward_expand(gf, result);
}

} // namespace edgekv
