// What ggml's CPU kernels assert on, looked at while a context is made: in the threads that compute, an assertion ends the process (llama-host.h).
#include "ggml-backend.h"
#include "ggml.h"
#include "llama-host.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace {

[[noreturn]] void refuse(const ggml_tensor * node, const std::string & what) {
    std::string name = node->name;
    for (int i = 0; i < GGML_MAX_SRC && node->src[i]; i++) {
        if (node->src[i]->op == GGML_OP_NONE && node->src[i]->name[0]) {
            name += std::string(name.empty() ? "" : " of ") + node->src[i]->name;
        }
    }
    throw std::runtime_error(std::string("the model cannot be computed: ") + ggml_op_name(node->op) + " " + name + " " + what);
}

float float_param(const ggml_tensor * node, int index) {
    float value;
    std::memcpy(&value, node->op_params + index, sizeof value);
    return value;
}

// A GPU's kernels take more types than the CPU's.
bool is_on_cpu(const ggml_tensor * weight) {
    return weight && weight->buffer && ggml_backend_buffer_is_host(weight->buffer);
}

bool is_float(ggml_type type) {
    return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

void check_norm(const ggml_tensor * node, float epsilon) {
    if (!(epsilon >= 0) || !std::isfinite(epsilon)) {
        refuse(node, "has the epsilon " + std::to_string(epsilon) + "; it has to be 0 or more");
    }
}

void check_rotation(const ggml_tensor * node) {
    const int   dimensions = node->op_params[1];
    const int   mode       = node->op_params[2];
    const float base       = float_param(node, 5);
    const float scale      = float_param(node, 6);
    if (dimensions < 0 || dimensions % 2 != 0 || dimensions > node->ne[0]) {
        refuse(node, "turns " + std::to_string(dimensions) + " of " + std::to_string(node->ne[0]) +
                         " numbers; it has to be an even count of them");
    }
    if (!(base > 0) || !std::isfinite(base) || !std::isfinite(scale)) {
        refuse(node, "has the base " + std::to_string(base) + " and the scale " + std::to_string(scale) +
                         "; both have to be numbers, and the base above 0");
    }
    if (mode & GGML_ROPE_TYPE_MROPE) {
        const int32_t * sections = node->op_params + 11;
        if (sections[0] <= 0 && sections[1] <= 0 && sections[2] <= 0) {
            refuse(node, "has no section of positions");
        }
    }
    if (const ggml_tensor * factors = node->src[2]; factors && (factors->type != GGML_TYPE_F32 || factors->ne[0] < dimensions / 2)) {
        refuse(node, "has factors that are too few, or are not float32");
    }
}

// op(float, float) of one type, or with a float32 second operand; a quantized first one can only be added to.
void check_binary(const ggml_tensor * node) {
    const ggml_type first  = node->src[0]->type;
    const ggml_type second = node->src[1]->type;
    if (!is_on_cpu(node->src[0]) && !is_on_cpu(node->src[1])) {
        return;
    }
    const bool is_taken = is_float(first) ? second == first || second == GGML_TYPE_F32 : node->op == GGML_OP_ADD && second == GGML_TYPE_F32;
    if (!is_taken) {
        refuse(node,
               std::string("is of ") + ggml_type_name(first) + " and " + ggml_type_name(second) + ", for which the CPU has no kernel");
    }
}

void check_node(const ggml_tensor * node) {
    switch (node->op) {
        case GGML_OP_NORM:
        case GGML_OP_RMS_NORM:
        case GGML_OP_L2_NORM:
            return check_norm(node, float_param(node, 0));
        case GGML_OP_GROUP_NORM:
            return check_norm(node, float_param(node, 1));
        case GGML_OP_ROPE:
            return check_rotation(node);
        case GGML_OP_ADD:
        case GGML_OP_SUB:
        case GGML_OP_MUL:
        case GGML_OP_DIV:
            return check_binary(node);
        case GGML_OP_SSM_CONV:
            if (is_on_cpu(node->src[1]) && node->src[1]->type != GGML_TYPE_F32) {
                refuse(node, std::string("has weights of ") + ggml_type_name(node->src[1]->type) + ", for which the CPU has no kernel");
            }
            return;
        default:
            return;
    }
}

} // namespace

void llama_check_graph(ggml_cgraph * graph) {
    for (int i = 0; i < ggml_graph_n_nodes(graph); i++) {
        check_node(ggml_graph_node(graph, i));
    }
}
