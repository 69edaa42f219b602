// Tests of the native library, without .NET: for sanitizers, and for whoever works on native code alone.
//
//   edgekv_tests BACKENDS MODEL TEMP_FOLDER [GPU_LAYERS [TEST]]
#include "testing.h"

#include <cstdlib>

namespace {

// A plan that keeps everything: the same numbers, bit by bit, where the rows lie in the same order and one thread sums them.
void identity_is_bit_equal() {
    const auto tokens = random_tokens(300, 1);
    const auto next   = random_tokens(20, 2);

    for (const ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
        context full(1024, type);
        context compact(1024, type);
        feed(full, tokens);
        feed(compact, tokens);
        OK(edgekv_attention_set(compact.c, EDGEKV_ATTENTION_LLAMA));

        OK(apply(compact, make_plan(300, [](int32_t, int32_t, int32_t) { return true; }), 212)); // 300 + 212 = 2 * 256
        CHECK(compact.get(EDGEKV_CACHE_COMPACT) == 1);
        CHECK(compact.position() == 300);

        for (const int32_t token : next) {
            CHECK(full.step(token) == compact.step(token));
        }
    }
}

// Our kernel against llama.cpp's over the same rows: every cache type, plans with heads of all lengths, and rows that the mask hides.
void attention_kernels_agree() {
    const auto tokens = random_tokens(700, 40);
    const auto next   = random_tokens(12, 41);

    for (const ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
        for (const int32_t threads : { 1, 3 }) {
            context own(1024, type, threads);
            context llama(1024, type, threads);
            OK(edgekv_attention_set(own.c, EDGEKV_ATTENTION_EDGEKV));
            OK(edgekv_attention_set(llama.c, EDGEKV_ATTENTION_LLAMA));

            for (const context * c : { &own, &llama }) {
                feed(*c, tokens);
                OK(apply(*c, random_plan(700, 42)));
                feed(*c, random_tokens(9, 43));
                OK(edgekv_rollback(c->c, 705)); // leaves cells that are not in use
            }
            for (const int32_t token : next) {
                const double difference = kl(llama.step(token), own.step(token));
                CHECK(difference < 1e-3);
            }
        }
    }

    context c;
    CHECK(edgekv_attention_set(c.c, 3) == EDGEKV_E_ARGUMENT);
}

// Moving rows is exact: what is kept of what was kept gives what is kept at once.
void plan_over_compact_cache_equals_plan_at_once() {
    const auto tokens = random_tokens(300, 3);
    const auto next   = random_tokens(300, 4);
    const plan first  = random_plan(300, 5);

    plan   second;
    size_t at = 0;
    for (const int32_t n : first.counts) {
        int32_t kept = 0;
        for (int32_t i = 0; i < n; ++i, ++at) {
            if (i % 3 != 0) {
                second.positions.push_back(first.positions[at]);
                ++kept;
            }
        }
        second.counts.push_back(kept);
    }

    for (const ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
        context twice(1024, type);
        context once(1024, type);
        feed(twice, tokens);
        feed(once, tokens);

        OK(apply(twice, first));
        OK(apply(twice, second));
        OK(apply(once, second));

        CHECK(twice.step(next[0]) == once.step(next[0]));
    }
}

// A context fed in chunks with a plan over the compact cache after each, every row kept, is the context fed at once; the cells of the full layout hold the first chunk only.
void reading_in_chunks_keeps_what_plans_keep() {
    const auto tokens = random_tokens(900, 60);
    const auto all    = [](int32_t, int32_t, int32_t) { return true; };

    context once;
    feed(once, tokens);

    context chunks(256);
    OK(edgekv_positions_set(chunks.c, 1024));
    for (int32_t read = 0; read < 900; read += 225) {
        feed(chunks, { tokens.begin() + read, tokens.begin() + read + 225 });
        OK(apply(chunks, make_plan(read + 225, all), 225));
    }
    CHECK(chunks.position() == 900);
    CHECK(kl(once.logits(), chunks.logits()) < 1e-3);

    // what one plan drops, the next cannot name, and what came since it can
    const auto odd = [](int32_t, int32_t h, int32_t p) { return p < 900 && (p + h) % 2 == 1; };
    OK(apply(chunks, make_plan(900, odd), 225));
    feed(chunks, random_tokens(50, 61));
    CHECK(apply(chunks, make_plan(950, all)) == EDGEKV_E_PLAN);
    CHECK(chunks.position() == 950);
    OK(apply(chunks, make_plan(950, [&](int32_t l, int32_t h, int32_t p) { return odd(l, h, p) || p >= 920; })));

    CHECK(edgekv_positions_set(chunks.c, 1024) == EDGEKV_E_STATE);
    context empty(256);
    CHECK(edgekv_positions_set(empty.c, (uint32_t) llama_model_n_ctx_train(g_model) + 1) == EDGEKV_E_WINDOW);
}

// More tokens than there is room for, many times over: the cache grows and says the same as one that had the room from the start.
void growing_changes_nothing() {
    const auto tokens = random_tokens(200, 6);
    const auto next   = random_tokens(70, 7);
    const plan p      = random_plan(200, 8);

    context small;
    context large;
    feed(small, tokens);
    feed(large, tokens);
    OK(apply(small, p, 32));
    OK(apply(large, p, 512));
    CHECK(small.get(EDGEKV_CACHE_ROOM) == 32);

    for (const int32_t token : next) {
        CHECK(kl(large.step(token), small.step(token)) < 1e-3);
    }
    CHECK(small.get(EDGEKV_CACHE_ROOM) >= 70);

    feed(small, random_tokens(200, 9)); // several blocks at once
    CHECK(small.position() == 470);
}

void bytes_are_rows_and_room() {
    const size_t n_heads = g_n_heads_kv;

    for (const ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
        context c(1024, type);
        CHECK(c.get(EDGEKV_CACHE_BYTES) == (int64_t) n_heads * 1024 * c.get(EDGEKV_CACHE_ROW_BYTES));

        feed(c, random_tokens(300, 10));
        OK(apply(c, random_plan(300, 11)));

        std::vector<int32_t> rows(n_heads);
        std::vector<int32_t> room(n_heads);
        OK(edgekv_cache_rows(c.c, rows.data(), room.data(), n_heads));
        int64_t sum = 0;
        for (size_t i = 0; i < n_heads; ++i) {
            CHECK(room[i] >= 256);
            sum += rows[i] + room[i];
        }
        CHECK(c.get(EDGEKV_CACHE_BYTES) == sum * c.get(EDGEKV_CACHE_ROW_BYTES));
    }
}

void roll_back_gives_the_same_answer_again() {
    context c;
    feed(c, random_tokens(200, 12));
    OK(apply(c, random_plan(200, 13)));

    const auto question = random_tokens(20, 14);
    feed(c, question);
    const auto first = c.logits();
    OK(edgekv_rollback(c.c, 200));
    CHECK(c.position() == 200);
    feed(c, question);
    CHECK(kl(first, c.logits()) < 1e-3);

    CHECK(edgekv_rollback(c.c, 100) == EDGEKV_E_STATE);
    CHECK(c.position() == 220);
}

void heads_without_rows() {
    context c;
    feed(c, random_tokens(100, 15));
    OK(apply(c, make_plan(100, [](int32_t, int32_t, int32_t) { return false; })));
    CHECK(c.get(EDGEKV_CACHE_ROWS) == 0);
    CHECK(c.position() == 100); // positions go on all the same
    const auto logits = c.step(5);
    CHECK(std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }));
    CHECK(c.position() == 101);
}

void clear_makes_full_again() {
    context    c;
    const auto tokens = random_tokens(200, 16);
    feed(c, tokens);
    const auto first = c.logits();

    OK(apply(c, random_plan(200, 17)));
    OK(edgekv_clear(c.c));
    CHECK(c.position() == 0);
    CHECK(c.get(EDGEKV_CACHE_COMPACT) == 0);

    feed(c, tokens);
    CHECK(first == c.logits());
}

void state_goes_on_where_it_was() {
    const std::string path = g_temp + "/compact.state";
    const auto        next = random_tokens(20, 18);

    context a;
    feed(a, random_tokens(200, 19));
    OK(apply(a, random_plan(200, 20)));
    feed(a, next);

    const std::vector<int32_t> note = { 1, 2, 3 };
    CHECK(llama_state_save_file(a.c, path.c_str(), note.data(), note.size()));

    context              b;
    std::vector<int32_t> read(8);
    size_t               n = 0;
    CHECK(llama_state_load_file(b.c, path.c_str(), read.data(), read.size(), &n));
    CHECK(n == 3 && read[2] == 3);
    CHECK(b.position() == 220);
    CHECK(b.get(EDGEKV_CACHE_ROWS) == a.get(EDGEKV_CACHE_ROWS));
    CHECK(kl(a.step(7), b.step(7)) < 1e-3);

    // cut short and with flipped bits: an error or a cache, never a crash
    std::FILE * file = std::fopen(path.c_str(), "rb");
    CHECK(file);
    std::vector<char> bytes(1 << 24);
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
    std::fclose(file);

    std::mt19937 random(21);
    for (int i = 0; i < 40; ++i) {
        auto damaged = bytes;
        if (i % 2) {
            damaged.resize(random() % bytes.size());
        } else {
            damaged[random() % std::min<size_t>(bytes.size(), 4000)] ^= (char) (1 << random() % 8);
        }
        const std::string bad = g_temp + "/damaged.state";
        file                  = std::fopen(bad.c_str(), "wb");
        CHECK(file);
        std::fwrite(damaged.data(), 1, damaged.size(), file);
        std::fclose(file);

        context    c;
        const bool loaded = llama_state_load_file(c.c, bad.c_str(), read.data(), read.size(), &n);
        CHECK(loaded == (c.get(EDGEKV_CACHE_FAULT) == 0));
        if (!loaded) {
            CHECK(edgekv_rollback(c.c, 0) == EDGEKV_E_STATE);
            OK(edgekv_clear(c.c));
            CHECK(c.position() == 0);
        }
        if (c.position() < 1000) {
            feed(c, next); // still works
        }
    }
}

// Of a layer.
size_t most_heads() {
    size_t n = 0;
    for (const layer_shape & layer : g_layers) {
        n = std::max(n, layer.n_head);
    }
    return n;
}

void scores_are_what_attention_gives() {
    const int32_t n_heads = (int32_t) g_n_heads;
    const auto    tokens  = random_tokens(200, 22);
    const auto    task    = random_tokens(50, 23);

    std::vector<std::vector<float>> results;
    for (const uint64_t bytes : { (uint64_t) 0, (uint64_t) (256 * most_heads() * 4 * 7) }) { // all at once; seven tokens at a time
        context c;
        feed(c, tokens);

        edgekv_scores * scores = nullptr;
        OK(edgekv_scores_create(c.c, 200, EDGEKV_AGGREGATE_MAX | EDGEKV_AGGREGATE_SUM, &scores));
        OK(edgekv_score(c.c, scores, task.data(), (int32_t) task.size(), bytes, nullptr, nullptr));
        CHECK(c.position() == 250);
        CHECK(edgekv_scores_queries(scores) == 50);
        OK(edgekv_rollback(c.c, 200));

        const float * max = edgekv_scores_data(scores, EDGEKV_AGGREGATE_MAX);
        const float * sum = edgekv_scores_data(scores, EDGEKV_AGGREGATE_SUM);
        for (int32_t i = 0; i < n_heads; ++i) {
            double total = 0;
            for (int32_t p = 0; p < 200; ++p) {
                CHECK(max[i * 200 + p] >= 0 && max[i * 200 + p] <= 1);
                CHECK(sum[i * 200 + p] <= 50 * max[i * 200 + p] * 1.0001f);
                total += sum[i * 200 + p];
            }
            CHECK(total > 0 && total <= 50.01); // a query's weights over the context add up to less than one
        }
        results.emplace_back(max, max + n_heads * 200);
        edgekv_scores_free(scores);
    }
    for (size_t i = 0; i < results[0].size(); ++i) {
        CHECK(std::fabs(results[0][i] - results[1][i]) < 2e-2);
    }
}

struct pass_scores {
    explicit pass_scores(const context & c, int32_t n_context) {
        OK(edgekv_scores_create(c.c, n_context, EDGEKV_AGGREGATE_MAX | EDGEKV_AGGREGATE_SUM, &s));
    }

    ~pass_scores() { edgekv_scores_free(s); }

    pass_scores(const pass_scores &)             = delete;
    pass_scores & operator=(const pass_scores &) = delete;

    edgekv_scores * s = nullptr;
};

// The weights of each query over everything, divided by hand by what it gives the ranges and the fed tokens, against passes over the ranges: as one and in steps.
void scores_of_ranges_are_renormalised() {
    const size_t  n_heads = g_n_heads;
    const int32_t n       = 200;
    const auto    tokens  = random_tokens(n, 80);
    const auto    task    = random_tokens(12, 81);
    const int32_t rs[]    = { 0, 4, 60, 61, 90, 150 };
    const double  near    = g_device ? 2e-3 : 1e-4;
    const auto    in      = [&](int32_t p) { return p < 4 || p == 60 || (p >= 90 && p < 150); };

    context c(1024, GGML_TYPE_F32);
    feed(c, random_tokens(230, 82)); // so that cells in use are no prefix of those that were
    OK(edgekv_rollback(c.c, 0));
    feed(c, tokens);

    std::vector<double> max(n_heads * n);
    std::vector<double> sum(n_heads * n);
    for (const int32_t token : task) {
        const pass_scores one(c, n);
        OK(edgekv_score(c.c, one.s, &token, 1, 0, nullptr, nullptr));
        const float * weights = edgekv_scores_data(one.s, EDGEKV_AGGREGATE_SUM);
        for (size_t h = 0; h < n_heads; ++h) {
            double all  = 0;
            double seen = 0;
            for (int32_t p = 0; p < n; ++p) {
                all += weights[h * n + p];
                seen += in(p) ? weights[h * n + p] : 0;
            }
            for (int32_t p = 0; p < n; ++p) {
                const double share = in(p) ? weights[h * n + p] / (seen + 1 - all) : 0;
                max[h * n + p]     = std::max(max[h * n + p], share);
                sum[h * n + p] += share;
            }
        }
    }
    OK(edgekv_rollback(c.c, n));

    const uint64_t five = 256 * most_heads() * sizeof(float) * 5;
    for (const uint64_t bytes : { (uint64_t) 0, five }) {
        const pass_scores seen(c, n);
        OK(edgekv_scores_see(seen.s, rs, 3));
        OK(edgekv_score(c.c, seen.s, task.data(), (int32_t) task.size(), bytes, nullptr, nullptr));
        OK(edgekv_rollback(c.c, n));

        const float * m = edgekv_scores_data(seen.s, EDGEKV_AGGREGATE_MAX);
        const float * s = edgekv_scores_data(seen.s, EDGEKV_AGGREGATE_SUM);
        for (size_t i = 0; i < n_heads * n; ++i) {
            CHECK(std::fabs(m[i] - max[i]) < near);
            CHECK(std::fabs(s[i] - sum[i]) < 10 * near);
            CHECK(in((int32_t) (i % n)) || s[i] == 0);
        }
    }

    // all of the context named is everything, and so is nothing named
    const int32_t     whole[] = { 0, n };
    const pass_scores named(c, n);
    const pass_scores plain(c, n);
    OK(edgekv_scores_see(named.s, whole, 1));
    OK(edgekv_scores_see(plain.s, rs, 3));
    OK(edgekv_scores_see(plain.s, nullptr, 0));
    for (const pass_scores * s : { &named, &plain }) {
        OK(edgekv_score(c.c, s->s, task.data(), (int32_t) task.size(), 0, nullptr, nullptr));
        OK(edgekv_rollback(c.c, n));
    }
    for (size_t i = 0; i < n_heads * n; ++i) {
        CHECK(std::fabs(edgekv_scores_data(named.s, EDGEKV_AGGREGATE_SUM)[i] - edgekv_scores_data(plain.s, EDGEKV_AGGREGATE_SUM)[i]) <
              1e-4);
    }

    for (const auto & bad : { std::pair{ 5, 5 }, std::pair{ -1, 5 }, std::pair{ 100, n + 1 } }) {
        const int32_t range[] = { bad.first, bad.second };
        CHECK(edgekv_scores_see(named.s, range, 1) == EDGEKV_E_ARGUMENT);
    }
    const int32_t crossed[] = { 0, 10, 9, 20 };
    CHECK(edgekv_scores_see(named.s, crossed, 2) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_scores_see(nullptr, whole, 1) == EDGEKV_E_ARGUMENT);
}

std::vector<float> random_map(uint32_t seed) {
    std::mt19937                    random(seed);
    std::normal_distribution<float> weight(0.0f, 0.05f);
    std::vector<float>              weights(g_n_heads_kv * (n_embd() + 1));
    std::generate(weights.begin(), weights.end(), [&] { return weight(random); });
    return weights;
}

struct score_map {
    explicit score_map(const std::vector<float> & weights) { OK(edgekv_score_map_create(g_model, weights.data(), weights.size(), &m)); }

    ~score_map() { edgekv_score_map_free(m); }

    score_map(const score_map &)             = delete;
    score_map & operator=(const score_map &) = delete;

    edgekv_score_map * m = nullptr;
};

std::vector<float> learned(const context & c, int32_t first, int32_t n) {
    std::vector<float> scores(g_n_heads_kv * n);
    OK(edgekv_learned_scores(c.c, first, n, scores.data(), scores.size()));
    return scores;
}

// A map is linear and takes nothing from the model: scores of a sum of maps are the sum of the scores, and the logits have the same bits with and without one.
void learned_scores_are_linear_and_change_nothing() {
    const auto tokens = random_tokens(300, 50);
    const auto first  = random_map(51);
    const auto second = random_map(52);
    auto       both   = first;
    for (size_t i = 0; i < both.size(); ++i) {
        both[i] += second[i];
    }

    context plain;
    feed(plain, tokens);

    std::vector<std::vector<float>> results;
    for (const auto & weights : { first, second, both }) {
        context         c;
        const score_map map(weights);
        OK(edgekv_score_map_set(c.c, map.m));
        feed(c, tokens);
        CHECK(c.logits() == plain.logits());
        results.push_back(learned(c, 0, 300));
        CHECK(results.back().size() == learned(c, 100, 200).size() / 200 * 300);
    }
    for (size_t i = 0; i < results[0].size(); ++i) {
        CHECK(std::fabs(results[0][i] + results[1][i] - results[2][i]) < 1e-3f);
    }
    CHECK(std::any_of(results[0].begin(), results[0].end(), [](float s) { return std::fabs(s) > 1e-3f; }));
}

// Tokens that come one by one, after a roll-back and over a compact cache are scored as those of a prompt are.
void learned_scores_follow_the_tokens() {
    const auto      tokens = random_tokens(120, 53);
    const size_t    heads  = g_n_heads_kv;
    const score_map map(random_map(54));

    context once;
    context steps;
    OK(edgekv_score_map_set(once.c, map.m));
    OK(edgekv_score_map_set(steps.c, map.m));
    feed(once, tokens);
    feed(steps, { tokens.begin(), tokens.begin() + 100 });
    feed(steps, random_tokens(30, 55));
    OK(edgekv_rollback(steps.c, 100));
    OK(apply(steps, make_plan(100, [](int32_t, int32_t, int32_t) { return true; })));
    for (int32_t i = 100; i < 120; ++i) {
        steps.step(tokens[i]);
    }

    const auto expected = learned(once, 0, 120);
    const auto actual   = learned(steps, 0, 120);
    for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(std::fabs(expected[i] - actual[i]) < 0.05f + 0.05f * std::fabs(expected[i]));
    }
    const auto tail = learned(steps, 110, 10);
    for (size_t h = 0; h < heads; ++h) {
        CHECK(std::equal(tail.begin() + h * 10, tail.begin() + (h + 1) * 10, actual.begin() + h * 120 + 110));
    }

    std::vector<float> scores(heads);
    CHECK(edgekv_learned_scores(steps.c, 120, 1, scores.data(), scores.size()) == EDGEKV_E_ARGUMENT);
    OK(edgekv_score_map_set(steps.c, nullptr)); // what is known stays known
    CHECK(learned(steps, 110, 10) == tail);

    context plain;
    plain.step(1);
    CHECK(edgekv_learned_scores(plain.c, 0, 1, scores.data(), scores.size()) == EDGEKV_E_STATE);

    const auto         few = random_map(56);
    edgekv_score_map * out = nullptr;
    CHECK(edgekv_score_map_create(g_model, few.data(), few.size() - 1, &out) == EDGEKV_E_ARGUMENT);
    CHECK(out == nullptr);
}

// What is kept is what a map reads: multiplied by hand, it gives the map's scores. Keeping it changes no logits.
void inputs_give_the_learned_scores() {
    const auto      tokens  = random_tokens(60, 57);
    const auto      weights = random_map(58);
    const size_t    width   = n_embd();
    const score_map map(weights);

    context plain;
    feed(plain, tokens);

    context            c;
    std::vector<float> x(tokens.size() * width);
    OK(edgekv_score_map_set(c.c, map.m));
    CHECK(edgekv_inputs(c.c, 0, x.data(), x.size()) == EDGEKV_E_STATE);
    OK(edgekv_inputs_keep(c.c, true));
    feed(c, tokens);
    CHECK(c.logits() == plain.logits());

    const auto    scores   = learned(c, 0, (int32_t) tokens.size());
    const float * of_layer = weights.data();
    for (const layer_shape & layer : g_layers) {
        OK(edgekv_inputs(c.c, (int32_t) (&layer - g_layers.data()), x.data(), x.size()));
        for (size_t h = 0; h < layer.n_head_kv; ++h) {
            for (size_t t = 0; t < tokens.size(); ++t) {
                const float * w   = of_layer + h;
                double        sum = w[width * layer.n_head_kv];
                for (size_t i = 0; i < width; ++i) {
                    sum += (double) w[i * layer.n_head_kv] * x[t * width + i];
                }
                CHECK(std::fabs(sum - scores[(layer.first_head_kv + h) * tokens.size() + t]) < 1e-3 * (1 + std::fabs(sum)));
            }
        }
        of_layer += (width + 1) * layer.n_head_kv;
    }

    CHECK(edgekv_inputs(c.c, n_layers(), x.data(), x.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_inputs(c.c, 0, x.data(), x.size() - 1) == EDGEKV_E_ARGUMENT);
    OK(edgekv_inputs_keep(c.c, false));
    c.step(1);
    CHECK(edgekv_inputs(c.c, 0, x.data(), width) == EDGEKV_E_STATE);
}

void norms_are_positive_and_of_all_positions() {
    const size_t n_heads = g_n_heads_kv;
    for (const ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
        context c(1024, type);
        feed(c, random_tokens(100, 24));
        for (const int32_t which : { EDGEKV_NORM_K, EDGEKV_NORM_V }) {
            std::vector<float> norms(n_heads * 100);
            OK(edgekv_norms(c.c, which, 100, norms.data(), norms.size()));
            CHECK(std::all_of(norms.begin(), norms.end(), [](float v) { return v > 0 && std::isfinite(v); }));
        }
        std::vector<float> few(3);
        CHECK(edgekv_norms(c.c, EDGEKV_NORM_K, 100, few.data(), few.size()) == EDGEKV_E_ARGUMENT);
    }
}

std::vector<float> rows_of(const context & c, int32_t which, int32_t layer, int32_t first, int32_t n) {
    std::vector<float> rows(n * g_layers[layer].n_head_kv * g_layers[layer].d(which));
    OK(edgekv_rows(c.c, which, layer, first, n, rows.data(), rows.size()));
    return rows;
}

llama_kv_cache & kv_of(const context & c) {
    return dynamic_cast<llama_kv_cache &>(*c.c->get_memory());
}

std::vector<float> values_of(const ggml_tensor * t) {
    std::vector<float> values((size_t) ggml_nelements(t));
    if (t->type == GGML_TYPE_F32) {
        ggml_backend_tensor_get(t, values.data(), 0, ggml_nbytes(t));
    } else {
        std::vector<char> bytes(ggml_nbytes(t));
        ggml_backend_tensor_get(t, bytes.data(), 0, bytes.size());
        ggml_get_type_traits(t->type)->to_float(bytes.data(), values.data(), (int64_t) values.size());
    }
    return values;
}

// || a - b || / || a ||
double distance(const std::vector<float> & a, const std::vector<float> & b) {
    CHECK(a.size() == b.size());
    double difference = 0;
    double size       = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        difference += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
        size += (double) a[i] * a[i];
    }
    return std::sqrt(difference / size);
}

// An f32 cache is read as it lies there, whose cells are positions; after a roll-back and in parts too. The norms are those of the rows.
void rows_are_what_the_cache_holds() {
    const int32_t n_layer = n_layers();
    const auto    tokens  = random_tokens(150, 70);

    context c(1024, GGML_TYPE_F32);
    feed(c, random_tokens(90, 71));
    OK(edgekv_rollback(c.c, 0));
    feed(c, tokens);

    for (const int32_t which : { EDGEKV_ROW_K, EDGEKV_ROW_V }) {
        std::vector<float> norms(g_n_heads_kv * 150);
        OK(edgekv_norms(c.c, which == EDGEKV_ROW_K ? EDGEKV_NORM_K : EDGEKV_NORM_V, 150, norms.data(), norms.size()));

        for (int32_t l = 0; l < n_layer; ++l) {
            const layer_shape & layer     = g_layers[l];
            const size_t        d         = layer.d(which);
            const size_t        n_head_kv = layer.n_head_kv;
            const auto          rows      = rows_of(c, which, l, 0, 150);

            auto stored = values_of(which == EDGEKV_ROW_K ? kv_of(c).get_k_storage(layer.il) : kv_of(c).get_v_storage(layer.il));
            stored.resize(rows.size());
            CHECK(rows == stored);

            const auto part = rows_of(c, which, l, 60, 7);
            CHECK(std::equal(part.begin(), part.end(), rows.begin() + 60 * n_head_kv * d));

            for (size_t p = 0; p < 150; ++p) {
                for (size_t h = 0; h < n_head_kv; ++h) {
                    double sum = 0;
                    for (size_t i = 0; i < d; ++i) {
                        const double x = rows[(p * n_head_kv + h) * d + i];
                        sum += x * x;
                    }
                    const double norm = norms[(layer.first_head_kv + h) * 150 + p];
                    CHECK(std::fabs(std::sqrt(sum) - norm) < 1e-4 * norm);
                }
            }
        }
    }

    std::vector<float> one(g_layers[0].n_head_kv * g_layers[0].d_k);
    CHECK(edgekv_rows(c.c, EDGEKV_ROW_K, 0, 150, 1, one.data(), one.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_rows(c.c, EDGEKV_ROW_K, 0, -1, 1, one.data(), one.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_rows(c.c, EDGEKV_ROW_K, n_layer, 0, 1, one.data(), one.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_rows(c.c, EDGEKV_ROW_K, 0, 0, 1, one.data(), one.size() - 1) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_rows(c.c, 2, 0, 0, 1, one.data(), one.size()) == EDGEKV_E_ARGUMENT);
    OK(apply(c, random_plan(150, 72)));
    CHECK(edgekv_rows(c.c, EDGEKV_ROW_K, 0, 0, 1, one.data(), one.size()) == EDGEKV_E_STATE);
}

// llama.cpp rotates what it quantizes; rows are read without that, so they are near those of f16.
void quantized_rows_are_near_those_of_f16() {
    const auto tokens = random_tokens(150, 73);

    context f16(1024, GGML_TYPE_F16);
    feed(f16, tokens);
    for (const auto & [type, near] : { std::pair{ GGML_TYPE_Q8_0, 0.02 }, std::pair{ GGML_TYPE_Q4_0, 0.15 } }) {
        context c(1024, type);
        feed(c, tokens);
        for (const int32_t which : { EDGEKV_ROW_K, EDGEKV_ROW_V }) {
            // what the first layer's rows are made from is the same for both
            CHECK(distance(rows_of(f16, which, 0, 20, 130), rows_of(c, which, 0, 20, 130)) < near);
        }
    }
}

// Forms and moments are those of the rows that edgekv_rows gives, in several steps too.
void forms_and_moments_are_those_of_the_rows() {
    constexpr int32_t n    = 150;
    const int32_t     last = n_layers() - 1;
    std::mt19937      random(76);
    const auto        draw = [&](size_t count) {
        std::vector<float> drawn(count);
        for (float & x : drawn) {
            x = (float) (random() % 2001) / 1000 - 1;
        }
        return drawn;
    };

    for (const ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
        context c(1024, type);
        feed(c, random_tokens(n, 77));
        for (const int32_t which : { EDGEKV_ROW_K, EDGEKV_ROW_V }) {
            const size_t d         = g_layers[last].d(which);
            const size_t n_head_kv = g_layers[last].n_head_kv;
            const auto   rows      = rows_of(c, which, last, 0, n);
            const auto   at        = [&](size_t p, size_t h, size_t i) { return (double) rows[(p * n_head_kv + h) * d + i]; };

            for (const int32_t form : { EDGEKV_FORM_LINEAR, EDGEKV_FORM_QUADRATIC, EDGEKV_FORM_SQUARES }) {
                // more than one step holds
                const size_t n_forms = form == EDGEKV_FORM_LINEAR ? 3 : (4 << 20) / (n_head_kv * d * 100);
                const size_t size    = form == EDGEKV_FORM_LINEAR ? d : d * d;
                const auto   factors = draw(n_head_kv * n_forms * size);

                std::vector<float> results(n_head_kv * n_forms * n);
                OK(edgekv_row_forms(c.c, which, last, form, n, (int32_t) n_forms, factors.data(), factors.size(), results.data(),
                                    results.size()));
                for (size_t h = 0; h < n_head_kv; ++h) {
                    for (const size_t f : { (size_t) 0, n_forms - 1 }) {
                        const float * factor = factors.data() + (h * n_forms + f) * size;
                        for (const size_t p : { 0, 99, 100, 149 }) {
                            double sum    = 0;
                            double length = 0;
                            for (size_t i = 0; i < d; ++i) {
                                if (form == EDGEKV_FORM_LINEAR) {
                                    sum += factor[i] * at(p, h, i);
                                } else {
                                    double y = 0;
                                    for (size_t j = 0; j < d; ++j) {
                                        y += factor[i * d + j] * at(p, h, j);
                                    }
                                    sum += y * (form == EDGEKV_FORM_SQUARES ? y : at(p, h, i));
                                }
                                length += at(p, h, i) * at(p, h, i);
                            }
                            const double scale = form == EDGEKV_FORM_LINEAR ? std::sqrt(d * length) : (double) d * length;
                            CHECK(std::fabs(sum - results[(h * n_forms + f) * n + p]) < 1e-5 * scale);
                        }
                    }
                }
            }

            for (const int32_t moment : { EDGEKV_MOMENT_FIRST, EDGEKV_MOMENT_SECOND }) {
                const size_t n_sums  = moment == EDGEKV_MOMENT_FIRST ? 3 : (4 << 20) / (n_head_kv * d * 100);
                const auto   weights = draw(n_head_kv * n_sums * n);

                const size_t        size = moment == EDGEKV_MOMENT_FIRST ? d : d * d;
                std::vector<double> sums(n_head_kv * n_sums * size);
                OK(edgekv_row_moments(c.c, which, last, moment, n, (int32_t) n_sums, weights.data(), weights.size(), sums.data(),
                                      sums.size()));
                for (size_t h = 0; h < n_head_kv; ++h) {
                    for (const size_t s : { (size_t) 0, n_sums - 1 }) {
                        for (const size_t i : { (size_t) 0, d / 3, d - 1 }) {
                            for (const size_t j : { (size_t) 1, d - 1 }) {
                                double sum  = 0;
                                double size = 0;
                                for (size_t p = 0; p < n; ++p) {
                                    const double x = moment == EDGEKV_MOMENT_FIRST ? at(p, h, i) : at(p, h, i) * at(p, h, j);
                                    sum += weights[(h * n_sums + s) * n + p] * x;
                                    size += std::fabs(x);
                                }
                                const size_t index =
                                    moment == EDGEKV_MOMENT_FIRST ? (h * n_sums + s) * d + i : ((h * n_sums + s) * d + i) * d + j;
                                CHECK(std::fabs(sum - sums[index]) < 1e-5 * size);
                            }
                        }
                    }
                }
            }
        }
    }

    context c;
    feed(c, random_tokens(3, 78));
    const size_t        d         = g_layers[0].d_k;
    const size_t        n_head_kv = g_layers[0].n_head_kv;
    std::vector<float>  factors(n_head_kv * d);
    std::vector<float>  numbers(n_head_kv * 3);
    std::vector<double> sums(n_head_kv * d);

    const auto forms = [&](int32_t which, int32_t layer, int32_t form, int32_t n_context, int32_t n_forms, size_t n_factors, size_t count) {
        return edgekv_row_forms(c.c, which, layer, form, n_context, n_forms, factors.data(), n_factors, numbers.data(), count);
    };
    OK(forms(EDGEKV_ROW_K, 0, EDGEKV_FORM_LINEAR, 3, 1, factors.size(), numbers.size()));
    CHECK(forms(2, 0, EDGEKV_FORM_LINEAR, 3, 1, factors.size(), numbers.size()) == EDGEKV_E_ARGUMENT);
    CHECK(forms(EDGEKV_ROW_K, last + 1, EDGEKV_FORM_LINEAR, 3, 1, factors.size(), numbers.size()) == EDGEKV_E_ARGUMENT);
    CHECK(forms(EDGEKV_ROW_K, 0, 3, 3, 1, factors.size(), numbers.size()) == EDGEKV_E_ARGUMENT);
    CHECK(forms(EDGEKV_ROW_K, 0, EDGEKV_FORM_QUADRATIC, 3, 1, factors.size(), numbers.size()) == EDGEKV_E_ARGUMENT);
    CHECK(forms(EDGEKV_ROW_K, 0, EDGEKV_FORM_LINEAR, 3, 0, 0, 0) == EDGEKV_E_ARGUMENT);
    CHECK(forms(EDGEKV_ROW_K, 0, EDGEKV_FORM_LINEAR, 4, 1, factors.size(), n_head_kv * 4) == EDGEKV_E_ARGUMENT);
    CHECK(forms(EDGEKV_ROW_K, 0, EDGEKV_FORM_LINEAR, 3, 1, factors.size(), numbers.size() - 1) == EDGEKV_E_ARGUMENT);

    const auto moments = [&](int32_t layer, int32_t moment, size_t n_weights, size_t count) {
        return edgekv_row_moments(c.c, EDGEKV_ROW_V, layer, moment, 3, 1, numbers.data(), n_weights, sums.data(), count);
    };
    OK(moments(0, EDGEKV_MOMENT_FIRST, numbers.size(), sums.size()));
    CHECK(moments(-1, EDGEKV_MOMENT_FIRST, numbers.size(), sums.size()) == EDGEKV_E_ARGUMENT);
    CHECK(moments(0, 0, numbers.size(), sums.size()) == EDGEKV_E_ARGUMENT);
    CHECK(moments(0, EDGEKV_MOMENT_SECOND, numbers.size(), sums.size()) == EDGEKV_E_ARGUMENT);
    CHECK(moments(0, EDGEKV_MOMENT_FIRST, numbers.size() + 1, sums.size()) == EDGEKV_E_ARGUMENT);

    OK(apply(c, make_plan(3, [](int32_t, int32_t, int32_t) { return true; })));
    CHECK(forms(EDGEKV_ROW_K, 0, EDGEKV_FORM_LINEAR, 3, 1, factors.size(), numbers.size()) == EDGEKV_E_STATE);
    CHECK(moments(0, EDGEKV_MOMENT_FIRST, numbers.size(), sums.size()) == EDGEKV_E_STATE);
}

const llama_layer & weights_of(const context & c, int32_t layer) {
    return c.c->get_model().layers.at(g_layers.at(layer).il);
}

// x [n_embd, n] times the rows first .. first + n_rows - 1 of a matrix, as models with and without one matrix for Q, K and V have it.
std::vector<double> project(const ggml_tensor * matrix, const ggml_tensor * bias, size_t first, size_t n_rows,
                            const std::vector<float> & x) {
    const auto          weights = values_of(matrix);
    const auto          n_embd  = (size_t) matrix->ne[0];
    const auto          biases  = bias ? values_of(bias) : std::vector<float>(first + n_rows);
    const size_t        n       = x.size() / n_embd;
    std::vector<double> result(n * n_rows);
    for (size_t t = 0; t < n; ++t) {
        for (size_t r = 0; r < n_rows; ++r) {
            double sum = biases[first + r];
            for (size_t i = 0; i < n_embd; ++i) {
                sum += (double) weights[(first + r) * n_embd + i] * x[t * n_embd + i];
            }
            result[t * n_rows + r] = sum;
        }
    }
    return result;
}

void norm_heads(std::vector<double> & heads, const ggml_tensor * weight, float epsilon) {
    if (!weight) {
        return;
    }
    const auto   scale = values_of(weight);
    const size_t d     = scale.size();
    for (size_t h = 0; h < heads.size() / d; ++h) {
        double sum = 0;
        for (size_t i = 0; i < d; ++i) {
            sum += heads[h * d + i] * heads[h * d + i];
        }
        for (size_t i = 0; i < d; ++i) {
            heads[h * d + i] *= scale[i] / std::sqrt(sum / (double) d + epsilon);
        }
    }
}

// Against queries and keys made by hand from what the attention is given. Fed in parts, one of which ends before the first position that counts and one of which
// holds it; summing changes no logits.
void query_sums_are_those_before_rope() {
    const size_t  width   = n_embd();
    const int32_t n_layer = n_layers();
    const auto    tokens  = random_tokens(60, 90);

    context c;
    context plain;
    OK(edgekv_inputs_keep(c.c, true));
    OK(edgekv_queries_keep(c.c, true, 9)); // starts anew below
    c.step(tokens[0]);
    OK(edgekv_clear(c.c));
    OK(edgekv_queries_keep(c.c, true, 4));

    struct sums {
        std::vector<double> q, qq, k;
    };

    std::vector<sums> expected;
    for (const layer_shape & layer : g_layers) {
        const size_t q = layer.n_head * layer.d_k;
        expected.push_back(
            { std::vector<double>(q), std::vector<double>(q * layer.d_k), std::vector<double>(layer.n_head_kv * layer.d_k) });
    }

    size_t start = 0;
    for (const size_t n : { 3, 7, 1, 49 }) {
        const std::vector<int32_t> part(tokens.begin() + start, tokens.begin() + start + n);
        feed(c, part);
        feed(plain, part);
        CHECK(c.logits() == plain.logits());

        for (int32_t l = 0; l < n_layer; ++l) {
            const size_t       d      = g_layers[l].d_k;
            const size_t       n_head = g_layers[l].n_head;
            const size_t       n_kv   = g_layers[l].n_head_kv;
            std::vector<float> x(n * width);
            OK(edgekv_inputs(c.c, l, x.data(), x.size()));

            const llama_layer & w       = weights_of(c, l);
            const float         epsilon = c.c->get_model().hparams.f_norm_rms_eps;

            auto q = w.wqkv ? project(w.wqkv, w.wqkv_b, 0, n_head * d, x) : project(w.wq, w.wq_b, 0, n_head * d, x);
            auto k = w.wqkv ? project(w.wqkv, w.wqkv_b, n_head * d, n_kv * d, x) : project(w.wk, w.wk_b, 0, n_kv * d, x);
            norm_heads(q, w.attn_q_norm, epsilon);
            norm_heads(k, w.attn_k_norm, epsilon);

            sums & e = expected[l];
            for (size_t t = start < 4 ? 4 - start : 0; t < n; ++t) {
                for (size_t i = 0; i < n_head * d; ++i) {
                    e.q[i] += q[t * n_head * d + i];
                    for (size_t j = 0; j < d; ++j) {
                        e.qq[i * d + j] += q[t * n_head * d + i] * q[t * n_head * d + i / d * d + j];
                    }
                }
                for (size_t i = 0; i < n_kv * d; ++i) {
                    e.k[i] += k[t * n_kv * d + i];
                }
            }
        }
        start += n;
    }

    CHECK(edgekv_queries_count(c.c) == 56);
    const auto equal = [&](int32_t which, int32_t l, const std::vector<double> & by_hand) {
        std::vector<double> read(by_hand.size());
        OK(edgekv_queries(c.c, which, l, read.data(), read.size()));
        for (size_t i = 0; i < read.size(); ++i) {
            CHECK(std::fabs(read[i] - by_hand[i]) < 1e-3 * (1 + std::fabs(by_hand[i])));
        }
    };
    for (int32_t l = 0; l < n_layer; ++l) {
        equal(EDGEKV_QUERIES_Q, l, expected[l].q);
        equal(EDGEKV_QUERIES_QQ, l, expected[l].qq);
        equal(EDGEKV_QUERIES_K, l, expected[l].k);
    }

    std::vector<double> q(g_layers[0].n_head * g_layers[0].d_k);
    CHECK(edgekv_queries(c.c, EDGEKV_QUERIES_Q, n_layer, q.data(), q.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_queries(c.c, EDGEKV_QUERIES_Q, 0, q.data(), q.size() - 1) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_queries(c.c, 5, 0, q.data(), q.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_queries_keep(c.c, true, -1) == EDGEKV_E_ARGUMENT);
    OK(edgekv_queries_keep(c.c, false, 0));
    CHECK(edgekv_queries(c.c, EDGEKV_QUERIES_Q, 0, q.data(), q.size()) == EDGEKV_E_STATE);
    CHECK(edgekv_queries_count(c.c) == 0);
    c.step(1);
}

// Against softmax by hand over cached keys and the queries of a context that is fed token by token, whose numbers are the batch's but for their last bits. Batches
// with blocks and a rest, with one of them, and whole blocks alone; the model's own attention is not changed.
void block_attention_is_that_by_hand() {
    const int32_t n_layer = n_layers();
    const int32_t block   = 16;
    const auto    tokens  = random_tokens(85, 95);

    std::vector<std::vector<std::vector<double>>> queries; // [token][layer][n_head * d]
    {
        context steps(1024, GGML_TYPE_F32);
        for (const int32_t token : tokens) {
            OK(edgekv_queries_keep(steps.c, true, 0));
            steps.step(token);
            queries.emplace_back();
            for (int32_t l = 0; l < n_layer; ++l) {
                queries.back().emplace_back(g_layers[l].n_head * g_layers[l].d_k);
                OK(edgekv_queries(steps.c, EDGEKV_QUERIES_Q_ROTATED, l, queries.back()[l].data(), queries.back()[l].size()));
            }
        }
    }

    context c(1024, GGML_TYPE_F32);
    context plain(1024, GGML_TYPE_F32);
    OK(edgekv_blocks_keep(c.c, block));

    int32_t start = 0;
    for (const int32_t n : { 37, 5, 1, 32, 10 }) {
        const std::vector<int32_t> part(tokens.begin() + start, tokens.begin() + start + n);
        feed(c, part);
        feed(plain, part);
        CHECK(c.logits() == plain.logits());

        for (int32_t l = 0; l < n_layer; ++l) {
            const size_t       d      = g_layers[l].d_k;
            const size_t       n_head = g_layers[l].n_head;
            const size_t       n_kv   = g_layers[l].n_head_kv;
            std::vector<float> sums(n_head * n);
            OK(edgekv_blocks(c.c, l, sums.data(), sums.size()));
            const auto keys = rows_of(c, EDGEKV_ROW_K, l, start, n);

            for (size_t h = 0; h < n_head; ++h) {
                for (int32_t first = 0; first < n; first += block) {
                    const int32_t       size = std::min(block, n - first);
                    std::vector<double> expected(size);
                    for (int32_t i = first; i < first + size; ++i) {
                        std::vector<double> weights(size);
                        for (int32_t j = 0; j < size; ++j) {
                            for (size_t x = 0; x < d; ++x) {
                                weights[j] += queries[start + i][l][h * d + x] * keys[((first + j) * n_kv + h / (n_head / n_kv)) * d + x];
                            }
                        }
                        const double largest = *std::max_element(weights.begin(), weights.end());
                        double       all     = 0;
                        for (double & w : weights) {
                            w = std::exp(w - largest);
                            all += w;
                        }
                        for (int32_t j = 0; j < size; ++j) {
                            expected[j] += weights[j] / all;
                        }
                    }
                    for (int32_t j = 0; j < size; ++j) {
                        CHECK(std::fabs(sums[h * n + first + j] - expected[j]) < 2e-3 * size);
                    }
                }
            }
        }
        start += n;
    }

    std::vector<float> sums(g_layers[0].n_head * 10);
    CHECK(edgekv_blocks(c.c, n_layer, sums.data(), sums.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_blocks(c.c, 0, sums.data(), sums.size() - 1) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_blocks(plain.c, 0, sums.data(), sums.size()) == EDGEKV_E_STATE);
    CHECK(edgekv_blocks_keep(c.c, -1) == EDGEKV_E_ARGUMENT);
    OK(edgekv_blocks(c.c, 0, sums.data(), sums.size()));
    OK(edgekv_blocks_keep(c.c, 0));
    CHECK(edgekv_blocks(c.c, 0, sums.data(), sums.size()) == EDGEKV_E_STATE);
    c.step(1);
    CHECK(edgekv_blocks(c.c, 0, sums.data(), sums.size()) == EDGEKV_E_STATE);
}

// Values by the formula, from those read before: one kept row with very many dropped ones, many with few, some without; nothing else changes.
void merged_values_are_weighted_means() {
    const int32_t n     = 400;
    const int32_t layer = 1;
    const size_t  d     = g_layers[layer].d_v;
    const size_t  n_kv  = g_layers[layer].n_head_kv;
    const int32_t head  = (int32_t) n_kv - 1;
    std::mt19937  random(85);

    std::vector<int32_t> dropped;
    std::vector<int32_t> kept;
    std::vector<float>   weights;
    for (int32_t p = 0; p < n; ++p) {
        if (p % 4 != 3 && p != 100) {
            dropped.push_back(p);
            kept.push_back(p < 200 ? 100 : 3 + 4 * (int32_t) (random() % 90));
            weights.push_back(p == 250 ? 0.0f : (float) (random() % 1000) / 1000);
        }
    }

    for (const auto & [type, near] :
         { std::pair{ GGML_TYPE_F32, 1e-6 }, std::pair{ GGML_TYPE_F16, 1e-3 }, std::pair{ GGML_TYPE_Q8_0, 1e-2 } }) {
        context c(1024, type);
        feed(c, random_tokens(n, 86));

        const auto before = rows_of(c, EDGEKV_ROW_V, layer, 0, n);
        const auto keys   = rows_of(c, EDGEKV_ROW_K, layer, 0, n);
        const auto others = rows_of(c, EDGEKV_ROW_V, 0, 0, n);
        OK(edgekv_merge(c.c, layer, head, dropped.data(), kept.data(), weights.data(), dropped.size()));
        const auto after = rows_of(c, EDGEKV_ROW_V, layer, 0, n);
        CHECK(rows_of(c, EDGEKV_ROW_K, layer, 0, n) == keys);
        CHECK(rows_of(c, EDGEKV_ROW_V, 0, 0, n) == others);

        const auto row = [&](const std::vector<float> & rows, int32_t p, size_t h) {
            std::vector<float> values(d);
            std::copy_n(rows.data() + (p * n_kv + h) * d, d, values.data());
            return values;
        };
        for (int32_t p = 0; p < n; ++p) {
            std::vector<double> sum(d);
            double              all  = 1;
            bool                into = false;
            for (size_t i = 0; i < dropped.size(); ++i) {
                if (kept[i] == p) {
                    const auto v = row(before, dropped[i], head);
                    for (size_t e = 0; e < d; ++e) {
                        sum[e] += (double) weights[i] * v[e];
                    }
                    all += weights[i];
                    into = true;
                }
            }
            for (size_t h = 0; h < n_kv; ++h) {
                if (h != (size_t) head || !into) {
                    CHECK(row(after, p, h) == row(before, p, h));
                }
            }
            if (into) {
                auto expected = row(before, p, head);
                for (size_t e = 0; e < d; ++e) {
                    expected[e] = (float) ((expected[e] + sum[e]) / all);
                }
                CHECK(distance(expected, row(after, p, head)) < (g_device ? std::max(near, 2e-3) : near));
            }
        }
    }

    context c;
    feed(c, random_tokens(50, 87));
    const float one[] = { 1, 1 };
    const auto  bad   = [&](std::vector<int32_t> from, std::vector<int32_t> to, const float * w) {
        return edgekv_merge(c.c, 0, 0, from.data(), to.data(), w, from.size()) == EDGEKV_E_PLAN;
    };
    const float negative[] = { -1, 1 };
    CHECK(bad({ 50, 1 }, { 2, 3 }, one));
    CHECK(bad({ 1, 4 }, { -1, 3 }, one));
    CHECK(bad({ 1, 1 }, { 2, 3 }, one));
    CHECK(bad({ 1, 2 }, { 2, 3 }, one));
    CHECK(bad({ 1, 3 }, { 3, 4 }, one));
    CHECK(bad({ 1, 5 }, { 1, 4 }, one));
    CHECK(bad({ 1, 5 }, { 2, 4 }, negative));
    CHECK(edgekv_merge(c.c, 0, (int32_t) g_layers[0].n_head_kv, nullptr, nullptr, nullptr, 0) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_merge(c.c, 0, 0, nullptr, nullptr, nullptr, 1) == EDGEKV_E_ARGUMENT);
    OK(edgekv_merge(c.c, 0, 0, nullptr, nullptr, nullptr, 0));
    OK(apply(c, random_plan(50, 88)));
    CHECK(edgekv_merge(c.c, 0, 0, nullptr, nullptr, nullptr, 0) == EDGEKV_E_STATE);
}

// StreamingLLM's plan: the first 4 and the last, whatever the head.
plan ends_plan(int32_t n_context, int32_t n_last) {
    return make_plan(n_context, [&](int32_t, int32_t, int32_t p) { return p < 4 || p >= n_context - n_last; });
}

// Against llama.cpp's own way: the tokens between taken out of a full cache, those behind moved up by its K-shift.
void rerotated_rope_is_that_of_a_k_shift() {
    const auto tokens = random_tokens(260, 91);
    const auto next   = random_tokens(20, 92);

    for (const auto & [type, near] :
         { std::pair{ GGML_TYPE_F32, 1e-4 }, std::pair{ GGML_TYPE_F16, 1e-3 }, std::pair{ GGML_TYPE_Q8_0, 1e-2 } }) {
        context full(1024, type);
        context compact(1024, type);
        context still(1024, type);
        for (const context * c : { &full, &compact, &still }) {
            feed(*c, tokens);
        }

        llama_memory_t memory = llama_get_memory(full.c);
        CHECK(llama_memory_seq_rm(memory, 0, 4, 160));
        llama_memory_seq_add(memory, 0, 160, -1, -156);
        CHECK(full.position() == 104);

        OK(apply(compact, ends_plan(260, 100)));
        OK(edgekv_rerotate(compact.c));
        CHECK(compact.position() == 104);
        CHECK(compact.get(EDGEKV_CACHE_N_CONTEXT) == 104);
        OK(apply(still, ends_plan(260, 100)));

        double moved = 0;
        double left  = 0;
        for (const int32_t token : next) {
            const auto expected = full.step(token);
            moved += kl(expected, compact.step(token));
            left += kl(expected, still.step(token));
        }
        CHECK(moved < near * 20);
        CHECK(left > 10 * moved); // keys that were left where they were say something else
    }
}

// y = H x for every block of n channels, H being the Hadamard matrix divided by sqrt(n).
void rotate_blocks(std::vector<float> & x, size_t n) {
    std::vector<double> y(n);
    for (size_t first = 0; first < x.size(); first += n) {
        for (size_t i = 0; i < n; ++i) {
            y[i] = 0;
            for (size_t j = 0; j < n; ++j) {
                bool odd = false;
                for (size_t bits = i & j; bits; bits &= bits - 1) {
                    odd = !odd;
                }
                y[i] += odd ? -x[first + j] : x[first + j];
            }
        }
        for (size_t i = 0; i < n; ++i) {
            x[first + i] = (float) (y[i] / std::sqrt((double) n));
        }
    }
}

// Heads that keep different positions, key by key: read before, rotated by hand by the pairs and frequencies that the model has, and read from the compact rows.
// Then read on and closed up again.
void rerotated_rope_is_that_by_hand() {
    const int32_t n_layer = n_layers();
    const auto    tokens  = random_tokens(200, 93);
    const plan    p       = make_plan(200, [](int32_t l, int32_t h, int32_t p) { return (p + l + 3 * h) % 5 == 2; }); // 40 in each

    for (const auto & [type, near] :
         { std::pair{ GGML_TYPE_F32, 1e-5 }, std::pair{ GGML_TYPE_F16, 1e-3 }, std::pair{ GGML_TYPE_Q8_0, 1e-2 } }) {
        context c(1024, type);
        feed(c, tokens);

        const bool adjacent = llama_model_rope_type(&c.c->get_model()) == LLAMA_ROPE_TYPE_NORM;

        std::vector<std::vector<float>> expected;
        for (int32_t l = 0; l < n_layer; ++l) {
            const size_t        d     = g_layers[l].d_k;
            const size_t        n_kv  = g_layers[l].n_head_kv;
            int32_t             pairs = -1;
            size_t              n     = 0;
            double              scale = 0;
            std::vector<double> turns(d / 2);
            OK(edgekv_rope(c.c, l, &pairs, turns.data(), turns.size(), &n, &scale));
            CHECK(pairs == (adjacent ? EDGEKV_ROPE_ADJACENT : EDGEKV_ROPE_HALF_SPLIT));
            CHECK(n == d / 2 && scale == 1);
            for (size_t pair = 0; pair < n; ++pair) {
                CHECK(std::fabs(turns[pair] - std::pow(10000.0, -2.0 * (double) pair / (double) d)) < 1e-9);
            }

            const auto         rows = rows_of(c, EDGEKV_ROW_K, l, 0, 200);
            std::vector<float> keys;
            for (size_t h = 0; h < n_kv; ++h) {
                const int32_t * kept = p.positions.data() + (g_layers[l].first_head_kv + h) * 40;
                for (size_t i = 0; i < 40; ++i) {
                    const float *      row = rows.data() + (kept[i] * n_kv + h) * d;
                    std::vector<float> key(d);
                    for (size_t pair = 0; pair < d / 2; ++pair) {
                        const double angle = ((double) i - kept[i]) * std::pow(10000.0, -2.0 * (double) pair / (double) d);
                        const size_t a     = adjacent ? 2 * pair : pair;
                        const size_t b     = adjacent ? a + 1 : pair + d / 2;
                        key[a]             = (float) (row[a] * std::cos(angle) - row[b] * std::sin(angle));
                        key[b]             = (float) (row[a] * std::sin(angle) + row[b] * std::cos(angle));
                    }
                    keys.insert(keys.end(), key.begin(), key.end());
                }
            }
            expected.push_back(keys);
        }

        OK(apply(c, p));
        OK(edgekv_rerotate(c.c));

        std::vector<int32_t> rows(g_n_heads_kv);
        std::vector<int32_t> room(g_n_heads_kv);
        OK(edgekv_cache_rows(c.c, rows.data(), room.data(), rows.size()));
        for (int32_t l = 0; l < n_layer; ++l) {
            const size_t       d      = g_layers[l].d_k;
            const size_t       n_kv   = g_layers[l].n_head_kv;
            const auto         stored = values_of(kv_of(c).get_k_storage(g_layers[l].il));
            std::vector<float> keys;
            size_t             at = 0;
            for (size_t h = 0; h < n_kv; ++h) {
                keys.insert(keys.end(), stored.begin() + at * d, stored.begin() + (at + 40) * d);
                at += rows[g_layers[l].first_head_kv + h] + room[g_layers[l].first_head_kv + h];
            }
            if (type == GGML_TYPE_Q8_0 && d % 64 == 0) {
                rotate_blocks(keys, d % 128 == 0 ? 128 : 64);
            }
            CHECK(distance(expected[l], keys) < near);
        }

        std::vector<int32_t> positions(40);
        OK(edgekv_cache_positions(c.c, n_layer - 1, 0, positions.data(), positions.size()));
        CHECK(positions.front() == 0 && positions.back() == 39);

        feed(c, random_tokens(60, 94));
        CHECK(c.position() == 100);
        OK(apply(c, ends_plan(100, 50)));
        OK(edgekv_rerotate(c.c));
        CHECK(c.position() == 54);
        c.step(1);
    }
}

void rerotation_without_a_plan_for_rope_is_an_error() {
    context c;
    CHECK(edgekv_rerotate(nullptr) == EDGEKV_E_ARGUMENT);

    int32_t pairs = 0;
    size_t  n     = 0;
    double  turn  = 0;
    double  scale = 0;
    CHECK(edgekv_rope(nullptr, 0, &pairs, &turn, 1, &n, &scale) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_rope(c.c, -1, &pairs, &turn, 1, &n, &scale) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_rope(c.c, 0, &pairs, &turn, 1, &n, &scale) == EDGEKV_E_ARGUMENT && n == g_layers[0].d_k / 2);
    CHECK(turn == 0 && scale == 0);
    feed(c, random_tokens(100, 95));
    CHECK(edgekv_rerotate(c.c) == EDGEKV_E_STATE); // full

    OK(apply(c, random_plan(100, 96)));
    CHECK(edgekv_rerotate(c.c) == EDGEKV_E_STATE); // ragged
    CHECK(c.position() == 100);
    OK(edgekv_clear(c.c));

    feed(c, random_tokens(100, 97));
    OK(apply(c, ends_plan(100, 20)));
    c.step(1);
    CHECK(edgekv_rerotate(c.c) == EDGEKV_E_STATE); // a token came since
    OK(edgekv_rollback(c.c, 100));
    OK(edgekv_rerotate(c.c));
    CHECK(c.position() == 24);
    OK(edgekv_rerotate(c.c)); // nothing is left to close up
    CHECK(c.position() == 24);

    // before any graph was built: a state
    const std::string path = g_temp + "/closed.state";
    context           a;
    context           b;
    feed(a, random_tokens(100, 98));
    OK(apply(a, ends_plan(100, 30)));
    size_t n_saved = 0;
    CHECK(llama_state_save_file(a.c, path.c_str(), nullptr, 0));
    CHECK(llama_state_load_file(b.c, path.c_str(), nullptr, 0, &n_saved));
    OK(edgekv_rerotate(a.c));
    OK(edgekv_rerotate(b.c));
    CHECK(kl(a.step(5), b.step(5)) < 1e-6);

    // no rows at all
    feed(c, random_tokens(10, 99));
    OK(apply(c, make_plan(34, [](int32_t, int32_t, int32_t) { return false; })));
    OK(edgekv_rerotate(c.c));
    CHECK(c.position() == 0);
    c.step(2);
}

// Against the matrix's columns times the cached values, summed by hand.
void output_norms_are_those_of_the_product() {
    const size_t  width   = n_embd();
    const int32_t n_layer = n_layers();
    const int32_t n       = 270; // more than one chunk

    for (const ggml_type type : { GGML_TYPE_F32, GGML_TYPE_Q8_0 }) {
        context c(1024, type);
        feed(c, random_tokens(n, 75));
        for (const int32_t kind : { EDGEKV_OUTPUT_NORM_L1, EDGEKV_OUTPUT_NORM_L2 }) {
            std::vector<float> norms(g_n_heads * n);
            OK(edgekv_output_norms(c.c, kind, n, norms.data(), norms.size()));

            for (int32_t l = 0; l < n_layer; ++l) {
                const size_t d      = g_layers[l].d_v;
                const size_t n_head = g_layers[l].n_head;
                const size_t n_kv   = g_layers[l].n_head_kv;
                const auto   wo     = values_of(weights_of(c, l).wo);
                const auto   values = rows_of(c, EDGEKV_ROW_V, l, 0, n);
                for (size_t h = 0; h < n_head; ++h) {
                    for (const size_t p : { 0, 100, 255, 256, 269 }) {
                        double sum = 0;
                        for (size_t e = 0; e < width; ++e) {
                            double y = 0;
                            for (size_t i = 0; i < d; ++i) {
                                y += (double) wo[e * n_head * d + h * d + i] * values[(p * n_kv + h / (n_head / n_kv)) * d + i];
                            }
                            sum += kind == EDGEKV_OUTPUT_NORM_L1 ? std::fabs(y) : y * y;
                        }
                        const double norm = kind == EDGEKV_OUTPUT_NORM_L1 ? sum : std::sqrt(sum);
                        CHECK(std::fabs(norm - norms[(g_layers[l].first_head + h) * n + p]) < 2e-3 * norm);
                    }
                }
            }
        }
    }

    context            c;
    std::vector<float> norms(g_n_heads);
    CHECK(edgekv_output_norms(c.c, EDGEKV_OUTPUT_NORM_L1, 1, norms.data(), norms.size()) == EDGEKV_E_ARGUMENT);
    c.step(1);
    OK(edgekv_output_norms(c.c, EDGEKV_OUTPUT_NORM_L1, 1, norms.data(), norms.size()));
    CHECK(edgekv_output_norms(c.c, 2, 1, norms.data(), norms.size()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_output_norms(c.c, EDGEKV_OUTPUT_NORM_L1, 1, norms.data(), norms.size() - 1) == EDGEKV_E_ARGUMENT);
    OK(apply(c, make_plan(1, [](int32_t, int32_t, int32_t) { return true; })));
    CHECK(edgekv_output_norms(c.c, EDGEKV_OUTPUT_NORM_L1, 1, norms.data(), norms.size()) == EDGEKV_E_STATE);
}

// RoPE turns: position 0 not at all, others without another length.
void rotated_query_sums_keep_their_length() {
    const int32_t n_layer = n_layers();

    context c;
    OK(edgekv_queries_keep(c.c, true, 0));
    const auto sums = [&](int32_t which, int32_t l) {
        const size_t        d = g_layers[l].d_k;
        std::vector<double> read(g_layers[l].n_head * d * (which == EDGEKV_QUERIES_QQ || which == EDGEKV_QUERIES_QQ_ROTATED ? d : 1));
        OK(edgekv_queries(c.c, which, l, read.data(), read.size()));
        return read;
    };

    c.step(3);
    for (int32_t l = 0; l < n_layer; ++l) {
        CHECK(sums(EDGEKV_QUERIES_Q, l) == sums(EDGEKV_QUERIES_Q_ROTATED, l));
        CHECK(sums(EDGEKV_QUERIES_QQ, l) == sums(EDGEKV_QUERIES_QQ_ROTATED, l));
    }

    feed(c, random_tokens(40, 91));
    for (int32_t l = 0; l < n_layer; ++l) {
        CHECK(sums(EDGEKV_QUERIES_Q, l) != sums(EDGEKV_QUERIES_Q_ROTATED, l));
        const auto   plain   = sums(EDGEKV_QUERIES_QQ, l);
        const auto   rotated = sums(EDGEKV_QUERIES_QQ_ROTATED, l);
        const size_t d       = g_layers[l].d_k;
        for (size_t h = 0; h < g_layers[l].n_head; ++h) {
            double before = 0;
            double after  = 0;
            for (size_t i = 0; i < d; ++i) {
                before += plain[(h * d + i) * d + i];
                after += rotated[(h * d + i) * d + i];
            }
            CHECK(std::fabs(before - after) < 1e-3 * before);
        }
    }
}

// Both outputs by hand, from the weights of a score pass, the cached values and the output matrix.
void eviction_errors_are_those_by_hand() {
    const size_t  width   = n_embd();
    const int32_t n_layer = n_layers();
    const int32_t n       = 120;
    const double  epsilon = 1e-6;
    const auto    answer  = random_tokens(5, 93);

    std::vector<int32_t> counts;
    std::vector<int32_t> positions;
    for (int32_t l = 0; l < n_layer; ++l) {
        counts.push_back(l % 3 == 2 ? 0 : 10 + l);
        for (int32_t i = 0; i < counts.back(); ++i) {
            positions.push_back(3 * i + l % 3);
        }
    }

    for (const ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16 }) {
        context c(512, type);
        context plain(512, type);
        feed(c, random_tokens(n, 92));
        feed(plain, random_tokens(n, 92));

        std::vector<double> errors(n_layer, -1);
        OK(edgekv_eviction_errors(c.c, n, counts.data(), positions.data(), positions.size(), answer.data(), (int32_t) answer.size(),
                                  epsilon, errors.data(), errors.size(), nullptr, nullptr));
        CHECK(c.position() == n + (int32_t) answer.size());

        std::vector<double> expected(n_layer, 0.0);
        for (size_t step = 0; step < answer.size(); ++step) {
            const int32_t   n_rows = n + (int32_t) step + 1;
            edgekv_scores * scores = nullptr;
            OK(edgekv_scores_create(plain.c, n_rows, EDGEKV_AGGREGATE_SUM, &scores));
            OK(edgekv_score(plain.c, scores, &answer[step], 1, 0, nullptr, nullptr));
            const float * weights = edgekv_scores_data(scores, EDGEKV_AGGREGATE_SUM);

            const int32_t * kept = positions.data();
            for (int32_t l = 0; l < n_layer; ++l) {
                const size_t      d      = g_layers[l].d_v;
                const size_t      n_head = g_layers[l].n_head;
                const size_t      n_kv   = g_layers[l].n_head_kv;
                std::vector<char> stays(n_rows, 0);
                std::fill(stays.begin() + n, stays.end(), 1);
                for (int32_t i = 0; i < counts[l]; ++i) {
                    stays[*kept++] = 1;
                }

                const auto          wo     = values_of(weights_of(plain, l).wo);
                const auto          values = rows_of(plain, EDGEKV_ROW_V, l, 0, n_rows);
                std::vector<double> full(n_head * d);
                std::vector<double> few(n_head * d);
                for (size_t h = 0; h < n_head; ++h) {
                    const float * w   = weights + (g_layers[l].first_head + h) * n_rows;
                    double        sum = 0;
                    for (int32_t p = 0; p < n_rows; ++p) {
                        sum += stays[p] ? w[p] : 0;
                    }
                    for (int32_t p = 0; p < n_rows; ++p) {
                        for (size_t i = 0; i < d; ++i) {
                            const double value = values[(p * n_kv + h / (n_head / n_kv)) * d + i];
                            full[h * d + i] += w[p] * value;
                            few[h * d + i] += stays[p] ? w[p] / sum * value : 0;
                        }
                    }
                }
                double full_square       = 0;
                double difference_square = 0;
                for (size_t e = 0; e < width; ++e) {
                    double y = 0;
                    double z = 0;
                    for (size_t i = 0; i < n_head * d; ++i) {
                        y += wo[e * n_head * d + i] * full[i];
                        z += wo[e * n_head * d + i] * (few[i] - full[i]);
                    }
                    full_square += y * y;
                    difference_square += z * z;
                }
                expected[l] += std::sqrt(difference_square) / (std::sqrt(full_square) + epsilon);
            }
            edgekv_scores_free(scores);
        }
        for (int32_t l = 0; l < n_layer; ++l) {
            CHECK(expected[l] > 0.01);
            CHECK(std::fabs(errors[l] - expected[l]) < 5e-3 * expected[l]);
        }
        CHECK(kl(plain.logits(), c.logits()) < 1e-3);
    }
}

void eviction_errors_of_wrong_rows_are_refused() {
    const int32_t        n_layer = n_layers();
    const int32_t        token   = 3;
    std::vector<int32_t> counts(n_layer, 1);
    std::vector<int32_t> positions(n_layer, 19);
    std::vector<double>  errors(n_layer, -1);

    context c;
    feed(c, random_tokens(20, 94));
    const auto call = [&](const context & of, int32_t n_context = 20, double epsilon = 1e-6) {
        return edgekv_eviction_errors(of.c, n_context, counts.data(), positions.data(), positions.size(), &token, 1, epsilon, errors.data(),
                                      errors.size(), nullptr, nullptr);
    };
    CHECK(call(c, 21) == EDGEKV_E_ARGUMENT);
    CHECK(call(c, 19) == EDGEKV_E_ARGUMENT);
    CHECK(call(c, 20, 0) == EDGEKV_E_ARGUMENT);
    counts[0] = 2;
    CHECK(call(c) == EDGEKV_E_ARGUMENT);
    positions.push_back(19);
    CHECK(call(c) == EDGEKV_E_ARGUMENT); // twice in one layer
    positions = std::vector<int32_t>(n_layer, 19);
    counts[0] = -1;
    CHECK(call(c) == EDGEKV_E_ARGUMENT);
    counts[0] = 0;
    CHECK(call(c) == EDGEKV_E_ARGUMENT); // one too many
    counts[0] = 1;
    CHECK(std::all_of(errors.begin(), errors.end(), [](double e) { return e == -1; }));
    CHECK(c.position() == 20);

    context quantized(256, GGML_TYPE_Q8_0);
    feed(quantized, random_tokens(20, 94));
    CHECK(call(quantized) == EDGEKV_E_UNSUPPORTED);

    // all rows kept: nothing is lost
    counts.assign(n_layer, 20);
    positions.clear();
    for (int32_t l = 0; l < n_layer; ++l) {
        for (int32_t p = 0; p < 20; ++p) {
            positions.push_back(p);
        }
    }
    OK(call(c));
    CHECK(std::all_of(errors.begin(), errors.end(), [](double e) { return e >= 0 && e < 1e-3; }));

    OK(apply(c, random_plan(21, 95)));
    CHECK(call(c) == EDGEKV_E_STATE);
}

void bad_plans_change_nothing() {
    context c;
    feed(c, random_tokens(100, 25));

    std::mt19937 random(26);
    for (int i = 0; i < 1000; ++i) {
        plan p = random_plan(100, 27 + i % 7);
        switch (i % 6) {
            case 0:
                p.counts.pop_back();
                break;
            case 1:
                p.counts[random() % p.counts.size()] += 1 + (int32_t) (random() % 1000);
                break;
            case 2:
                p.positions[random() % p.positions.size()] = 100 + (int32_t) (random() % 100000);
                break;
            case 3:
                p.positions[random() % p.positions.size()] = -1 - (int32_t) (random() % 100000);
                break;
            case 4:
                p.positions.push_back(5);
                break;
            case 5:
                p.counts[random() % p.counts.size()] = -1 - (int32_t) (random() % 10);
                break;
        }
        CHECK(apply(c, p) == EDGEKV_E_PLAN);
        CHECK(std::strlen(edgekv_last_error()) > 0);
    }
    CHECK(c.get(EDGEKV_CACHE_COMPACT) == 0);
    c.step(3);
}

void wrong_calls_are_errors() {
    context    c;
    const plan nothing = make_plan(0, [](int32_t, int32_t, int32_t) { return true; });
    CHECK(apply(c, nothing) == EDGEKV_E_STATE);

    const int32_t bad = -5;
    CHECK(edgekv_decode(c.c, &bad, 1, EDGEKV_LOGITS_LAST, nullptr, nullptr) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_decode(c.c, nullptr, 1, EDGEKV_LOGITS_LAST, nullptr, nullptr) == EDGEKV_E_ARGUMENT);

    const auto many = random_tokens(1100, 30);
    CHECK(edgekv_decode(c.c, many.data(), 1100, EDGEKV_LOGITS_LAST, nullptr, nullptr) == EDGEKV_E_WINDOW);

    CHECK(edgekv_cache_fits(g_model, 1u << 30, GGML_TYPE_F16, GGML_TYPE_F16, true) == EDGEKV_E_MEMORY);
    CHECK(edgekv_cache_fits(g_model, 256, 777, GGML_TYPE_F16, true) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_cache_fits(nullptr, 256, GGML_TYPE_F16, GGML_TYPE_F16, true) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_cache_fits(g_model, 256, GGML_TYPE_Q4_K, GGML_TYPE_F16, true) == EDGEKV_E_UNSUPPORTED);
    OK(edgekv_cache_fits(g_model, 256, GGML_TYPE_F16, GGML_TYPE_Q8_0, true));

    feed(c, random_tokens(50, 31));
    OK(apply(c, random_plan(50, 32)));
    edgekv_scores * scores = nullptr;
    OK(edgekv_scores_create(c.c, 50, EDGEKV_AGGREGATE_MAX, &scores));
    const int32_t token = 3;
    CHECK(edgekv_score(c.c, scores, &token, 1, 0, nullptr, nullptr) == EDGEKV_E_STATE);
    edgekv_scores_free(scores);
    c.step(3);
}

void cancelled_prefill_leaves_nothing() {
    context    c;
    const auto tokens = random_tokens(700, 33);

    const auto stop = [](float share, void *) { return share < 0.5f; };
    CHECK(edgekv_decode(c.c, tokens.data(), 700, EDGEKV_LOGITS_LAST, stop, nullptr) == EDGEKV_E_CANCELLED);
    CHECK(c.position() == 0);

    edgekv_interrupt(c.c);
    CHECK(edgekv_decode(c.c, tokens.data(), 100, EDGEKV_LOGITS_LAST, nullptr, nullptr) == EDGEKV_E_CANCELLED);
    CHECK(c.position() == 0);

    feed(c, tokens);
    CHECK(c.position() == 700);
}

} // namespace

int main(int argc, char ** argv) {
    return run_tests(argc, argv,
                     {
                         { "identity_is_bit_equal", identity_is_bit_equal },
                         { "attention_kernels_agree", attention_kernels_agree },
                         { "plan_over_compact_cache_equals_plan_at_once", plan_over_compact_cache_equals_plan_at_once },
                         { "growing_changes_nothing", growing_changes_nothing },
                         { "bytes_are_rows_and_room", bytes_are_rows_and_room },
                         { "roll_back_gives_the_same_answer_again", roll_back_gives_the_same_answer_again },
                         { "heads_without_rows", heads_without_rows },
                         { "clear_makes_full_again", clear_makes_full_again },
                         { "state_goes_on_where_it_was", state_goes_on_where_it_was },
                         { "scores_are_what_attention_gives", scores_are_what_attention_gives },
                         { "scores_of_ranges_are_renormalised", scores_of_ranges_are_renormalised },
                         { "learned_scores_are_linear_and_change_nothing", learned_scores_are_linear_and_change_nothing },
                         { "learned_scores_follow_the_tokens", learned_scores_follow_the_tokens },
                         { "inputs_give_the_learned_scores", inputs_give_the_learned_scores },
                         { "reading_in_chunks_keeps_what_plans_keep", reading_in_chunks_keeps_what_plans_keep },
                         { "norms_are_positive_and_of_all_positions", norms_are_positive_and_of_all_positions },
                         { "rows_are_what_the_cache_holds", rows_are_what_the_cache_holds },
                         { "quantized_rows_are_near_those_of_f16", quantized_rows_are_near_those_of_f16 },
                         { "forms_and_moments_are_those_of_the_rows", forms_and_moments_are_those_of_the_rows },
                         { "output_norms_are_those_of_the_product", output_norms_are_those_of_the_product },
                         { "query_sums_are_those_before_rope", query_sums_are_those_before_rope },
                         { "rotated_query_sums_keep_their_length", rotated_query_sums_keep_their_length },
                         { "block_attention_is_that_by_hand", block_attention_is_that_by_hand },
                         { "eviction_errors_are_those_by_hand", eviction_errors_are_those_by_hand },
                         { "eviction_errors_of_wrong_rows_are_refused", eviction_errors_of_wrong_rows_are_refused },
                         { "merged_values_are_weighted_means", merged_values_are_weighted_means },
                         { "rerotated_rope_is_that_of_a_k_shift", rerotated_rope_is_that_of_a_k_shift },
                         { "rerotated_rope_is_that_by_hand", rerotated_rope_is_that_by_hand },
                         { "rerotation_without_a_plan_for_rope_is_an_error", rerotation_without_a_plan_for_rope_is_an_error },
                         { "bad_plans_change_nothing", bad_plans_change_nothing },
                         { "wrong_calls_are_errors", wrong_calls_are_errors },
                         { "cancelled_prefill_leaves_nothing", cancelled_prefill_leaves_nothing },
                     });
}
