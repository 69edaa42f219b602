// Tests of how text is split before it is tokenized: beside upstream's own code, which uses std::regex, and on runs that are too long for that.
// The headers are also those of the files that are included into a namespace below.
#include "testing.h"

#include "text/pattern.h"

#include "unicode.h"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <map>
#include <regex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace upstream {
#include <src/unicode.cpp>
// After it, for its tables.
#include <src/unicode-data.cpp>
} // namespace upstream

namespace {

using strings = std::vector<std::string>;

// A string literal of C++, of the kind that stands in llama-vocab.cpp. at: behind its first quote, and then behind its last one.
std::string read_literal(const std::string & source, size_t & at) {
    static const std::map<char, char> controls = { { 'n', '\n' }, { 'r', '\r' }, { 't', '\t' } };

    std::string result;
    for (; source.at(at) != '"'; ++at) {
        const bool escaped = source[at] == '\\';
        const char c       = source[at += escaped ? 1 : 0];
        const auto control = controls.find(c);
        result += escaped && control != controls.end() ? control->second : c;
    }
    ++at;
    return result;
}

// The patterns of every pre-tokenizer, as llama.cpp's source has them.
std::vector<strings> pattern_lists() {
    static const std::string MARK = "regex_exprs = {";

    std::ifstream     in(LLAMA_VOCAB);
    const std::string source((std::istreambuf_iterator<char>(in)), {});
    CHECK(!source.empty());

    std::vector<strings> result;
    for (size_t at = source.find(MARK); at != std::string::npos; at = source.find(MARK, at)) {
        at += MARK.size();
        strings list;
        while (source.at(at) != '}') {
            if (source.compare(at, 2, "//") == 0) {
                at = source.find('\n', at);
            } else if (source[at++] == '"') {
                list.push_back(read_literal(source, at));
            }
        }
        CHECK(!list.empty());
        result.push_back(list);
    }
    CHECK(result.size() > 30);
    return result;
}

// What the patterns tell apart, and characters on both sides of their ranges' ends.
const strings g_pieces = {
    "a",      "b",      "Z",      "Q",  "s",  "t",  "'",  "'s", "'RE", "'ll", " ",      " ",          "  ",   "\n",   "\r",
    "\t",     "\v",     "0",      "1",  "23", "-",  "/",  "(",  ")",   "|",   ".",      ",",          "!",    "?",    "$",
    "+",      "^",      "`",      "_",  "\\", "[",  "]",  "{",  "}",   "~",   "@",      ":",          "\x7f", "\x01", "é",
    "É",      "µ",      "ǅ",      "ß",  "中", "龥", "文", "あ", "ア",  "ー",  "가",     "힣",         "ㄱ",   "ㄅ",   "…",
    "。",     "，",     "！",     "～", "　", "Ａ", "ｱ",  "１", "₂",   "٣",   "،",      "क",          "्",     "เ",    "\u0301",
    "\u00a0", "\u0085", "\u2003", "€",  "😀",  "𐐀",  "A",  "B",  "I",   "Z",   "IMGIMG", "<sentinel:", "1>",
};

std::string random_text(std::mt19937 & random) {
    const auto any = [&](const strings & pieces) { return pieces[random() % pieces.size()]; };

    strings few; // so that there are runs
    for (size_t n = 1 + random() % 8; n > 0; --n) {
        few.push_back(any(g_pieces));
    }
    std::string result;
    for (size_t n = 1 + random() % 60; n > 0; --n) {
        result += any(random() % 4 != 0 ? few : g_pieces);
    }
    return result;
}

std::string joined(const strings & words) {
    std::string result;
    for (const std::string & word : words) {
        result += word;
    }
    return result;
}

void text_is_split_as_upstream_splits_it() {
    std::mt19937 random(31);
    const auto   lists = pattern_lists();
    for (int i = 0; i < 500; ++i) {
        const std::string text = random_text(random);
        for (const strings & list : lists) {
            if (unicode_regex_split(text, list, false) != upstream::unicode_regex_split(text, list, false)) {
                throw std::runtime_error(list.back() + " splits in another way: " + text);
            }
        }
    }
}

// Upstream dies of these. The last words, whose ends the patterns look for, are upstream's.
void long_runs_are_split() {
    for (const strings & list : pattern_lists()) {
        for (const char * unit :
             { "-", "a", "A", "aA", " ", "\n", "\n\n ", "\t", "1", "中", "あ", "가", "😀", "\u0301", "'", "'s", "a's", "$ ", "\r\n" }) {
            std::string text;
            while (text.size() < 200000) {
                text += unit;
            }
            if (joined(unicode_regex_split(text, list, false)) != text) {
                throw std::runtime_error(list.back() + " loses text of a run of " + unit);
            }
        }
    }
}

// In a run longer than the stack would last for, the words are those of a short run, once more and once more.
void words_of_a_long_run_are_those_of_a_short_one() {
    const strings gpt4o = { "[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}])([^a-z]))*((?=[\\p{L}])([^A-Z]))+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+" };
    std::string   text(1 << 22, '7');
    const strings words = unicode_regex_split(text + "--" + std::string(1 << 22, 'a') + "'", gpt4o, false);
    CHECK(words.size() == (1 << 22) / 3 + 4);
    CHECK(words[0] == "777" && words[words.size() - 4] == "7");
    CHECK(words[words.size() - 3] == "--");
    CHECK(words[words.size() - 2] == std::string(1 << 22, 'a'));
    CHECK(words[words.size() - 1] == "'");

    // The end decides at the beginning: digits in threes from the right.
    const strings threes = unicode_regex_split(text, { "(?=(\\d{3})+(?!\\d))" }, false);
    CHECK((1 << 22) % 3 == 1);
    CHECK(threes[0] == "7" && threes[1].empty() && threes[2] == "777");
    CHECK(joined(threes) == text);
}

bool is_refused(const std::u32string & pattern) {
    try {
        edgekv::parse_pattern(pattern);
        return false;
    } catch (const std::invalid_argument &) {
        return true;
    }
}

void unknown_patterns_are_refused() {
    for (const char32_t * pattern :
         { U"a??",     U"a+?", U"a++",    U"(a*)*",  U"(a|b?)+", U"(?=a)*",  U"a*",          U"^a",       U"a.b",
           U"\\ba",    U"\\1", U"\\p{L}", U"(a)\\1", U"a{3,1}",  U"a{",      U"a{,2}",       U"a{99999}", U"(?i:a)",
           U"(?<a>b)", U"(a",  U"a)",     U"[a",     U"[z-a]",   U"[\\s-a]", U"[[:alpha:]]", U"a\\",      U"((x{900}){900}){900}" }) {
        CHECK(is_refused(pattern));
    }
    CHECK(!is_refused(U"(?:a|[^b-d\\s\\-]{2,3}|(?!e)f+$)"));

    bool thrown = false;
    try {
        unicode_regex_split("text", { "a|\\bb" }, false);
    } catch (const std::runtime_error & e) {
        thrown = std::string(e.what()).find("'a|\\bb'") != std::string::npos;
    }
    CHECK(thrown);
}

} // namespace

int main(int argc, char ** argv) {
    return run_tests(argc, argv,
                     {
                         { "text_is_split_as_upstream_splits_it", text_is_split_as_upstream_splits_it },
                         { "long_runs_are_split", long_runs_are_split },
                         { "words_of_a_long_run_are_those_of_a_short_one", words_of_a_long_run_are_those_of_a_short_one },
                         { "unknown_patterns_are_refused", unknown_patterns_are_refused },
                     });
}
