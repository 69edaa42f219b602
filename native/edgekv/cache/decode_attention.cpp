#include "cache/decode_attention.h"

#include "ggml-quants.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__x86_64__) || defined(_M_X64)
#    define EDGEKV_X86
#    include <immintrin.h>
#endif

#if defined(EDGEKV_X86) && defined(__GNUC__)
#    define EDGEKV_AVX2 __attribute__((target("avx2,fma,f16c")))
#else
#    define EDGEKV_AVX2
#endif

namespace edgekv {

#ifdef EDGEKV_X86

namespace {

constexpr int64_t TILE  = 32;  // rows whose scores become weights at one time
constexpr int64_t D_MAX = 256; // head size
constexpr int64_t GROUP = 16;  // query heads that a tile serves

constexpr float MINUS_INFINITY = -std::numeric_limits<float>::infinity();

constexpr uint16_t F16_MINUS_INFINITY = 0xFC00;

// Results of one share for the query heads of one KV head: n_group times [largest score, sum of weights, weighted sum of V [d_v]].
int64_t slot_size(const decode_attention & op) {
    constexpr int64_t LINE = 64 / sizeof(float);
    return (op.n_group * (op.d_v + 2) + LINE - 1) / LINE * LINE;
}

// Shares and heads follow each other in one order, so that their sum numbers the slots.
int64_t n_slots(const decode_attention & op) {
    return op.n_parts + (int64_t) op.heads.size() - 1;
}

EDGEKV_AVX2 inline float f16_to_f32(ggml_fp16_t x) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(x)));
}

// Eight elements of a row, from element i on, a multiple of eight.
struct f32_row {
    EDGEKV_AVX2 static inline __m256 load(const char * row, int64_t i) { return _mm256_loadu_ps((const float *) row + i); }
};

struct f16_row {
    EDGEKV_AVX2 static inline __m256 load(const char * row, int64_t i) {
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) ((const ggml_fp16_t *) row + i)));
    }
};

struct q8_0_row {
    EDGEKV_AVX2 static inline __m256 load(const char * row, int64_t i) {
        const block_q8_0 & block = ((const block_q8_0 *) row)[i / QK8_0];
        const __m256i      q     = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) (block.qs + i % QK8_0)));
        return _mm256_mul_ps(_mm256_set1_ps(f16_to_f32(block.d)), _mm256_cvtepi32_ps(q));
    }
};

struct q4_0_row {
    EDGEKV_AVX2 static inline __m256 load(const char * row, int64_t i) {
        const block_q4_0 & block = ((const block_q4_0 *) row)[i / QK4_0];
        const int64_t      j     = i % QK4_0;

        // the low halves of the bytes are the block's first elements, the high halves the others
        __m128i bytes = _mm_loadl_epi64((const __m128i *) (block.qs + j % (QK4_0 / 2)));
        bytes         = _mm_and_si128(j < QK4_0 / 2 ? bytes : _mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0F));

        const __m256i q = _mm256_cvtepi8_epi32(_mm_sub_epi8(bytes, _mm_set1_epi8(8)));
        return _mm256_mul_ps(_mm256_set1_ps(f16_to_f32(block.d)), _mm256_cvtepi32_ps(q));
    }
};

// Over a quantized cache llama.cpp rounds the query to q8_0, which moves scores by more than all other rounding: the same here, or the same cache would give other answers.
EDGEKV_AVX2 void round_query(ggml_type type_k, const float * x, float * y, int64_t n) {
    if (ggml_is_quantized(type_k)) {
        block_q8_0 blocks[D_MAX / QK8_0];
        ggml_get_type_traits(GGML_TYPE_Q8_0)->from_float_ref(x, blocks, n);
        ggml_get_type_traits(GGML_TYPE_Q8_0)->to_float(blocks, y, n);
    } else {
        std::memcpy(y, x, n * sizeof(float));
    }
}

// Sums of four vectors' elements, in their order.
EDGEKV_AVX2 inline __m128 sums(const __m256 & a, const __m256 & b, const __m256 & c, const __m256 & d) {
    const __m256 both = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
}

EDGEKV_AVX2 inline float largest_of(const float * x) {
    __m256 m = _mm256_loadu_ps(x);
    for (int64_t r = 8; r < TILE; r += 8) {
        m = _mm256_max_ps(m, _mm256_loadu_ps(x + r));
    }
    __m128 n = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    n        = _mm_max_ps(n, _mm_movehl_ps(n, n));
    return _mm_cvtss_f32(_mm_max_ss(n, _mm_movehdup_ps(n)));
}

// Scores of n rows for N queries. What registers there are holds the sums of four rows, or two: every row is read and converted once.
template <typename Row, int N>
EDGEKV_AVX2 void dot_rows(const float (*q)[D_MAX], const char * rows, size_t stride, int64_t n, int64_t d, float (*scores)[TILE]) {
    constexpr int ROWS = N < 4 ? 4 : 2;

    for (int64_t r = 0; r < n; r += ROWS) {
        const char * row[ROWS];
        for (int j = 0; j < ROWS; ++j) {
            row[j] = rows + std::min(r + j, n - 1) * stride;
        }

        __m256 acc[N][4];
        for (int g = 0; g < N; ++g) {
            for (int j = 0; j < 4; ++j) {
                acc[g][j] = _mm256_setzero_ps();
            }
        }
        for (int64_t i = 0; i < d; i += 8) {
            for (int j = 0; j < ROWS; ++j) {
                const __m256 x = Row::load(row[j], i);
                for (int g = 0; g < N; ++g) {
                    acc[g][j] = _mm256_fmadd_ps(x, _mm256_loadu_ps(q[g] + i), acc[g][j]);
                }
            }
        }
        for (int g = 0; g < N; ++g) {
            const __m128 s = sums(acc[g][0], acc[g][1], acc[g][2], acc[g][3]);
            if (ROWS == 4) {
                _mm_storeu_ps(scores[g] + r, s);
            } else {
                _mm_storel_pi((__m64 *) (scores[g] + r), s);
            }
        }
    }
}

// y[g] += weights[g] * V for 8 * WIDTH columns of V
template <typename Row, int N, int WIDTH>
EDGEKV_AVX2 void add_columns(const float (*weights)[TILE], const char * rows, size_t stride, int64_t n, int64_t first, float * y,
                             int64_t y_stride) {
    __m256 acc[N][WIDTH];
    for (int g = 0; g < N; ++g) {
        for (int j = 0; j < WIDTH; ++j) {
            acc[g][j] = _mm256_loadu_ps(y + g * y_stride + first + 8 * j);
        }
    }
    for (int64_t r = 0; r < n; ++r) {
        for (int j = 0; j < WIDTH; ++j) {
            const __m256 x = Row::load(rows + r * stride, first + 8 * j);
            for (int g = 0; g < N; ++g) {
                acc[g][j] = _mm256_fmadd_ps(x, _mm256_broadcast_ss(weights[g] + r), acc[g][j]);
            }
        }
    }
    for (int g = 0; g < N; ++g) {
        for (int j = 0; j < WIDTH; ++j) {
            _mm256_storeu_ps(y + g * y_stride + first + 8 * j, acc[g][j]);
        }
    }
}

template <typename Row, int N>
EDGEKV_AVX2 void add_rows(const float (*weights)[TILE], const char * rows, size_t stride, int64_t n, int64_t d, float * y,
                          int64_t y_stride) {
    constexpr int WIDTH = N < 4 ? 4 : 2;

    int64_t i = 0;
    for (; i + 8 * WIDTH <= d; i += 8 * WIDTH) {
        add_columns<Row, N, WIDTH>(weights, rows, stride, n, i, y, y_stride);
    }
    for (; i < d; i += 8) {
        add_columns<Row, N, 1>(weights, rows, stride, n, i, y, y_stride);
    }
}

// Calls work with the type as a template's argument.
template <typename F>
void with_type(ggml_type type, F && work) {
    switch (type) {
        case GGML_TYPE_F16:
            return work(f16_row{});
        case GGML_TYPE_Q8_0:
            return work(q8_0_row{});
        case GGML_TYPE_Q4_0:
            return work(q4_0_row{});
        default:
            return work(f32_row{});
    }
}

// Calls work with the number of queries that are to go together, 1 to 4, and the first of them.
template <typename F>
void by_queries(int64_t n, F && work) {
    for (int64_t g = 0; g < n;) {
        const int64_t left = n - g;
        if (left == 4 || left >= 7) {
            work(std::integral_constant<int, 4>{}, g);
            g += 4;
        } else if (left >= 3) {
            work(std::integral_constant<int, 3>{}, g);
            g += 3;
        } else if (left == 2) {
            work(std::integral_constant<int, 2>{}, g);
            g += 2;
        } else {
            work(std::integral_constant<int, 1>{}, g);
            g += 1;
        }
    }
}

// e^x for x <= 0, 0 for what would be below the smallest normal number: 2^n e^r with |r| <= ln 2 / 2 and e^r by its series, good to 2 units in the last place.
EDGEKV_AVX2 __m256 exp_negative(__m256 x) {
    const __m256 smallest = _mm256_set1_ps(-87.0f);
    const __m256 too_low  = _mm256_cmp_ps(x, smallest, _CMP_LT_OQ);

    x = _mm256_max_ps(x, smallest);

    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    // ln 2 in two parts, the first with few enough bits that n times it is exact
    __m256       r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r              = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);

    __m256 p = _mm256_set1_ps(1.0f / 5040);
    for (const float c : { 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f }) {
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c));
    }

    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_andnot_ps(too_low, _mm256_mul_ps(p, _mm256_castsi256_ps(power)));
}

// Scores of one tile become weights relative to the largest score so far; what was summed before is brought to the same measure.
EDGEKV_AVX2 void softmax_tile(float * scores, float * slot, int64_t d) {
    float & largest = slot[0];
    float & sum     = slot[1];

    const float now = std::max(largest, largest_of(scores));
    if (now > largest) {
        const float factor = std::exp(largest - now);
        largest            = now;
        sum *= factor;
        for (int64_t i = 0; i < d; ++i) {
            slot[2 + i] *= factor;
        }
    }

    __m256 total = _mm256_setzero_ps();
    for (int64_t r = 0; r < TILE; r += 8) {
        const __m256 w = exp_negative(_mm256_sub_ps(_mm256_loadu_ps(scores + r), _mm256_set1_ps(now)));
        _mm256_storeu_ps(scores + r, w);
        total = _mm256_add_ps(total, w);
    }
    const __m256 zero = _mm256_setzero_ps();
    sum += _mm_cvtss_f32(sums(total, zero, zero, zero));
}

// One share of one KV head: rows [begin, end) of it, for all query heads of its group.
EDGEKV_AVX2 void attend_rows(const decode_attention & op, const ggml_tensor * dst, size_t head, int64_t begin, int64_t end, float * slot) {
    const ggml_tensor * q    = dst->src[0];
    const ggml_tensor * k    = dst->src[1];
    const ggml_tensor * v    = dst->src[2];
    const ggml_tensor * mask = dst->src[3];

    const int64_t size = op.d_v + 2;
    for (int64_t g = 0; g < op.n_group; ++g) {
        slot[g * size] = MINUS_INFINITY;
        std::fill(slot + g * size + 1, slot + (g + 1) * size, 0.0f);
    }

    // a head with fewer rows than the largest stands for the mask's columns from there on
    const ggml_fp16_t * columns = (const ggml_fp16_t *) mask->data + (op.n_kept - op.heads[head].n);

    alignas(64) float bias[TILE];
    alignas(64) float weights[GROUP][TILE] = {};
    alignas(64) float queries[GROUP][D_MAX];

    for (int64_t g0 = 0; g0 < op.n_group; g0 += GROUP) {
        const int64_t n_group = std::min(GROUP, op.n_group - g0);
        float *       out     = slot + g0 * size;

        for (int64_t g = 0; g < n_group; ++g) {
            const int64_t h = head * op.n_group + g0 + g;
            round_query(k->type, (const float *) ((const char *) q->data + h * q->nb[1]), queries[g], op.d_k);
        }

        for (int64_t row = begin; row < end; row += TILE) {
            const int64_t n     = std::min(TILE, end - row);
            const int64_t first = op.heads[head].first + row;

            bool seen = false;
            for (int64_t r = 0; r < TILE; ++r) {
                bias[r] = r < n ? f16_to_f32(columns[row + r]) : MINUS_INFINITY;
                seen |= bias[r] != MINUS_INFINITY;
            }
            if (!seen) {
                continue;
            }

            const char * k_rows = (const char *) k->data + first * k->nb[1];
            const char * v_rows = (const char *) v->data + first * v->nb[1];

            with_type(k->type, [&](auto type) {
                by_queries(n_group, [&](auto count, int64_t g) {
                    dot_rows<decltype(type), decltype(count)::value>(queries + g, k_rows, k->nb[1], n, op.d_k, weights + g);
                });
            });

            for (int64_t g = 0; g < n_group; ++g) {
                float * w = weights[g];
                for (int64_t r = 0; r < TILE; ++r) {
                    w[r] *= op.scale;
                }
                if (op.softcap != 0.0f) {
                    for (int64_t r = 0; r < TILE; ++r) {
                        w[r] = op.softcap * std::tanh(w[r] / op.softcap);
                    }
                }
                for (int64_t r = 0; r < TILE; ++r) {
                    w[r] += bias[r];
                }
                softmax_tile(w, out + g * size, op.d_v);
            }

            with_type(v->type, [&](auto type) {
                by_queries(n_group, [&](auto count, int64_t g) {
                    add_rows<decltype(type), decltype(count)::value>(weights + g, v_rows, v->nb[1], n, op.d_v, out + g * size + 2, size);
                });
            });
        }
    }
}

// Rows that share part has of head: [begin, end) within the head, empty when it has none.
struct share {
    int64_t begin = 0;
    int64_t end   = 0;
};

share share_of(const decode_attention & op, int64_t n_later, int64_t part, size_t head) {
    int64_t total  = 0;
    int64_t before = 0;
    for (size_t h = 0; h < op.heads.size(); ++h) {
        before += h < head ? op.heads[h].n + n_later : 0;
        total += op.heads[h].n + n_later;
    }
    const int64_t n     = op.heads[head].n + n_later;
    const int64_t begin = total * part / op.n_parts - before;
    const int64_t end   = total * (part + 1) / op.n_parts - before;

    return { std::clamp<int64_t>(begin, 0, n), std::clamp<int64_t>(end, 0, n) };
}

void add_shares(const decode_attention & op, const ggml_tensor * dst, int64_t n_later, const float * slots) {
    const ggml_tensor * sinks = dst->src[4];
    const int64_t       size  = op.d_v + 2;

    for (size_t head = 0; head < op.heads.size(); ++head) {
        for (int64_t g = 0; g < op.n_group; ++g) {
            const int64_t h    = head * op.n_group + g;
            const float   sink = sinks ? ((const float *) sinks->data)[h] : MINUS_INFINITY;

            float largest = sink;
            for (int64_t part = 0; part < op.n_parts; ++part) {
                const share s = share_of(op, n_later, part, head);
                if (s.begin < s.end) {
                    largest = std::max(largest, slots[(part + head) * slot_size(op) + g * size]);
                }
            }

            float * out = (float *) dst->data + h * op.d_v;
            std::fill(out, out + op.d_v, 0.0f);
            if (largest == MINUS_INFINITY) {
                continue;
            }

            float sum = std::exp(sink - largest);
            for (int64_t part = 0; part < op.n_parts; ++part) {
                const share s = share_of(op, n_later, part, head);
                if (s.begin >= s.end) {
                    continue;
                }
                const float * slot   = slots + (part + head) * slot_size(op) + g * size;
                const float   factor = std::exp(slot[0] - largest);
                sum += factor * slot[1];
                for (int64_t i = 0; i < op.d_v; ++i) {
                    out[i] += factor * slot[2 + i];
                }
            }
            for (int64_t i = 0; i < op.d_v; ++i) {
                out[i] /= sum;
            }
        }
    }
}

void compute(ggml_tensor * dst, int ith, int nth, void * user) {
    decode_attention & op = *(decode_attention *) user;

    const ggml_tensor * mask    = dst->src[3];
    const ggml_fp16_t * columns = (const ggml_fp16_t *) mask->data;

    // room that holds nothing yet is not read
    int64_t n_cells = mask->ne[0];
    while (n_cells > op.n_kept && columns[n_cells - 1] == F16_MINUS_INFINITY) {
        --n_cells;
    }
    const int64_t n_later = n_cells - op.n_kept;

    float * slots = (float *) dst->data + op.d_v * op.n_group * (int64_t) op.heads.size();

    for (int64_t part = ith; part < op.n_parts; part += nth) {
        for (size_t head = 0; head < op.heads.size(); ++head) {
            const share s = share_of(op, n_later, part, head);
            if (s.begin < s.end) {
                attend_rows(op, dst, head, s.begin, s.end, slots + (part + (int64_t) head) * slot_size(op));
            }
        }
    }

    if (op.n_done.fetch_add(1, std::memory_order_acq_rel) == nth - 1) {
        op.n_done.store(0, std::memory_order_relaxed);
        add_shares(op, dst, n_later, slots);
    }
}

bool has_instructions() {
#    if defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#    else
    return false;
#    endif
}

} // namespace

bool decode_attention::supports(ggml_type type_k, ggml_type type_v, int64_t d_k, int64_t d_v) {
    static const bool instructions = has_instructions();

    const auto known = [](ggml_type type) {
        return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_Q8_0 || type == GGML_TYPE_Q4_0;
    };
    return instructions && known(type_k) && known(type_v) && d_k % 8 == 0 && d_v % 8 == 0 && d_k <= D_MAX && d_v <= D_MAX;
}

ggml_tensor * decode_attention::build(ggml_context * ctx, ggml_tensor * q, ggml_tensor * k, ggml_tensor * v, ggml_tensor * mask,
                                      ggml_tensor * sinks) {
    ggml_tensor * args[] = { q, k, v, mask, sinks };

    // behind the result: what the shares leave
    const int64_t n_out = d_v * n_group * (int64_t) heads.size();
    ggml_tensor * both  = ggml_custom_4d(ctx, GGML_TYPE_F32, n_out + n_slots(*this) * slot_size(*this), 1, 1, 1, args, sinks ? 5 : 4,
                                         compute, GGML_N_TASKS_MAX, this);
    return ggml_view_2d(ctx, both, n_out, 1, both->nb[1], 0);
}

#else

bool decode_attention::supports(ggml_type, ggml_type, int64_t, int64_t) {
    return false;
}

ggml_tensor * decode_attention::build(ggml_context *, ggml_tensor *, ggml_tensor *, ggml_tensor *, ggml_tensor *, ggml_tensor *) {
    return nullptr;
}

#endif

} // namespace edgekv
