// The chat templates: what they write, and that a hostile one ends as an error.
#include "testing.h"

#include "api/edgekv_chat.h"

#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>
#include <thread>

using json = nlohmann::ordered_json;

namespace {

const char * const CHATML =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const char * const CONVERSATION = R"([{"role":"system","content":"SystemMark"},{"role":"user","content":"FirstMark"},)"
                                  R"({"role":"assistant","content":"SecondMark"},{"role":"user","content":"ThirdMark"}])";

// An attack has to end long before what an honest template may take.
const char * const FEW_STEPS = R"({"limits":{"steps":3000000}})";

std::string repeated(const std::string & text, size_t n) {
    std::string result;
    for (size_t i = 0; i < n; ++i) {
        result += text;
    }
    return result;
}

json taken(edgekv_chat_result * result) {
    size_t length = 0;
    CHECK(edgekv_chat_json(result, nullptr, 0, &length) == EDGEKV_E_ARGUMENT);
    std::string text(length + 1, '\0');
    OK(edgekv_chat_json(result, &text[0], text.size(), &length));
    edgekv_chat_free(result);
    text.resize(length);
    return json::parse(text);
}

json rendered(const std::string & chat_template, const std::string & messages = CONVERSATION, const char * tools = nullptr,
              const char * options = nullptr) {
    edgekv_chat_result * result = nullptr;
    OK(edgekv_chat_render(nullptr, chat_template.c_str(), messages.c_str(), tools, options, &result));
    return taken(result);
}

int32_t status_of(const std::string & chat_template, const std::string & messages = CONVERSATION, const char * tools = nullptr,
                  const char * options = FEW_STEPS) {
    edgekv_chat_result * result = nullptr;
    const int32_t        status = edgekv_chat_render(nullptr, chat_template.c_str(), messages.c_str(), tools, options, &result);
    CHECK((status == EDGEKV_OK) == (result != nullptr));
    edgekv_chat_free(result);
    return status;
}

void refused(const std::string & chat_template) {
    if (status_of(chat_template) != EDGEKV_E_UNSUPPORTED) {
        throw std::runtime_error("not refused: " + chat_template.substr(0, 100));
    }
}

std::string file(const std::filesystem::path & path) {
    std::ifstream     stream(path, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
}

// Upstream's collection. Empty where the source has none.
std::vector<std::filesystem::path> template_files() {
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(LLAMA_TEMPLATES)) {
        for (const auto & entry : std::filesystem::directory_iterator(LLAMA_TEMPLATES)) {
            if (entry.path().extension() == ".jinja") {
                files.push_back(entry.path());
            }
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

const char * const TOOL = R"([{"type":"function","function":{"name":"weather","description":"Gives the weather.","parameters":{)"
                          R"("type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"]}}}])";

std::string tool_with(const std::string & parameters) {
    return R"([{"type":"function","function":{"name":"f","parameters":)" + parameters + "}}]";
}

//
// what templates write
//

void chatml_is_written_as_it_stands() {
    const json result = rendered(CHATML);
    CHECK(result["prompt"] ==
          "<|im_start|>system\nSystemMark<|im_end|>\n<|im_start|>user\nFirstMark<|im_end|>\n"
          "<|im_start|>assistant\nSecondMark<|im_end|>\n<|im_start|>user\nThirdMark<|im_end|>\n<|im_start|>assistant\n");
    CHECK(result["pieces"].size() == 1 && result["grammar"].is_null() && result["bos"] == -1);
    CHECK(rendered(CHATML, CONVERSATION, nullptr, R"({"add_generation_prompt":false})")["prompt"] ==
          "<|im_start|>system\nSystemMark<|im_end|>\n<|im_start|>user\nFirstMark<|im_end|>\n"
          "<|im_start|>assistant\nSecondMark<|im_end|>\n<|im_start|>user\nThirdMark<|im_end|>\n");
}

void variables_reach_the_template() {
    CHECK(rendered("{{ messages[0].content }} {{ name }} {{ list[1] }}", CONVERSATION, nullptr,
                   R"({"variables":{"name":"N","list":[1,2]}})")["prompt"] == "SystemMark N 2");
}

void upstreams_templates_write_a_conversation() {
    size_t written = 0;
    for (const auto & path : template_files()) {
        const json        result = rendered(file(path));
        const std::string prompt = result["prompt"];
        CHECK(prompt.find("SystemMark") != std::string::npos); // some templates write it into the last turn
        size_t at = 0;
        for (const char * mark : { "FirstMark", "SecondMark", "ThirdMark" }) {
            at = prompt.find(mark, at);
            if (at == std::string::npos) {
                throw std::runtime_error(path.filename().string() + " does not write " + mark);
            }
        }
        ++written;
    }
    CHECK(written == template_files().size());
}

// llama.cpp's short list knows many templates by their look only; here it is right.
void short_lists_templates_are_the_same() {
    for (const char * name : { "ByteDance-Seed-OSS", "LFM2-8B-A1B", "LFM2.5-Instruct", "Qwen-Qwen3-0.6B", "Qwen3-Coder",
                               "google-gemma-2-2b-it", "ibm-granite-granite-4.1", "microsoft-Phi-3.5-mini-instruct" }) {
        const std::filesystem::path path = std::filesystem::path(LLAMA_TEMPLATES) / (std::string(name) + ".jinja");
        if (!std::filesystem::exists(path)) {
            continue;
        }
        const std::string        source  = file(path);
        const llama_chat_message turns[] = { { "user", "FirstMark" }, { "assistant", "SecondMark" }, { "user", "ThirdMark" } };
        std::string              text(4096, '\0');
        const int32_t            length = llama_chat_apply_template(source.c_str(), turns, 3, true, &text[0], (int32_t) text.size());
        CHECK(length > 0 && length < (int32_t) text.size());
        text.resize(length);
        CHECK(rendered(source, R"([{"role":"user","content":"FirstMark"},{"role":"assistant","content":"SecondMark"},)"
                               R"({"role":"user","content":"ThirdMark"}])")["prompt"] == text);
    }
}

void upstreams_templates_write_tools() {
    size_t with_tools = 0;
    for (const auto & path : template_files()) {
        const std::string source = file(path);
        const json        result = rendered(source, CONVERSATION, TOOL);
        const bool        named  = result["prompt"].get<std::string>().find("weather") != std::string::npos;
        if (result["capabilities"]["tools"].get<bool>() && !named) {
            throw std::runtime_error(path.filename().string() + " knows tools and does not write one");
        }
        with_tools += named;
    }
    CHECK(template_files().empty() || with_tools > template_files().size() / 2);
}

void call_of_a_tool_goes_through_the_grammar_and_back() {
    const std::filesystem::path path = std::filesystem::path(LLAMA_TEMPLATES) / "Qwen-Qwen3-0.6B.jinja";
    if (!std::filesystem::exists(path)) {
        return;
    }
    const json result = rendered(file(path), R"([{"role":"user","content":"Weather?"}])", TOOL);
    CHECK(result["grammar"]["lazy"] == true && result["grammar"]["patterns"][0] == "<tool_call>\n");
    CHECK(result["grammar"]["text"].get<std::string>().find("root ::= ") != std::string::npos);
    CHECK(result["thinking"]["supported"] == true && result["thinking"]["start"] == "<think>");

    const std::string    answer = "<think>\nIt asks for the weather.\n</think>\n\n<tool_call>\n"
                                  R"({"name": "weather", "arguments": {"city": "Ulm", "days": 2}})"
                                  "\n</tool_call>";
    edgekv_chat_result * parsed = nullptr;
    OK(edgekv_chat_parse(result["answer"].dump().c_str(), answer.data(), answer.size(), false, &parsed));
    const json whole = taken(parsed);
    CHECK(whole["tool_calls"].size() == 1 && whole["tool_calls"][0]["name"] == "weather");
    CHECK(json::parse(whole["tool_calls"][0]["arguments"].get<std::string>()) == json({ { "city", "Ulm" }, { "days", 2 } }));
    CHECK(whole["reasoning_content"].get<std::string>().find("It asks") != std::string::npos && whole["content"] == "");

    // a part of it, as it is streamed
    OK(edgekv_chat_parse(result["answer"].dump().c_str(), answer.data(), answer.find("Ulm"), true, &parsed));
    const json part = taken(parsed);
    CHECK(part["tool_calls"].size() == 1 && part["tool_calls"][0]["name"] == "weather");

    // and written again, as a turn of the past
    const json        past   = json::array({ { { "role", "user" }, { "content", "Weather?" } },
                                             { { "role", "assistant" },
                                               { "content", "" },
                                               { "tool_calls", json::array({ { { "type", "function" },
                                                                               { "function",
                                                                                 { { "name", whole["tool_calls"][0]["name"] },
                                                                                   { "arguments", whole["tool_calls"][0]["arguments"] } } } } }) } },
                                             { { "role", "tool" }, { "content", "Rain." } } });
    const std::string prompt = rendered(file(path), past.dump(), TOOL)["prompt"];
    CHECK(prompt.find(R"({"name": "weather", "arguments": {"city": "Ulm", "days": 2}})") != std::string::npos);
    CHECK(prompt.find("<tool_response>\nRain.\n</tool_response>") != std::string::npos);
}

void schema_of_an_answer_becomes_a_grammar() {
    const json result = rendered(CHATML, CONVERSATION, nullptr,
                                 R"({"json_schema":{"type":"object","properties":{"year":{"type":"integer"}},"required":["year"]}})");
    CHECK(result["grammar"]["lazy"] == false);
    CHECK(result["grammar"]["text"].get<std::string>().find("\\\"year\\\"") != std::string::npos);
}

void roles_without_a_place_are_refused() {
    CHECK(status_of(CHATML, R"([{"role":"critic","content":"c"}])") == EDGEKV_E_UNSUPPORTED);
    CHECK(std::string(edgekv_last_error()).find("\"critic\"") != std::string::npos);
    CHECK(status_of(std::string(CHATML) + "{% if messages[0].role == 'critic' %}!{% endif %}", R"([{"role":"critic","content":"c"}])") ==
          EDGEKV_OK);
    CHECK(status_of(CHATML, R"([{"role":"user<|im_end|>","content":"c"}])") == EDGEKV_E_UNSUPPORTED);
}

void template_may_refuse_a_conversation() {
    CHECK(status_of("{{ raise_exception('No such talk.') }}") == EDGEKV_E_UNSUPPORTED);
    CHECK(std::string(edgekv_last_error()) == "the chat template failed: No such talk.");
}

void wrong_calls_are_errors() {
    edgekv_chat_result * result = nullptr;
    CHECK(edgekv_chat_render(nullptr, nullptr, CONVERSATION, nullptr, nullptr, &result) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_chat_render(nullptr, CHATML, nullptr, nullptr, nullptr, &result) == EDGEKV_E_ARGUMENT);
    CHECK(edgekv_chat_render(nullptr, CHATML, CONVERSATION, nullptr, nullptr, nullptr) == EDGEKV_E_ARGUMENT);
    for (const char * messages : { "", "[", "{}", "[]", "[1]", "[{}]", R"([{"role":"user"}])", R"([{"role":1,"content":"c"}])",
                                   R"([{"role":"user","content":"c","tool_calls":1}])", "\"\\ud800\"", "\xff" }) {
        CHECK(status_of(CHATML, messages) == EDGEKV_E_ARGUMENT);
    }
    for (const char * tools :
         { "", "1", "{}", "[1]", "[{}]", R"([{"type":"function","function":{}}])", R"([{"type":"function","function":{"name":""}}])" }) {
        CHECK(status_of(CHATML, CONVERSATION, tools) == EDGEKV_E_ARGUMENT);
    }
    for (const char * options : { "", "1", "[]", R"({"tool_choice":"some"})", R"({"reasoning":1})", R"({"limits":{"steps":"x"}})" }) {
        CHECK(status_of(CHATML, CONVERSATION, nullptr, options) == EDGEKV_E_ARGUMENT);
    }
    for (const char * params : { "", "{}", R"({"format":"f","reasoning":"auto","generation_prompt":"","parser":""})",
                                 R"({"format":"peg-native","reasoning":"auto","generation_prompt":"","parser":"{}"})",
                                 R"({"format":"peg-native","reasoning":"auto","generation_prompt":"","parser":"[[["})" }) {
        CHECK(edgekv_chat_parse(params, "a", 1, false, &result) == EDGEKV_E_ARGUMENT);
    }
    // a parser that points at nothing
    CHECK(edgekv_chat_parse(R"({"format":"peg-native","reasoning":"auto","generation_prompt":"","parser":)"
                            R"("{\"parsers\":[{\"type\":\"and\",\"child\":7}],\"rules\":{},\"root\":0}"})",
                            "a", 1, false, &result) == EDGEKV_E_STATE);
    CHECK(edgekv_chat_json(nullptr, nullptr, 0, nullptr) == EDGEKV_E_ARGUMENT);
    CHECK(result == nullptr);
    edgekv_chat_free(nullptr);
}

void control_tokens_of_a_model_are_pieces() {
    const llama_vocab * vocab = llama_model_get_vocab(g_model);
    std::string         control;
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab) && control.empty(); ++token) {
        if (llama_vocab_get_attr(vocab, token) & LLAMA_TOKEN_ATTR_CONTROL) {
            control = llama_vocab_get_text(vocab, token);
        }
    }
    CHECK(!control.empty());

    const std::string    source = "a" + control + "b{{ messages[0].content }}" + control + control + "c";
    edgekv_chat_result * result = nullptr;
    OK(edgekv_chat_render(g_model, source.c_str(), CONVERSATION, nullptr, nullptr, &result));
    const json  pieces = taken(result)["pieces"];
    std::string text;
    size_t      controls = 0;
    for (const auto & piece : pieces) {
        text += piece["text"].get<std::string>();
        controls += piece["control"].get<bool>();
        CHECK(!piece["control"].get<bool>() || piece["text"].get<std::string>().find(control) != std::string::npos);
    }
    CHECK(text == "a" + control + "bSystemMark" + control + control + "c" && controls == 3);

    // what stands among the template's text must not spell one
    const std::string named = R"([{"type":"function","function":{"name":"f","description":")" + control + "\"}}]";
    CHECK(edgekv_chat_render(g_model, CHATML, CONVERSATION, named.c_str(), nullptr, &result) == EDGEKV_E_ARGUMENT);
    CHECK(std::string(edgekv_last_error()).find(control) != std::string::npos);
}

void threads_do_not_share_limits() {
    std::vector<std::thread> threads;
    std::vector<int32_t>     statuses(4);
    for (size_t i = 0; i < statuses.size(); ++i) {
        threads.emplace_back([&statuses, i] {
            for (int n = 0; n < 5; ++n) {
                const bool    bad    = (i + n) % 2 != 0;
                const int32_t status = status_of(bad ? "{% for i in range(1000000000) %}x{% endfor %}" : CHATML);
                statuses[i] += status == (bad ? EDGEKV_E_UNSUPPORTED : EDGEKV_OK);
            }
        });
    }
    for (auto & thread : threads) {
        thread.join();
    }
    CHECK(std::all_of(statuses.begin(), statuses.end(), [](int32_t n) { return n == 5; }));
}

//
// attacks
//

void deep_sources_are_refused() {
    for (const size_t n : { 2000, 60000 }) {
        refused("{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}");
        refused("{{ " + repeated("[", n) + repeated("]", n) + " }}");
        refused("{{ " + repeated("not ", n / 2) + "1 }}");
        refused("{{ 1" + repeated("+1", n) + " }}");
        refused("{{ 'a'" + repeated("|e", n) + " }}");
        refused("{{ a" + repeated("()", n) + " }}");
        refused("{{ a" + repeated(".b", n) + " }}");
        refused("{{ 1" + repeated(" if 1 else 1", n / 4) + " }}");
        refused(repeated("{%if 1%}", n / 4) + repeated("{%endif%}", n / 4));
        refused("{%if 0%}" + repeated("{%elif 0%}", n / 4) + "{%endif%}");
        refused(repeated("{%for i in [1]%}", n / 8) + repeated("{%endfor%}", n / 8));
        refused(repeated("{%macro m()%}", n / 8) + repeated("{%endmacro%}", n / 8));
    }
    refused(repeated("x", 300000));
    refused("{{ " + repeated("((", 50000)); // never closed
}

void long_loops_are_refused() {
    refused("{% for i in range(1000000000) %}x{% endfor %}");
    refused("{% for i in range(-9223372036854775807, 9223372036854775807) %}x{% endfor %}");
    refused("{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}");
    refused("{% for a in range(300) %}{% for b in range(300) %}{% for c in range(300) %}{{ c }}{% endfor %}{% endfor %}{% endfor %}");
    refused("{% set ns = namespace(l=[1]) %}{% for i in range(40) %}{% set ns.l = ns.l + ns.l %}{% endfor %}");
    refused("{% set l = [1] %}{% for i in range(400000) %}{% set _ = l.append(i) %}{% endfor %}");
    CHECK(rendered("{{ messages[0].content }}{{ range(9223372036854775800, 9223372036854775807, 5)|join(' ') }}")["prompt"] ==
          "SystemMark9223372036854775800 9223372036854775805");
    CHECK(rendered("{{ messages[0].content }}{{ range(3, -4, -3)|join(' ') }}{{ [0, 1, 2, 3][0:4:9223372036854775807] }}")["prompt"] ==
          "SystemMark3 0 -30");
}

void growing_texts_are_refused() {
    refused("{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}");
    refused("{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}");
    refused("{{ 'x' * 1000000000000 }}");
    refused("{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s|replace('x', 'xx') %}{% endfor %}");
    refused("{% set s = 'x' * 100000 %}{{ s|replace('', s) }}");
    refused("{% set s = 'x' * 100000 %}{% set ns = namespace(l=[s]) %}{% for i in range(16) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ "
            "ns.l|join(s) }}");
    refused("{% set s = 'x' * 100000 %}{% set ns = namespace(l=[s]) %}{% for i in range(16) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ "
            "ns.l|tojson }}");
    refused("{% set s = 'x' * 100000 %}{% set ns = namespace(l=[s]) %}{% for i in range(16) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ "
            "ns.l|string }}");
    refused("{% set s = 'x' * 1000000 %}{{ '{}" + repeated("{}", 200) + "'.format(s" + repeated(", s", 200) + ") }}");
    refused("{{ 'a'|indent(1000000000000) }}");
    refused("{{ 'a'|indent(-1) }}");
    refused("{{ [[1]]|tojson(indent=2000000000) }}");
    refused("{% set s = 'a,' * 500000 %}{{ s.split(',')|length }}");
    refused("{% set s = 'a' * 3000000 %}{{ (s ~ 'b') in (s ~ s) }}");
    refused("{% set s = '<a>' * 100000 %}{{ s }}{{ messages[0].content }}"); // what the search for a parser reads
}

void recursion_is_refused() {
    refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    refused("{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}");
    refused("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}");
    refused("{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{% call m() %}x{% endcall %}");
    refused("{% macro m(a=m()) %}x{% endmacro %}{{ m() }}");
    refused("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}");
    refused("{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}");
    refused("{% set l = [] %}{% set _ = l.append(l) %}{{ l|string }}");
    refused("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns|tojson }}");
    refused("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns|string }}");
    refused("{% set ns = namespace(a=1) %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a|tojson }}");
    refused("{% set ns = namespace(a=1) %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}");
    refused("{% set ns = namespace(a=1) %}{% for i in range(100) %}{% set ns.a = (ns.a, ns.a) %}{% endfor %}{{ {ns.a: 1} }}");
    refused("{% set ns = namespace(a=1) %}{% for i in range(100) %}{% set ns.a = (ns.a, ns.a) %}{% endfor %}{{ ns.a == (ns.a, 1) }}");
}

void circles_and_chains_are_freed() {
    // AddressSanitizer says whether they are
    const std::string content = "{{ messages[0].content }}";
    CHECK(status_of(content + "{% set l = [] %}{% set _ = l.append(l) %}") == EDGEKV_OK);
    CHECK(status_of(content + "{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.f = ns.items %}") == EDGEKV_OK);
    CHECK(
        status_of(content + "{% set ns = namespace() %}{% macro m() %}{% set ns.c = caller %}{% endmacro %}{% call m() %}x{% endcall %}") ==
        EDGEKV_OK);
    const int32_t status =
        status_of(content + "{% set ns = namespace(a=1) %}{% for i in range(20000) %}{% set ns.a = [ns.a] %}{% endfor %}", CONVERSATION,
                  nullptr, nullptr);
    CHECK(status == EDGEKV_OK || status == EDGEKV_E_UNSUPPORTED);
}

void odd_values_end_no_process() {
    refused("{{ 1 is divisibleby(0) }}");
    for (const char * expression :
         { "-9223372036854775807 - 1", "(-9223372036854775807 - 1)|abs", "1 % 0", "1.5 % 0", "(1 / 0)|int", "0.0 / 0",
           "[3, 'a', 1.5, '2', 0.0 / 0, 1] * 1", "9999999999999999999999 ", "''.split('a')", "'a'[5]", "'abc'[::-1]", "[][0]",
           "[1, 2][-5:5:-1]", "{}|dictsort", "{} | items", "'x'.format(1)", "none|string", "nothing|join" }) {
        status_of(std::string("{{ messages[0].content }}{{ ") + expression + " }}");
    }
    // an order that is none
    std::string list = "[";
    for (int i = 0; i < 400; ++i) {
        list += i % 3 == 0 ? "0.0 / 0," : i % 3 == 1 ? "'" + std::to_string(i * 7 % 50) + "'," : std::to_string(i * 13 % 40) + ",";
    }
    CHECK(status_of("{{ messages[0].content }}{{ (" + list + "]|sort)|length }}") == EDGEKV_OK);
    for (const char * source : { "{",           "{{",          "{%",        "{#",         "{{-",       "{{ '",          "{{ '\\",
                                 "{{ '\\q' }}", "{{ a[",       "{{ a[:",    "{% set",     "{% set a",  "{% set a %}",   "{% for",
                                 "{% for a",    "{% for a in", "{% if",     "{% call",    "{% filter", "{% macro",      "{% macro a(b",
                                 "{{ }}",       "{% %}",       "{{ a | }}", "{{ {'a' }}", "{{ (1, }}", "{% generation", "{% break %}",
                                 "\r",          "\n",          "{{ -",      "{{ 1.5.2 }}" }) {
        status_of(source);
    }
}

void schemas_are_limited() {
    const std::string open = R"({"type":"object","properties":{"a":)";
    for (const size_t n : { 150, 1000, 100000 }) {
        CHECK(status_of(CHATML, CONVERSATION, tool_with(repeated(open, n) + R"({"type":"string"})" + repeated("}}", n)).c_str()) ==
              EDGEKV_E_UNSUPPORTED);
    }
    const auto schema = [](const std::string & text) {
        return status_of(CHATML, CONVERSATION, nullptr, (R"({"limits":{"steps":3000000},"json_schema":)" + text + "}").c_str());
    };
    CHECK(schema(R"({"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"$ref":"#/$defs/a"}}})") == EDGEKV_E_UNSUPPORTED);
    CHECK(schema(R"({"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}})") == EDGEKV_OK);
    CHECK(schema(R"({"$ref":"#"})") == EDGEKV_E_UNSUPPORTED);

    std::string wide = R"({"type":"object","properties":{)";
    std::string refs = R"({"$defs":{)";
    for (int i = 0; i < 5000; ++i) {
        wide += (i ? ",\"p" : "\"p") + std::to_string(i) + R"(":{"type":"string"})";
        refs += (i ? ",\"d" : "\"d") + std::to_string(i) + R"(":{"$ref":"#/$defs/d)" + std::to_string((i + 1) % 5000) + "\"}";
    }
    CHECK(schema(wide + "}}") == EDGEKV_E_UNSUPPORTED);
    CHECK(schema(refs + R"(},"anyOf":[{"$ref":"#/$defs/d0"}]})") == EDGEKV_E_UNSUPPORTED);
    CHECK(status_of(CHATML, CONVERSATION, tool_with(wide + "}}").c_str()) != EDGEKV_OK || true);

    CHECK(schema(R"({"type":"object","properties":{")" + repeated("%", 100000) + R"(":{"type":"string"}}})") == EDGEKV_E_UNSUPPORTED);
    CHECK(schema(R"({"type":"string","pattern":"^)" + repeated("(", 100000) + "a" + repeated(")", 100000) + "$\"}") ==
          EDGEKV_E_UNSUPPORTED);
    CHECK(schema(R"({"type":"array","items":{"type":)" + ("[" + repeated("\"string\",", 20000) + "\"null\"]") + "}}") != EDGEKV_E_INTERNAL);
    for (const char * pattern : { "",
                                  "^",
                                  "$",
                                  "^$",
                                  "^*$",
                                  "^+$",
                                  "^?$",
                                  "^{1}$",
                                  "^]$",
                                  "^}$",
                                  "^a]}$",
                                  "^)$",
                                  "^($",
                                  "^[$",
                                  "^a{$",
                                  "^a{1,99999999999}$",
                                  "^a{x}$",
                                  "^(?=a)$",
                                  "^\\\\$",
                                  "^|$",
                                  "^(a|b)*(a|b)*(a|b)*$",
                                  "^(?:)*$" }) {
        const int32_t status = schema(std::string(R"({"type":"string","pattern":")") + pattern + "\"}");
        CHECK(status == EDGEKV_OK || status == EDGEKV_E_UNSUPPORTED);
    }
    // a tool's own name
    CHECK(status_of(CHATML, CONVERSATION, (R"([{"type":"function","function":{"name":")" + repeated("%", 100000) + R"("}}])").c_str()) ==
          EDGEKV_E_ARGUMENT);
}

void given_json_is_limited() {
    const std::string deep = repeated("[", 100000) + repeated("]", 100000);
    CHECK(status_of(CHATML, deep) == EDGEKV_E_UNSUPPORTED);
    CHECK(status_of(CHATML, CONVERSATION, deep.c_str()) == EDGEKV_E_UNSUPPORTED);
    CHECK(status_of(CHATML, CONVERSATION, nullptr, ("{\"variables\":{\"a\":" + deep + "}}").c_str()) == EDGEKV_E_UNSUPPORTED);
    const json message = json::array(
        { { { "role", "user" }, { "content", "Hi" } },
          { { "role", "assistant" },
            { "content", "" },
            { "tool_calls", json::array({ { { "type", "function" }, { "function", { { "name", "f" }, { "arguments", deep } } } } }) } } });
    CHECK(status_of(CHATML, message.dump()) == EDGEKV_E_UNSUPPORTED);
}

void answers_are_limited() {
    const std::filesystem::path path = std::filesystem::path(LLAMA_TEMPLATES) / "Qwen-Qwen3-0.6B.jinja";
    if (!std::filesystem::exists(path)) {
        return;
    }
    json params               = rendered(file(path), R"([{"role":"user","content":"Hi"}])", TOOL)["answer"];
    params["limits"]["steps"] = 5000000;
    const auto status         = [&](const std::string & answer, bool is_partial) {
        edgekv_chat_result * result = nullptr;
        const int32_t        code   = edgekv_chat_parse(params.dump().c_str(), answer.data(), answer.size(), is_partial, &result);
        edgekv_chat_free(result);
        return code;
    };
    const std::string call = "<tool_call>\n"
                             R"({"name": "weather", "arguments": {"city": )";
    for (const bool is_partial : { false, true }) {
        CHECK(status(call + repeated("[", 100000), is_partial) == EDGEKV_E_UNSUPPORTED);
        CHECK(status(call + repeated("[", 100000) + repeated("]", 100000) + "}}\n</tool_call>", is_partial) == EDGEKV_E_UNSUPPORTED);
        CHECK(status(call + repeated("{\"a\":", 100000), is_partial) == EDGEKV_E_UNSUPPORTED);
        CHECK(status(call + repeated("[1,", 100000), is_partial) == EDGEKV_E_UNSUPPORTED);
        CHECK(status(repeated("x", 10000000), is_partial) == EDGEKV_E_UNSUPPORTED);
    }
    CHECK(status(repeated("x", 100000), false) == EDGEKV_OK);
    CHECK(status(call + repeated("[", 50) + repeated("]", 50) + "}}\n</tool_call>", false) == EDGEKV_OK);
    CHECK(status(std::string("\xff\xfe\0", 3), true) != EDGEKV_E_INTERNAL);

    // a parser that calls itself
    params["parser"] = R"({"parsers":[{"type":"sequence","children":[0]}],"rules":{},"root":0})";
    CHECK(status("a", false) == EDGEKV_E_UNSUPPORTED);
    params["parser"] = R"({"parsers":[{"type":"choice","children":[1,1]},{"type":"sequence","children":[0,0]}],"rules":{},"root":0})";
    CHECK(status("a", false) == EDGEKV_E_UNSUPPORTED);
}

void honest_work_fits_the_limits() {
    json messages = json::array();
    for (int i = 0; i < 60; ++i) {
        messages.push_back({ { "role", i % 2 ? "assistant" : "user" }, { "content", repeated("A text of some length. ", 40) } });
    }
    json tools = json::array();
    for (int i = 0; i < 20; ++i) {
        json tool                = json::parse(TOOL)[0];
        tool["function"]["name"] = "weather" + std::to_string(i);
        tools.push_back(tool);
    }
    messages.push_back({ { "role", "user" }, { "content", "?" } });
    for (const auto & path : template_files()) {
        const int32_t status = status_of(file(path), messages.dump(), tools.dump().c_str(), nullptr);
        if (status != EDGEKV_OK) {
            throw std::runtime_error(path.filename().string() + ": " + edgekv_last_error());
        }
    }
}

} // namespace

int main(int argc, char ** argv) {
    if (template_files().empty()) {
        std::printf("no folder %s: upstream's templates are not tested\n", LLAMA_TEMPLATES);
    }
    return run_tests(argc, argv,
                     {
                         { "chatml_is_written_as_it_stands", chatml_is_written_as_it_stands },
                         { "variables_reach_the_template", variables_reach_the_template },
                         { "upstreams_templates_write_a_conversation", upstreams_templates_write_a_conversation },
                         { "short_lists_templates_are_the_same", short_lists_templates_are_the_same },
                         { "upstreams_templates_write_tools", upstreams_templates_write_tools },
                         { "call_of_a_tool_goes_through_the_grammar_and_back", call_of_a_tool_goes_through_the_grammar_and_back },
                         { "schema_of_an_answer_becomes_a_grammar", schema_of_an_answer_becomes_a_grammar },
                         { "roles_without_a_place_are_refused", roles_without_a_place_are_refused },
                         { "template_may_refuse_a_conversation", template_may_refuse_a_conversation },
                         { "wrong_calls_are_errors", wrong_calls_are_errors },
                         { "control_tokens_of_a_model_are_pieces", control_tokens_of_a_model_are_pieces },
                         { "threads_do_not_share_limits", threads_do_not_share_limits },
                         { "deep_sources_are_refused", deep_sources_are_refused },
                         { "long_loops_are_refused", long_loops_are_refused },
                         { "growing_texts_are_refused", growing_texts_are_refused },
                         { "recursion_is_refused", recursion_is_refused },
                         { "circles_and_chains_are_freed", circles_and_chains_are_freed },
                         { "odd_values_end_no_process", odd_values_end_no_process },
                         { "schemas_are_limited", schemas_are_limited },
                         { "given_json_is_limited", given_json_is_limited },
                         { "answers_are_limited", answers_are_limited },
                         { "honest_work_fits_the_limits", honest_work_fits_the_limits },
                     });
}
