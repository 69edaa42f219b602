// What EdgeKV keeps about a context, whoever uses it: ids and scores of tokens, the lock, failures, outputs.
#include "testing.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace {

constexpr int32_t UNKNOWN = -1;

// Tokens as a caller of llama.cpp decodes them: positions from first on, of one sequence.
int32_t decode(llama_context * c, const std::vector<int32_t> & tokens, llama_pos first, llama_seq_id seq_id = 0) {
    llama_batch batch = llama_batch_init((int32_t) tokens.size(), 0, 1);
    for (size_t i = 0; i < tokens.size(); ++i) {
        batch.token[i]     = tokens[i];
        batch.pos[i]       = first + (llama_pos) i;
        batch.n_seq_id[i]  = 1;
        batch.seq_id[i][0] = seq_id;
        batch.logits[i]    = i + 1 == tokens.size();
    }
    batch.n_tokens       = (int32_t) tokens.size();
    const int32_t result = llama_decode(c, batch);
    llama_batch_free(batch);
    return result;
}

int32_t decode_embeddings(llama_context * c, int32_t n, llama_pos first) {
    const int32_t n_embd = (int32_t)::n_embd();
    llama_batch   batch  = llama_batch_init(n, n_embd, 1);
    std::mt19937  random(7);
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t e = 0; e < n_embd; ++e) {
            batch.embd[i * n_embd + e] = (float) (random() % 2001) / 1000 - 1;
        }
        batch.pos[i]       = first + i;
        batch.n_seq_id[i]  = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i]    = i + 1 == n;
    }
    batch.n_tokens       = n;
    const int32_t result = llama_decode(c, batch);
    llama_batch_free(batch);
    return result;
}

std::vector<int32_t> ids(const context & c, int32_t first, int32_t n) {
    std::vector<int32_t> result(n, -2);
    OK(edgekv_tokens(c.c, first, n, result.data()));
    return result;
}

std::vector<int32_t> ids(const context & c) {
    return ids(c, 0, c.position());
}

std::vector<int32_t> unknown(size_t n) {
    return std::vector<int32_t>(n, UNKNOWN);
}

template <typename... Lists>
std::vector<int32_t> joined(const std::vector<int32_t> & first, const Lists &... rest) {
    std::vector<int32_t> result = first;
    (result.insert(result.end(), rest.begin(), rest.end()), ...);
    return result;
}

std::string failure(const context & c) {
    return c.get(EDGEKV_CACHE_FAULT) ? edgekv_last_error() : "";
}

// A map whose scores tell layers, heads and tokens apart.
struct score_map {
    explicit score_map(uint32_t seed = 31) {
        std::mt19937                    random(seed);
        std::normal_distribution<float> weight(0.0f, 0.05f);
        std::vector<float>              weights(g_n_heads_kv * (n_embd() + 1));
        std::generate(weights.begin(), weights.end(), [&] { return weight(random); });
        OK(edgekv_score_map_create(g_model, weights.data(), weights.size(), &m));
    }

    ~score_map() { edgekv_score_map_free(m); }

    score_map(const score_map &)             = delete;
    score_map & operator=(const score_map &) = delete;

    edgekv_score_map * m = nullptr;
};

size_t n_heads() {
    return g_n_heads_kv;
}

std::vector<float> learned(const context & c, int32_t first, int32_t n) {
    std::vector<float> scores(n_heads() * n);
    OK(edgekv_learned_scores(c.c, first, n, scores.data(), scores.size()));
    return scores;
}

std::vector<uint8_t> known(const context & c, int32_t first, int32_t n) {
    std::vector<uint8_t> result(n, 7);
    OK(edgekv_learned_known(c.c, first, n, result.data()));
    return result;
}

bool near(const std::vector<float> & a, const std::vector<float> & b, float tolerance = 0.05f) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [&](float x, float y) { return std::fabs(x - y) < tolerance * (1 + std::fabs(x)); });
}

plan every_other(int32_t n) {
    return make_plan(n, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 2 == 0; });
}

std::vector<float> scores_at(const std::vector<float> & all, int32_t n, const std::vector<int32_t> & positions) {
    std::vector<float> result;
    for (size_t h = 0; h < n_heads(); ++h) {
        for (const int32_t p : positions) {
            result.push_back(all[h * n + p]);
        }
    }
    return result;
}

std::vector<int32_t> range(int32_t first, int32_t n) {
    std::vector<int32_t> positions(n);
    for (int32_t i = 0; i < n; ++i) {
        positions[i] = first + i;
    }
    return positions;
}

//
// ids
//

// Batches of llama_decode and edgekv_decode, a roll-back by either, cells that are used again, and a batch of several ubatches.
void ids_follow_the_tokens() {
    llama_context_params params = params_of(1024, GGML_TYPE_F16, 1);
    params.n_batch              = 512;
    params.n_ubatch             = 64;
    const context c(params);
    const auto    tokens = random_tokens(400, 1);
    const auto    others = random_tokens(100, 2);

    CHECK(decode(c.c, part(tokens, 0, 200), 0) == 0);
    CHECK(ids(c) == part(tokens, 0, 200));
    feed(c, part(tokens, 200, 100));
    CHECK(ids(c) == part(tokens, 0, 300));

    CHECK(llama_memory_seq_rm(c.memory(), 0, 150, -1));
    CHECK(ids(c) == part(tokens, 0, 150));
    CHECK(decode(c.c, others, 150) == 0);
    CHECK(ids(c) == joined(part(tokens, 0, 150), others));
    CHECK(ids(c, 140, 20) == joined(part(tokens, 140, 10), part(others, 0, 10)));

    // a hole, whose cells come to hold later tokens
    CHECK(llama_memory_seq_rm(c.memory(), 0, 100, 120));
    CHECK(ids(c) == joined(part(tokens, 0, 100), unknown(20), part(tokens, 120, 30), others));
    CHECK(decode(c.c, part(tokens, 300, 10), 250) == 0);
    CHECK(ids(c, 245, 15) == joined(part(others, 95, 5), part(tokens, 300, 10)));
    CHECK(ids(c, 100, 20) == unknown(20));

    // positions that move take their ids along
    llama_memory_seq_add(c.memory(), 0, 120, -1, -20);
    CHECK(ids(c, 95, 10) == joined(part(tokens, 95, 5), part(tokens, 120, 5)));
    CHECK(decode(c.c, part(tokens, 310, 1), 240) == 0);
    CHECK(ids(c, 239, 2) == part(tokens, 309, 2));

    std::vector<int32_t> one(1);
    CHECK(edgekv_tokens(c.c, 241, 1, one.data()) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_tokens(c.c, -1, 1, one.data()) == EDGEKV_E_ARGUMENT);

    llama_memory_clear(c.memory(), false);
    CHECK(ids(c).empty());
    CHECK(decode(c.c, others, 0) == 0);
    CHECK(ids(c) == others);
}

// A copy of a sequence shares its cells; what needs one sequence refuses two.
void two_sequences_decode_and_are_refused_by_name() {
    llama_context_params params = params_of(1024, GGML_TYPE_F16, 1);
    params.n_seq_max            = 2;
    params.kv_unified           = true;
    const context c(params);
    const auto    tokens = random_tokens(60, 3);

    CHECK(decode(c.c, part(tokens, 0, 40), 0) == 0);
    llama_memory_seq_cp(c.memory(), 0, 1, -1, -1);
    CHECK(c.get(EDGEKV_CACHE_SEQUENCES) == 2);
    CHECK(decode(c.c, part(tokens, 40, 10), 40, 1) == 0);

    std::vector<int32_t> room(50);
    CHECK(edgekv_tokens(c.c, 0, 50, room.data()) == EDGEKV_E_STATE);
    CHECK(std::string(edgekv_last_error()).find("several sequences") != std::string::npos);
    CHECK(apply(c, every_other(40)) == EDGEKV_E_STATE);
    CHECK(edgekv_decode(c.c, tokens.data(), 1, EDGEKV_LOGITS_LAST, nullptr, nullptr) == EDGEKV_E_STATE);
    CHECK(failure(c).empty());

    // the copy goes on alone
    CHECK(llama_memory_seq_rm(c.memory(), 0, -1, -1));
    CHECK(c.get(EDGEKV_CACHE_SEQUENCES) == 1);
    CHECK(ids(c) == part(tokens, 0, 50));
    OK(apply(c, every_other(50)));
    c.step(tokens[50]);
    CHECK(ids(c) == part(tokens, 0, 51));

    // beside the compact one another sequence may live and go, but not outlive it
    CHECK(decode(c.c, part(tokens, 0, 20), 0, 0) == 0);
    CHECK(c.get(EDGEKV_CACHE_SEQUENCES) == 2);
    CHECK(llama_memory_seq_rm(c.memory(), 0, -1, -1));
    CHECK(c.position() == 51);
    CHECK(decode(c.c, part(tokens, 0, 300 > tokens.size() ? 30 : 300), 0, 0) == 0);
    CHECK(!llama_memory_seq_rm(c.memory(), 1, -1, -1));
    CHECK(!failure(c).empty());
    OK(edgekv_clear(c.c));
    CHECK(c.get(EDGEKV_CACHE_SEQUENCES) == 0);
}

// An abort in the middle of a batch of several ubatches: what was computed stays and is known, the rest is gone.
void aborted_batches_leave_no_ids() {
    struct counter {
        int  calls = 0;
        int  limit = 0;
        bool stopped() { return ++calls > limit && limit > 0; }
    } count;

    llama_context_params params = params_of(1024, GGML_TYPE_F16, 1);
    params.n_batch              = 512;
    params.n_ubatch             = 64;
    params.abort_callback       = [](void * user) { return ((counter *) user)->stopped(); };
    params.abort_callback_data  = &count;
    const context c(params);
    const auto    tokens = random_tokens(256, 4);

    CHECK(decode(c.c, tokens, 0) == 0);
    const int calls = count.calls;
    CHECK(calls > 0); // the callback that the context was made with is asked
    llama_memory_clear(c.memory(), false);

    CHECK(decode(c.c, part(random_tokens(256, 5), 0, 256), 0) == 0); // other ids in the same cells
    llama_memory_clear(c.memory(), false);

    count = { 0, calls / 2 };
    CHECK(decode(c.c, tokens, 0) == 2);
    count.limit     = 0;
    const int32_t n = c.position();
    CHECK(n > 0 && n < 256 && n % 64 == 0);
    CHECK(ids(c) == part(tokens, 0, n));

    // one that is set later is asked too, and so is edgekv_interrupt
    counter later = { 0, 1 };
    llama_set_abort_callback(
        c.c, [](void * user) { return ((counter *) user)->stopped(); }, &later);
    CHECK(decode(c.c, part(tokens, n, 64), n) == 2);
    CHECK(later.calls > 1);
    CHECK(ids(c) == part(tokens, 0, n));
    llama_set_abort_callback(c.c, nullptr, nullptr);

    edgekv_interrupt(c.c);
    CHECK(decode(c.c, part(tokens, n, 64), n) == 2);
    CHECK(decode(c.c, part(tokens, n, 64), n) == 0); // it stopped one call
    edgekv_interrupt(c.c);
    edgekv_interrupt_reset(c.c);
    CHECK(decode(c.c, part(tokens, n, 10), n + 64) == 0);
}

// The same with learned scores, of a full cache and of a compact one: what stayed has its own scores, what went has none, and going on gives those of a batch that was not aborted.
void aborted_batches_keep_the_scores_of_what_stayed() {
    const score_map map;
    const auto      tokens = random_tokens(256, 27);
    const auto      before = random_tokens(40, 28);

    llama_context_params params = params_of(1024, GGML_TYPE_F16, 1);
    params.n_batch              = 512;
    params.n_ubatch             = 32;
    for (const bool compact : { false, true }) {
        const context whole(params);
        const context parts(params);
        for (const context * c : { &whole, &parts }) {
            OK(edgekv_score_map_set(c->c, map.m));
            feed(*c, before);
            if (compact) {
                OK(apply(*c, every_other(40), 16));
            }
        }
        CHECK(decode(whole.c, tokens, 40) == 0);

        int32_t done = 0;
        for (int limit = 40; done < 256; limit += 400) {
            struct counter {
                int calls = 0;
                int limit = 0;
            } count = { 0, limit };

            llama_set_abort_callback(
                parts.c,
                [](void * user) {
                    auto * c = (counter *) user;
                    return ++c->calls > c->limit;
                },
                &count);
            const int32_t status = decode(parts.c, part(tokens, done, 256 - done), 40 + done);
            const int32_t n      = parts.position() - 40;
            CHECK(status == 0 || status == 2);
            CHECK((status == 0) == (n == 256) && n >= done && n % 32 == 0);
            CHECK(known(parts, 0, 40 + n) == std::vector<uint8_t>(40 + n, 1));
            CHECK(ids(parts) == joined(before, part(tokens, 0, n)));
            CHECK(near(scores_at(learned(whole, 0, 296), 296, range(0, 40 + n)), learned(parts, 0, 40 + n)));
            done = n;
        }
        llama_set_abort_callback(parts.c, nullptr, nullptr);
        CHECK(kl(whole.logits(), parts.logits()) < 1e-6);
    }
}

void late_attach_knows_what_comes_after_it() {
    const context c(params_of(1024, GGML_TYPE_F16, 1), false);
    const auto    tokens = random_tokens(50, 6);
    CHECK(!edgekv_attached(c.c));
    CHECK(decode(c.c, part(tokens, 0, 30), 0) == 0);

    std::vector<int32_t> room(30);
    CHECK(edgekv_tokens(c.c, 0, 30, room.data()) == EDGEKV_E_STATE);
    CHECK(edgekv_lock(c.c, 0) == EDGEKV_E_STATE);
    edgekv_interrupt(c.c);
    edgekv_unlock(c.c);

    OK(edgekv_attach(c.c));
    CHECK(edgekv_attached(c.c));
    CHECK(ids(c) == unknown(30));
    CHECK(decode(c.c, part(tokens, 30, 20), 30) == 0);
    CHECK(ids(c) == joined(unknown(30), part(tokens, 30, 20)));

    OK(edgekv_attach(c.c)); // finds the same
    CHECK(ids(c) == joined(unknown(30), part(tokens, 30, 20)));

    OK(edgekv_tokens_set(c.c, 0, 30, tokens.data()));
    CHECK(ids(c) == tokens);
    CHECK(edgekv_tokens_set(c.c, 40, 20, tokens.data()) == EDGEKV_E_ARGUMENT);
    const int32_t wrong = -3;
    CHECK(edgekv_tokens_set(c.c, 0, 1, &wrong) == EDGEKV_E_ARGUMENT);
    OK(apply(c, every_other(50)));
    CHECK(ids(c) == tokens);
}

void contexts_that_cannot_be_compact_are_refused() {
    CHECK(edgekv_attach(nullptr) == EDGEKV_E_ARGUMENT);
    CHECK(!edgekv_attached(nullptr));

    llama_context_params params = params_of(1024, GGML_TYPE_F16, 1);
    params.n_seq_max            = 2; // two streams
    const context streams(params, false);
    CHECK(edgekv_attach(streams.c) == EDGEKV_E_UNSUPPORTED);

    params                 = params_of(1024, GGML_TYPE_F16, 1);
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    const context plain(params, false);
    CHECK(edgekv_attach(plain.c) == EDGEKV_E_UNSUPPORTED);
    CHECK(std::string(edgekv_last_error()).find("flash attention") != std::string::npos);
    CHECK(!edgekv_attached(plain.c));
    CHECK(decode(plain.c, random_tokens(5, 7), 0) == 0);
}

//
// learned scores
//

// Whoever decodes, tokens or embeddings, in one ubatch or several.
void learned_scores_come_with_every_batch() {
    const score_map map;
    const auto      tokens = random_tokens(150, 10);

    llama_context_params params = params_of(1024, GGML_TYPE_F16, 1);
    params.n_batch              = 512;
    params.n_ubatch             = 32;
    const context parts(params);
    const context once;
    OK(edgekv_score_map_set(parts.c, map.m));
    OK(edgekv_score_map_set(once.c, map.m));
    CHECK(once.get(EDGEKV_CACHE_LEARNS) == 1);
    CHECK(decode(parts.c, tokens, 0) == 0);
    feed(once, tokens);
    CHECK(near(learned(once, 0, 150), learned(parts, 0, 150)));

    CHECK(decode_embeddings(parts.c, 20, 150) == 0);
    CHECK(ids(parts, 145, 25) == joined(part(tokens, 145, 5), unknown(20)));
    CHECK(known(parts, 145, 25) == std::vector<uint8_t>(25, 1));
    CHECK(decode(parts.c, part(tokens, 0, 10), 170) == 0);
    CHECK(near(learned(once, 0, 150), learned(parts, 0, 150)));
    CHECK(known(parts, 0, 180) == std::vector<uint8_t>(180, 1));
}

// A map that comes later scores what comes later; another map's scores are not mixed with the first one's.
void maps_may_come_later() {
    const score_map first(32);
    const score_map second(33);
    const auto      tokens = random_tokens(60, 11);

    context c;
    feed(c, part(tokens, 0, 20));
    OK(edgekv_score_map_set(c.c, first.m));
    feed(c, part(tokens, 20, 20));
    CHECK(known(c, 0, 40) == std::vector<uint8_t>({ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }));
    std::vector<float> scores(n_heads() * 40);
    CHECK(edgekv_learned_scores(c.c, 0, 40, scores.data(), scores.size()) == EDGEKV_E_STATE);
    CHECK(std::string(edgekv_last_error()).find("position 0") != std::string::npos);

    context whole;
    OK(edgekv_score_map_set(whole.c, first.m));
    feed(whole, part(tokens, 0, 40));
    CHECK(near(scores_at(learned(whole, 0, 40), 40, range(20, 20)), learned(c, 20, 20)));

    // given back to positions that were read without
    const auto given = scores_at(learned(whole, 0, 40), 40, range(0, 20));
    OK(edgekv_learned_set(c.c, 0, 20, std::vector<uint8_t>(20, 1).data(), given.data(), given.size()));
    CHECK(learned(c, 0, 20) == given);
    std::vector<uint8_t> some(20, 1);
    some[3] = 0;
    OK(edgekv_learned_set(c.c, 0, 20, some.data(), given.data(), given.size()));
    CHECK(known(c, 0, 20) == some);
    CHECK(edgekv_learned_set(c.c, 0, 20, some.data(), given.data(), given.size() - 1) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_learned_set(c.c, 30, 20, some.data(), given.data(), given.size()) == EDGEKV_E_ARGUMENT);

    OK(edgekv_score_map_set(c.c, first.m)); // the same: nothing changes
    CHECK(known(c, 20, 20) == std::vector<uint8_t>(20, 1));
    OK(edgekv_score_map_set(c.c, second.m));
    CHECK(known(c, 0, 40) == std::vector<uint8_t>(40, 0));
    feed(c, part(tokens, 40, 20));
    CHECK(known(c, 40, 20) == std::vector<uint8_t>(20, 1));
    OK(edgekv_score_map_set(c.c, nullptr));
    CHECK(c.get(EDGEKV_CACHE_LEARNS) == 0);
    c.step(3);
    CHECK(known(c, 58, 3) == std::vector<uint8_t>({ 1, 1, 0 }));
}

// A chat that grows and shrinks: ids and scores of all that was ever read stay known over every plan, and those of tokens that come are those that a full cache gives
// where the rows are the same.
void a_chat_grows_and_shrinks_again_and_again() {
    const score_map map;
    const auto      tokens = random_tokens(400, 12);
    const auto      all    = [](int32_t, int32_t, int32_t) { return true; };

    context chat;
    context full;
    OK(edgekv_score_map_set(chat.c, map.m));
    OK(edgekv_score_map_set(full.c, map.m));

    // every row kept: the numbers of a context that was never compact
    for (int32_t read = 0; read < 200; read += 50) {
        feed(chat, part(tokens, read, 50));
        feed(full, part(tokens, read, 50));
        OK(apply(chat, make_plan(read + 50, all), 16)); // so that it has to grow
        CHECK(ids(chat) == part(tokens, 0, read + 50));
        CHECK(near(learned(full, 0, read + 50), learned(chat, 0, read + 50)));
    }

    // rows go, their tokens' scores stay
    const auto before = learned(chat, 0, 200);
    OK(apply(chat, every_other(200)));
    CHECK(learned(chat, 0, 200) == before);
    CHECK(ids(chat) == part(tokens, 0, 200));

    feed(chat, part(tokens, 200, 100));
    OK(edgekv_rollback(chat.c, 280));
    feed(chat, part(tokens, 280, 100));
    const auto grown = learned(chat, 0, 380);
    CHECK(ids(chat) == part(tokens, 0, 380));
    CHECK(scores_at(grown, 380, range(0, 200)) == before);

    const plan third = make_plan(380, [](int32_t l, int32_t h, int32_t p) { return p < 200 ? (p + l + h) % 4 == 0 : p % 3 == 0; });
    OK(apply(chat, third));
    CHECK(learned(chat, 0, 380) == grown);
    CHECK(ids(chat) == part(tokens, 0, 380));
    chat.step(tokens[380]);
    CHECK(ids(chat, 375, 6) == part(tokens, 375, 6));
    CHECK(scores_at(learned(chat, 0, 381), 381, range(0, 380)) == grown);

    // the next tokens see what a context sees that was made compact at once
    context at_once;
    OK(edgekv_score_map_set(at_once.c, map.m));
    feed(at_once, part(tokens, 0, 100));
    OK(apply(at_once, make_plan(100, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 4 == 0; })));
    context twice;
    OK(edgekv_score_map_set(twice.c, map.m));
    feed(twice, part(tokens, 0, 100));
    OK(apply(twice, every_other(100)));
    OK(apply(twice, make_plan(100, [](int32_t l, int32_t h, int32_t p) { return (p + l + h) % 4 == 0; })));
    feed(at_once, part(tokens, 100, 40));
    feed(twice, part(tokens, 100, 40));
    CHECK(learned(at_once, 0, 140) == learned(twice, 0, 140));
    CHECK(at_once.logits() == twice.logits());

    // empty again: nothing is known, nothing is left over
    OK(edgekv_clear(chat.c));
    feed(chat, part(tokens, 0, 50));
    CHECK(near(scores_at(before, 200, range(0, 50)), learned(chat, 0, 50)));
}

// Closing positions up: each kept row's score goes with it, and the rows of a position are of different tokens.
void rerotated_rows_keep_their_scores() {
    const score_map map;
    const auto      tokens = random_tokens(120, 13);

    context c;
    feed(c, part(tokens, 0, 10));
    OK(edgekv_clear(c.c));
    OK(edgekv_score_map_set(c.c, map.m));
    feed(c, part(tokens, 0, 100));
    const auto before = learned(c, 0, 100);
    const plan p      = make_plan(100, [](int32_t l, int32_t h, int32_t p) { return (p + l + 2 * h) % 5 == 1; });
    OK(apply(c, p));
    OK(edgekv_rerotate(c.c));

    CHECK(ids(c) == unknown(20));
    const auto after = learned(c, 0, 20);
    for (size_t h = 0; h < n_heads(); ++h) {
        for (size_t i = 0; i < 20; ++i) {
            CHECK(after[h * 20 + i] == before[h * 100 + p.positions[h * 20 + i]]);
        }
    }
    feed(c, part(tokens, 100, 20));
    CHECK(ids(c) == joined(unknown(20), part(tokens, 100, 20)));
    CHECK(known(c, 0, 40) == std::vector<uint8_t>(40, 1));

    // and again, over rows whose scores are their own
    OK(apply(c, make_plan(40, [](int32_t, int32_t, int32_t p) { return p % 2 == 0; })));
    OK(edgekv_rerotate(c.c));
    CHECK(scores_at(learned(c, 0, 20), 20, range(0, 10)) == [&] {
        std::vector<int32_t> even;
        for (int32_t i = 0; i < 20; i += 2) {
            even.push_back(i);
        }
        return scores_at(after, 20, even);
    }());
}

//
// batches of several ubatches
//

void taps_collect_all_ubatches_of_a_batch() {
    const auto   tokens = random_tokens(96, 14);
    const size_t n_embd = ::n_embd();

    llama_context_params params = params_of(512, GGML_TYPE_F32, 1);
    params.n_batch              = 128;
    params.n_ubatch             = 32;
    const context parts(params);
    const context once(params_of(512, GGML_TYPE_F32, 1));
    for (const context * c : { &parts, &once }) {
        OK(edgekv_inputs_keep(c->c, true));
        OK(edgekv_queries_keep(c->c, true, 5));
        OK(edgekv_blocks_keep(c->c, 16));
        CHECK(decode(c->c, tokens, 0) == 0);
        CHECK(edgekv_queries_count(c->c) == 91);
    }
    for (int32_t l = 0; l < n_layers(); ++l) {
        const size_t        n_head = g_layers[l].n_head;
        const size_t        d      = g_layers[l].d_k;
        std::vector<float>  x[2];
        std::vector<float>  blocks[2];
        std::vector<double> q[2];
        for (const int i : { 0, 1 }) {
            llama_context * c = i ? parts.c : once.c;
            x[i].resize(96 * n_embd);
            blocks[i].resize(96 * n_head);
            q[i].resize(n_head * d);
            OK(edgekv_inputs(c, l, x[i].data(), x[i].size()));
            OK(edgekv_blocks(c, l, blocks[i].data(), blocks[i].size()));
            OK(edgekv_queries(c, EDGEKV_QUERIES_Q, l, q[i].data(), q[i].size()));
        }
        CHECK(near(x[0], x[1], 1e-2f));
        CHECK(near(blocks[0], blocks[1], 3e-2f)); // softmax without the model's scale makes last bits larger
        CHECK(near({ q[0].begin(), q[0].end() }, { q[1].begin(), q[1].end() }, 5e-2f));
    }
}

//
// lock
//

// While one thread decodes, another one waits or is told that the context is busy.
void the_lock_is_held_while_a_context_decodes() {
    const context     c(params_of(2048, GGML_TYPE_F16, 1));
    std::atomic<bool> inside{ false };
    std::atomic<bool> leave{ false };

    struct flags {
        std::atomic<bool> * inside;
        std::atomic<bool> * leave;
    } both = { &inside, &leave };

    llama_set_abort_callback(
        c.c,
        [](void * user) {
            auto * f   = (flags *) user;
            *f->inside = true;
            while (!*f->leave) {
                std::this_thread::yield();
            }
            return false;
        },
        &both);
    std::thread decoding([&] { decode(c.c, random_tokens(64, 15), 0); });
    while (!inside) {
        std::this_thread::yield();
    }

    CHECK(edgekv_lock(c.c, 0) == EDGEKV_E_BUSY);
    CHECK(edgekv_lock(c.c, 20) == EDGEKV_E_BUSY);

    std::atomic<int>         done{ 0 };
    std::vector<std::thread> waiting;
    for (const auto & call : std::vector<std::function<void()>>{
             [&] {
                 OK(edgekv_lock(c.c, -1));
                 edgekv_unlock(c.c);
             },
             [&] { CHECK(c.position() == 64); },
             [&] { CHECK(llama_memory_seq_pos_max(c.memory(), 0) == 63); },
             [&] { CHECK(llama_state_get_size(c.c) > 0); },
             [&] { llama_synchronize(c.c); },
         }) {
        waiting.emplace_back([&done, call] {
            call();
            ++done;
        });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(done == 0);
    leave = true;
    decoding.join();
    for (auto & thread : waiting) {
        thread.join();
    }
    CHECK(done == 5);

    // several times by one thread, and by no other until it lets go
    llama_set_abort_callback(c.c, nullptr, nullptr);
    OK(edgekv_lock(c.c, 0));
    OK(edgekv_lock(c.c, 0));
    c.step(3);
    int32_t other = EDGEKV_OK;
    std::thread([&] { other = edgekv_lock(c.c, 10); }).join();
    CHECK(other == EDGEKV_E_BUSY);
    edgekv_unlock(c.c);
    edgekv_unlock(c.c);
    std::thread([&] {
        other = edgekv_lock(c.c, 0);
        edgekv_unlock(c.c);
    }).join();
    CHECK(other == EDGEKV_OK);

    // a thread that works for the holder takes none
    OK(edgekv_lock(c.c, 0));
    int64_t position = -1;
    std::thread([&] {
        edgekv_lock_guest(c.c, true);
        position = c.position();
        other    = edgekv_lock(c.c, 0);
        edgekv_unlock(c.c);
        edgekv_lock_guest(c.c, false);
        if (other == EDGEKV_OK) {
            other = edgekv_lock(c.c, 0);
        }
    }).join();
    CHECK(position == 65);
    CHECK(other == EDGEKV_E_BUSY); // a guest no more
    edgekv_unlock(c.c);
}

void freeing_waits_for_the_lock() {
    auto *            c = llama_init_from_model(g_model, params_of(512, GGML_TYPE_F16, 1));
    std::atomic<bool> held{ false };
    std::atomic<bool> freed{ false };
    OK(edgekv_attach(c));
    std::thread holder([&] {
        OK(edgekv_lock(c, -1));
        held = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        CHECK(!freed);
        edgekv_unlock(c);
    });
    while (!held) {
        std::this_thread::yield();
    }
    llama_free(c);
    freed = true;
    holder.join();

    // right after it was attached, and failed
    c = llama_init_from_model(g_model, params_of(512, GGML_TYPE_F16, 1));
    OK(edgekv_attach(c));
    llama_free(c);
    c = llama_init_from_model(g_model, params_of(512, GGML_TYPE_F16, 1));
    OK(edgekv_attach(c));
    const char damaged[16] = {};
    CHECK(llama_state_set_data(c, (const uint8_t *) damaged, sizeof(damaged)) == 0);
    llama_free(c);
    llama_free(nullptr);
}

// Of calls that wait for the lock of a context that is freed meanwhile some come before that; the others say so.
void calls_that_wait_learn_of_a_contexts_end() {
    for (int round = 0; round < 20; ++round) {
        auto * c = llama_init_from_model(g_model, params_of(256, GGML_TYPE_F16, 1));
        OK(edgekv_attach(c));
        OK(edgekv_lock(c, -1));

        std::atomic<int>         begun{ 0 };
        std::atomic<int>         wrong{ 0 };
        std::vector<std::thread> waiting;
        for (const auto & call : std::vector<std::function<int32_t()>>{
                 [&] {
                     int64_t value = 0;
                     return edgekv_cache_get(c, EDGEKV_CACHE_POSITION, &value);
                 },
                 [&] {
                     const int32_t token = 3;
                     return edgekv_decode(c, &token, 1, EDGEKV_LOGITS_LAST, nullptr, nullptr);
                 },
                 [&] {
                     const int32_t status = edgekv_lock(c, -1);
                     if (status == EDGEKV_OK) {
                         edgekv_unlock(c);
                     }
                     return status;
                 },
                 [&] { return edgekv_clear(c); },
             }) {
            waiting.emplace_back([&, call] {
                ++begun;
                const int32_t status = call();
                wrong += status != EDGEKV_OK && (status != EDGEKV_E_STATE || !std::strstr(edgekv_last_error(), "freed"));
            });
        }
        std::thread freeing([&] {
            while (begun < 4) {
                std::this_thread::yield();
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(10)); // a call that has begun is to wait by then
            ++begun;
            llama_free(c);
        });
        while (begun < 5) {
            std::this_thread::yield();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        edgekv_unlock(c);
        for (auto & thread : waiting) {
            thread.join();
        }
        freeing.join();
        CHECK(wrong == 0);
    }
}

// Threads that decode, read, roll back and interrupt at will, in two contexts: every call ends as one of its own kind can, and both caches are whole afterwards.
void threads_share_contexts() {
    const auto      tokens = random_tokens(8, 31);
    const score_map map;
    const context   first;
    const context   second;
    for (const context * c : { &first, &second }) {
        OK(edgekv_score_map_set(c->c, map.m));
        feed(*c, random_tokens(50, 30));
        OK(apply(*c, every_other(50), 16));
    }
    const auto logits = first.step(tokens[0]);
    OK(edgekv_rollback(first.c, 50));

    std::atomic<bool>        stop{ false };
    std::atomic<int>         wrong{ 0 };
    std::vector<std::thread> threads;
    for (const context * c : { &first, &second }) {
        const auto repeat = [&](const std::function<bool()> & call) {
            threads.emplace_back([&stop, &wrong, call] {
                while (!stop) {
                    wrong += !call();
                }
            });
        };
        repeat([c, &tokens] {
            const int32_t status = edgekv_decode(c->c, tokens.data(), 8, EDGEKV_LOGITS_LAST, nullptr, nullptr);
            return status == EDGEKV_OK || status == EDGEKV_E_CANCELLED;
        });
        repeat([c, &tokens] {
            OK(edgekv_lock(c->c, -1));
            const int32_t status = decode(c->c, part(tokens, 0, 3), c->position());
            edgekv_unlock(c->c);
            return status == 0 || status == 2;
        });
        repeat([c] {
            const int32_t status = edgekv_rollback(c->c, 50);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            return status == EDGEKV_OK;
        });
        repeat([c] {
            std::vector<int32_t> room(50);
            return edgekv_tokens(c->c, 0, 50, room.data()) == EDGEKV_OK && llama_memory_seq_pos_max(c->memory(), 0) >= 49;
        });
        repeat([c] {
            edgekv_interrupt(c->c);
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            return true;
        });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    stop = true;
    for (auto & thread : threads) {
        thread.join();
    }
    CHECK(wrong == 0);
    for (const context * c : { &first, &second }) {
        edgekv_interrupt_reset(c->c);
        CHECK(failure(*c).empty());
        OK(edgekv_rollback(c->c, 50));
        CHECK(ids(*c) == random_tokens(50, 30));
        CHECK(kl(logits, c->step(tokens[0])) < 1e-6);
        CHECK(known(*c, 0, 51) == std::vector<uint8_t>(51, 1));
    }
}

//
// failures
//

void failures_that_a_caller_noticed_count_too() {
    CHECK(edgekv_fail(nullptr, "why") == EDGEKV_E_ARGUMENT);
    const context stock(params_of(256, GGML_TYPE_F16, 1), false);
    CHECK(edgekv_fail(stock.c, "why") == EDGEKV_E_STATE);

    context    c;
    const auto tokens = random_tokens(20, 29);
    feed(c, tokens);
    CHECK(edgekv_fail(c.c, nullptr) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_fail(c.c, "") == EDGEKV_E_ARGUMENT);
    CHECK(failure(c).empty());

    const int64_t changes = c.get(EDGEKV_CACHE_CHANGES);
    OK(edgekv_fail(c.c, "values went to 100%s the wrong rows"));
    OK(edgekv_fail(c.c, "something else"));
    CHECK(failure(c).find("values went to 100%s the wrong rows") != std::string::npos);
    CHECK(failure(c).find("something else") == std::string::npos);
    CHECK(c.get(EDGEKV_CACHE_CHANGES) != changes);

    CHECK(decode(c.c, { 3 }, 20) == -3);
    CHECK(edgekv_rollback(c.c, 0) == EDGEKV_E_STATE);
    CHECK(std::string(edgekv_last_error()).find("the wrong rows") != std::string::npos);
    CHECK(c.position() == 20);

    OK(edgekv_clear(c.c));
    CHECK(failure(c).empty());
    feed(c, tokens);
}

void refused_removals_make_the_context_fail() {
    context    c;
    const auto tokens = random_tokens(120, 16);
    feed(c, part(tokens, 0, 100));
    OK(apply(c, every_other(100)));
    c.step(tokens[100]);
    const int64_t changes = c.get(EDGEKV_CACHE_CHANGES);

    CHECK(!llama_memory_seq_rm(c.memory(), 0, 50, -1));
    CHECK(c.position() == 101); // nothing was removed
    CHECK(c.get(EDGEKV_CACHE_CHANGES) != changes);
    CHECK(failure(c).find("kept by compaction") != std::string::npos);

    CHECK(decode(c.c, part(tokens, 101, 1), 101) == -3);
    std::vector<int32_t> room(10);
    CHECK(edgekv_tokens(c.c, 0, 10, room.data()) == EDGEKV_E_STATE);
    CHECK(edgekv_decode(c.c, tokens.data(), 1, EDGEKV_LOGITS_LAST, nullptr, nullptr) == EDGEKV_E_STATE);
    CHECK(std::string(edgekv_last_error()).find("kept by compaction") != std::string::npos);
    CHECK(c.position() == 101);

    llama_memory_clear(c.memory(), false);
    CHECK(failure(c).empty());
    feed(c, tokens);
    CHECK(ids(c) == tokens);

    // tokens behind the kept ones go without a word
    OK(apply(c, every_other(120)));
    c.step(1);
    CHECK(llama_memory_seq_rm(c.memory(), 0, 120, -1));
    CHECK(failure(c).empty());
    CHECK(llama_memory_seq_rm(c.memory(), 0, -1, -1)); // and all of them
    CHECK(failure(c).empty());
    CHECK(c.position() == 0 && c.get(EDGEKV_CACHE_COMPACT) == 0);
}

void calls_that_a_compact_cache_ignores_make_it_fail() {
    const auto tokens = random_tokens(40, 17);
    for (const auto & call : std::vector<std::function<void(llama_memory_t)>>{
             [](llama_memory_t m) { llama_memory_seq_cp(m, 0, 1, -1, -1); },
             [](llama_memory_t m) { llama_memory_seq_add(m, 0, 0, -1, 5); },
             [](llama_memory_t m) { llama_memory_seq_div(m, 0, 0, -1, 2); },
             [](llama_memory_t m) { llama_memory_seq_rm(m, 9999, -1, -1); },
         }) {
        context c;
        feed(c, tokens);
        OK(apply(c, every_other(40)));
        call(c.memory());
        CHECK(!failure(c).empty());
        CHECK(decode(c.c, part(tokens, 0, 1), 40) == -3);
        OK(edgekv_clear(c.c));
        CHECK(failure(c).empty());
        c.step(1);
    }

    context full; // calls that would end the process
    feed(full, tokens);
    llama_memory_seq_div(full.memory(), 0, 0, -1, 0);
    CHECK(!failure(full).empty());
    OK(edgekv_clear(full.c));
    llama_memory_seq_cp(full.memory(), 0, 100000, -1, -1);
    CHECK(!failure(full).empty());
    OK(edgekv_clear(full.c));
    llama_memory_seq_keep(full.memory(), -5);
    CHECK(!failure(full).empty());
    CHECK(llama_memory_seq_pos_max(full.memory(), 100000) == -1);
}

void batches_that_cannot_be_are_errors() {
    context    c;
    const auto tokens = random_tokens(300, 18);
    CHECK(decode(c.c, tokens, 0) == -1); // n_batch is 256
    llama_batch none = {};
    CHECK(llama_decode(c.c, none) == -1);
    none.n_tokens = 3;
    CHECK(llama_decode(c.c, none) == -1);
    CHECK(llama_encode(c.c, none) == -1);
    CHECK(decode(c.c, part(tokens, 0, 5), -7) == -1);
    CHECK(decode(c.c, { -1 }, 0) == -1);
    CHECK(failure(c).empty());
    CHECK(decode(c.c, part(tokens, 0, 5), 0) == 0);
}

// A state of a full cache in bytes and from a file, and one that cannot be read.
void states_are_read_whole_or_fail() {
    const score_map map;
    const auto      tokens = random_tokens(60, 19);

    context a;
    OK(edgekv_score_map_set(a.c, map.m));
    feed(a, tokens);
    std::vector<uint8_t> state(llama_state_get_size(a.c));
    CHECK(llama_state_get_data(a.c, state.data(), state.size()) == state.size());

    // byte for byte as without an extension
    const context stock(params_of(1024, GGML_TYPE_F16, 1), false);
    CHECK(decode(stock.c, tokens, 0) == 0);
    std::vector<uint8_t> plain(llama_state_get_size(stock.c));
    CHECK(llama_state_get_data(stock.c, plain.data(), plain.size()) == plain.size());
    CHECK(state == plain);

    context b;
    OK(edgekv_score_map_set(b.c, map.m));
    feed(b, random_tokens(80, 20));
    CHECK(llama_state_set_data(b.c, state.data(), state.size()) == state.size());
    CHECK(b.position() == 60);
    CHECK(ids(b) == unknown(60));
    CHECK(known(b, 0, 60) == std::vector<uint8_t>(60, 0));
    b.step(5);
    CHECK(ids(b, 59, 2) == std::vector<int32_t>({ UNKNOWN, 5 }));
    CHECK(known(b, 59, 2) == std::vector<uint8_t>({ 0, 1 }));

    // over a compact cache
    OK(apply(b, every_other(61)));
    CHECK(llama_state_set_data(b.c, state.data(), state.size()) == state.size());
    CHECK(b.get(EDGEKV_CACHE_COMPACT) == 0 && b.position() == 60);
    CHECK(ids(b) == unknown(60));
    CHECK(kl(a.step(9), b.step(9)) < 1e-6);

    // one sequence of it
    std::vector<uint8_t> one(llama_state_seq_get_size(a.c, 0));
    CHECK(llama_state_seq_get_data(a.c, one.data(), one.size(), 0) == one.size());
    OK(apply(b, every_other(61)));
    CHECK(llama_state_seq_set_data(b.c, one.data(), one.size(), 0) > 0);
    CHECK(b.position() == 61);
    CHECK(ids(b) == unknown(61));

    // damaged: bytes that say more cells than there are, positions that cannot be, and cut short everywhere in the cells' list
    for (size_t i = 0; i < 400; ++i) {
        auto bad = state;
        if (i % 2) {
            bad.resize(20 + i);
        } else {
            bad[std::min(bad.size() - 1, 8 + i)] ^= 0xff;
        }
        const size_t read = llama_state_set_data(b.c, bad.data(), bad.size());
        CHECK((read == 0) == !failure(b).empty());
        if (read == 0) {
            CHECK(failure(b).find("state could not be loaded") != std::string::npos);
            CHECK(decode(b.c, { 3 }, 0) == -3);
        }
        OK(edgekv_clear(b.c));
        b.step(3);
        OK(edgekv_clear(b.c));
    }
    for (const char * path : { "/no/such/file.state", g_temp.c_str() }) {
        size_t n = 0;
        CHECK(!llama_state_load_file(b.c, path, nullptr, 0, &n));
        CHECK(!failure(b).empty());
        OK(edgekv_clear(b.c));
    }

    // a compact one where nothing is attached: refused, and an error in the log
    OK(edgekv_clear(a.c));
    feed(a, tokens);
    OK(apply(a, every_other(60)));
    std::vector<uint8_t> compact(llama_state_get_size(a.c));
    CHECK(llama_state_get_data(a.c, compact.data(), compact.size()) == compact.size());
    edgekv_log_error_clear();
    CHECK(llama_state_set_data(stock.c, compact.data(), compact.size()) == 0);
    CHECK(std::string(edgekv_log_error()).find("compact") != std::string::npos);
    CHECK(llama_state_set_data(b.c, compact.data(), compact.size()) == compact.size());
    CHECK(b.get(EDGEKV_CACHE_ROWS) == a.get(EDGEKV_CACHE_ROWS));
    CHECK(a.step(4) == b.step(4));
}

//
// outputs
//

// Logits that were not read yet are there after a pass over other tokens, also where the pass needs a larger buffer.
void outputs_survive_other_batches() {
    const auto tokens = random_tokens(50, 21);
    const auto others = random_tokens(200, 22);

    context c;
    OK(edgekv_decode(c.c, tokens.data(), 50, EDGEKV_LOGITS_ALL, nullptr, nullptr));
    std::vector<std::vector<float>> before;
    for (int32_t i = 0; i < 50; ++i) {
        before.push_back(c.logits(i));
    }
    CHECK(edgekv_outputs_restore(c.c) == EDGEKV_E_STATE);
    OK(edgekv_outputs_keep(c.c));

    OK(edgekv_decode(c.c, others.data(), 200, EDGEKV_LOGITS_ALL, nullptr, nullptr));
    CHECK(c.logits(3) != before[3]);
    edgekv_scores * scores = nullptr;
    OK(edgekv_scores_create(c.c, 50, EDGEKV_AGGREGATE_MAX, &scores));
    OK(edgekv_score(c.c, scores, others.data(), 10, 0, nullptr, nullptr));
    edgekv_scores_free(scores);
    OK(edgekv_rollback(c.c, 50));

    OK(edgekv_outputs_restore(c.c));
    for (int32_t i = 0; i < 50; ++i) {
        CHECK(c.logits(i) == before[i]);
    }
    CHECK(c.logits() == before[49]);
    CHECK(edgekv_outputs_restore(c.c) == EDGEKV_E_STATE);
    CHECK(c.step(7) != before[49]);

    // compressed between decoding and sampling
    OK(edgekv_outputs_keep(c.c));
    const auto last = c.logits();
    OK(apply(c, every_other(51)));
    OK(edgekv_outputs_restore(c.c));
    CHECK(c.logits() == last);

    // nothing was computed yet
    context empty;
    OK(edgekv_outputs_keep(empty.c));
    empty.step(3);
    OK(edgekv_outputs_restore(empty.c));
    CHECK(llama_get_logits_ith(empty.c, -1) == nullptr);
}

void embeddings_survive_too() {
    llama_context_params params = params_of(512, GGML_TYPE_F16, 1);
    params.embeddings           = true;
    params.pooling_type         = LLAMA_POOLING_TYPE_NONE;
    const context c(params);
    const auto    tokens = random_tokens(12, 23);
    CHECK(decode(c.c, tokens, 0) == 0);

    const size_t       n_embd = ::n_embd();
    const float *      p      = llama_get_embeddings_ith(c.c, 4);
    std::vector<float> before(p, p + n_embd);
    OK(edgekv_outputs_keep(c.c));
    CHECK(decode(c.c, random_tokens(200, 24), 12) == 0);
    OK(edgekv_outputs_restore(c.c));
    p = llama_get_embeddings_ith(c.c, 4);
    CHECK(p && std::vector<float>(p, p + n_embd) == before);
}

//
// the rest
//

void models_tell_their_layers_and_path() {
    size_t n_layer = 0; // with rows in the cache
    for (uint32_t il = 0; il < g_model->hparams.n_layer(); ++il) {
        n_layer += g_model->hparams.n_head_kv(il) > 0;
    }
    std::vector<int32_t> layers(5 * n_layer, -1);
    size_t               n = 0;
    CHECK(edgekv_model_layers(g_model, layers.data(), n_layer - 1, &n) == EDGEKV_E_ARGUMENT);
    CHECK(n == n_layer && layers[0] == -1);
    OK(edgekv_model_layers(g_model, layers.data(), n_layer, &n));
    for (size_t l = 0; l < n; ++l) {
        const int32_t * layer = layers.data() + 5 * l;
        CHECK(l == 0 || layer[0] > layer[-5]);
        CHECK(layer[1] == (int32_t) g_model->hparams.n_head(layer[0]) && layer[2] == (int32_t) g_model->hparams.n_head_kv(layer[0]));
        CHECK(layer[3] == (int32_t) g_model->hparams.n_embd_head_k(layer[0]) &&
              layer[4] == (int32_t) g_model->hparams.n_embd_head_v(layer[0]));
    }
    OK(edgekv_model_supported(g_model));

    char   path[1024];
    size_t length = 0;
    OK(edgekv_model_path(g_model, path, sizeof(path), &length));
    CHECK(length == std::strlen(path) && length > 5 && !std::strcmp(path + length - 5, ".gguf"));
    char few[4] = { 'x', 'x', 'x', 'x' };
    OK(edgekv_model_path(g_model, few, sizeof(few), &length));
    CHECK(std::strlen(few) == 3 && length == std::strlen(path));
    CHECK(edgekv_model_path(nullptr, path, sizeof(path), &length) == EDGEKV_E_ARGUMENT);

    // what did not load says why
    edgekv_log_error_clear();
    CHECK(std::string(edgekv_log_error()).empty());
    CHECK(llama_model_load_from_file("/no/such/file.gguf", llama_model_default_params()) == nullptr);
    CHECK(std::string(edgekv_log_error()).find("/no/such/file.gguf") != std::string::npos);
    const std::string first = edgekv_log_error();
    const context     c;
    CHECK(decode(c.c, { -1 }, 0) == -1);
    CHECK(c.position() == 0);
    CHECK(edgekv_log_error() == first); // the first one stays until it is taken back
    edgekv_log_error_clear();
    CHECK(std::string(edgekv_log_error()).empty());
}

void devices_tell_what_they_are() {
    const size_t n = edgekv_device_count();
    CHECK(n > 0);
    size_t n_cpus = 0;
    for (size_t i = 0; i < n; ++i) {
        edgekv_device device = {};
        OK(edgekv_device_get(i, &device));
        CHECK(std::strlen(device.name) > 0 && std::strlen(device.backend) > 0);
        CHECK(device.memory_free <= device.memory_total);
        CHECK(std::strstr(device.features, "=0") == nullptr);
        if (device.kind == EDGEKV_DEVICE_CPU) {
            CHECK(device.memory_total > 0);
            ++n_cpus;
        }
    }
    CHECK(n_cpus == 1);
    edgekv_device none = {};
    CHECK(edgekv_device_get(n, &none) == EDGEKV_E_ARGUMENT);
    CHECK(none.name == nullptr);
    CHECK(edgekv_device_get(0, nullptr) == EDGEKV_E_ARGUMENT);
}

void layers_that_fit_are_found() {
    std::string path(4096, 0);
    size_t      length = 0;
    OK(edgekv_model_path(g_model, path.data(), path.size(), &length));
    path.resize(length);

    const auto fit = [&](const char * const * devices, uint64_t spare, int32_t * fits) {
        return edgekv_fit(path.c_str(), devices, 512, 128, GGML_TYPE_F16, GGML_TYPE_F16, spare, fits);
    };
    int32_t fits = -1;
    OK(fit(nullptr, 0, &fits));
    CHECK(fits == (g_device ? llama_model_n_layer(g_model) + 1 : 0));

    // What has to stay free is more than there is.
    OK(fit(nullptr, UINT64_MAX, &fits));
    CHECK(fits == 0);

    const char * const missing[] = { "NoSuchDevice", nullptr };
    CHECK(fit(missing, 0, &fits) == EDGEKV_E_ARGUMENT);
    CHECK(std::strstr(edgekv_last_error(), "NoSuchDevice"));
    CHECK(edgekv_fit((g_temp + "/none.gguf").c_str(), nullptr, 512, 128, GGML_TYPE_F16, GGML_TYPE_F16, 0, &fits) == EDGEKV_E_MODEL);
    CHECK(fit(nullptr, 0, nullptr) == EDGEKV_E_ARGUMENT);
}

void the_callers_log_gets_every_line() {
    ggml_log_callback before = nullptr;
    void *            user   = nullptr;
    llama_log_get(&before, &user);
    std::string lines;
    g_errors = &lines;
    const context c;
    CHECK(decode(c.c, { -1 }, 0) == -1);
    g_errors = nullptr;
    CHECK(lines.find("invalid token") != std::string::npos);
    CHECK(before != nullptr);
}

// Every change has another number, and reading has none.
void changes_are_counted() {
    context c;
    int64_t last    = c.get(EDGEKV_CACHE_CHANGES);
    auto    changed = [&] {
        const int64_t now    = c.get(EDGEKV_CACHE_CHANGES);
        const bool    result = now != last;
        last                 = now;
        return result;
    };
    CHECK(!changed());
    CHECK(decode(c.c, random_tokens(30, 25), 0) == 0);
    CHECK(changed());
    ids(c);
    llama_memory_seq_pos_max(c.memory(), 0);
    CHECK(!changed());
    CHECK(llama_memory_seq_rm(c.memory(), 0, 20, -1));
    CHECK(changed());
    OK(apply(c, every_other(20)));
    CHECK(changed());
    OK(edgekv_rerotate(c.c));
    CHECK(changed());
    c.step(2);
    CHECK(changed());
    OK(edgekv_rollback(c.c, 10));
    CHECK(changed());
    llama_memory_clear(c.memory(), true);
    CHECK(changed());
}

} // namespace

int main(int argc, char ** argv) {
    return run_tests(argc, argv,
                     {
                         { "ids_follow_the_tokens", ids_follow_the_tokens },
                         { "two_sequences_decode_and_are_refused_by_name", two_sequences_decode_and_are_refused_by_name },
                         { "aborted_batches_leave_no_ids", aborted_batches_leave_no_ids },
                         { "aborted_batches_keep_the_scores_of_what_stayed", aborted_batches_keep_the_scores_of_what_stayed },
                         { "late_attach_knows_what_comes_after_it", late_attach_knows_what_comes_after_it },
                         { "contexts_that_cannot_be_compact_are_refused", contexts_that_cannot_be_compact_are_refused },
                         { "learned_scores_come_with_every_batch", learned_scores_come_with_every_batch },
                         { "maps_may_come_later", maps_may_come_later },
                         { "a_chat_grows_and_shrinks_again_and_again", a_chat_grows_and_shrinks_again_and_again },
                         { "rerotated_rows_keep_their_scores", rerotated_rows_keep_their_scores },
                         { "taps_collect_all_ubatches_of_a_batch", taps_collect_all_ubatches_of_a_batch },
                         { "the_lock_is_held_while_a_context_decodes", the_lock_is_held_while_a_context_decodes },
                         { "freeing_waits_for_the_lock", freeing_waits_for_the_lock },
                         { "calls_that_wait_learn_of_a_contexts_end", calls_that_wait_learn_of_a_contexts_end },
                         { "threads_share_contexts", threads_share_contexts },
                         { "failures_that_a_caller_noticed_count_too", failures_that_a_caller_noticed_count_too },
                         { "refused_removals_make_the_context_fail", refused_removals_make_the_context_fail },
                         { "calls_that_a_compact_cache_ignores_make_it_fail", calls_that_a_compact_cache_ignores_make_it_fail },
                         { "batches_that_cannot_be_are_errors", batches_that_cannot_be_are_errors },
                         { "states_are_read_whole_or_fail", states_are_read_whole_or_fail },
                         { "outputs_survive_other_batches", outputs_survive_other_batches },
                         { "embeddings_survive_too", embeddings_survive_too },
                         { "models_tell_their_layers_and_path", models_tell_their_layers_and_path },
                         { "devices_tell_what_they_are", devices_tell_what_they_are },
                         { "layers_that_fit_are_found", layers_that_fit_are_found },
                         { "the_callers_log_gets_every_line", the_callers_log_gets_every_line },
                         { "changes_are_counted", changes_are_counted },
                     });
}
