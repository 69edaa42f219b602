#include "chat/chat.h"

// llama.cpp's own header has the same name as this file's
#include "base/error.h"
#include "chat/pieces.h"
#include "common/chat.h"
#include "json-schema-to-grammar.h"
#include "limits.h"

#include "llama-host.h"
#include "llama.h"

#include <nlohmann/json.hpp>

#include <set>

using json = nlohmann::ordered_json;

namespace edgekv {
namespace chat {

namespace {

constexpr size_t MAX_TEMPLATE_BYTES = 256 * 1024;
constexpr size_t MAX_KEY_BYTES      = 256;
constexpr size_t MAX_TRIGGER_BYTES  = 4096;

// The words of an exception of the template's engine, without the excerpt of the source around the place.
std::string reason(const std::exception & e) {
    std::string  text  = e.what();
    const size_t error = text.rfind("\nError: ");
    if (error != std::string::npos) {
        text = text.substr(error + 8);
    }
    for (const char * prefix : { "Jinja Exception: ", "\n" }) {
        if (text.rfind(prefix, 0) == 0) {
            text = text.substr(std::string(prefix).size());
        }
    }
    size_t end = text.find('\n');
    if (end != std::string::npos && end > 0 && text[end - 1] == ':') {
        text[end] = ' '; // what comes next is the reason
        end       = text.find('\n');
    }
    text = text.substr(0, end);
    return text.size() > 300 ? text.substr(0, 300) + "..." : text;
}

// Runs f(limits) within limits, which it may change. A template's own failures and limits become an error that a caller can show.
template <typename F>
std::string limited(const char * what, F && f) {
    const common_limited    scope{ common_limits() };
    const llama_abort_guard aborts;
    try {
        return f(g_common_limits.limits);
    } catch (const common_limit_exceeded & e) {
        fail(EDGEKV_E_UNSUPPORTED, "%s is refused: %s", what, e.message.c_str());
    } catch (const error &) {
        throw;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & e) {
        fail(EDGEKV_E_UNSUPPORTED, "%s failed: %s", what, reason(e).c_str());
    }
}

// Runs f, which reads what the caller gave.
template <typename F>
auto given(const char * what, F && f) -> decltype(f()) {
    try {
        return f();
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const error &) {
        throw;
    } catch (const std::exception & e) {
        fail(EDGEKV_E_ARGUMENT, "%s: %s", what, reason(e).c_str());
    }
}

// Names of tools, their schemas and what else a program gives stand in the prompt among the template's own text, where control tokens are parsed.
void check_text(const std::string & text, const control_tokens & controls) {
    const std::string control = controls.first_in(text);
    if (!control.empty()) {
        fail(EDGEKV_E_ARGUMENT, "a tool, a schema or a variable has the control token %s in its text", control.c_str());
    }
}

void check_texts(const json & value, const control_tokens & controls) {
    if (value.is_string()) {
        check_text(value.get_ref<const std::string &>(), controls);
    } else if (value.is_object()) {
        for (const auto & item : value.items()) {
            // keys become names of grammar rules, which regular expressions go over with a stack frame for each letter
            if (item.key().size() > MAX_KEY_BYTES) {
                fail(EDGEKV_E_UNSUPPORTED, "a name in a tool or a schema has %zu bytes; %zu are allowed", item.key().size(), MAX_KEY_BYTES);
            }
            check_text(item.key(), controls);
            check_texts(item.value(), controls);
        }
    } else if (value.is_array()) {
        for (const auto & item : value) {
            check_texts(item, controls);
        }
    }
}

json read(const char * what, const std::string & text) {
    common_limit_json(text);
    return given(what, [&] { return json::parse(text); });
}

std::vector<common_chat_msg> messages_of(const std::string & text, const control_tokens & controls) {
    const json array = read("messages", text);
    return given("messages", [&] {
        auto messages = common_chat_msgs_parse_oaicompat(array);
        if (messages.empty()) {
            throw std::invalid_argument("there are none");
        }
        for (const auto & message : messages) {
            check_text(message.tool_name, controls);
            check_text(message.tool_call_id, controls);
            for (const auto & call : message.tool_calls) {
                check_text(call.name, controls);
                check_text(call.id, controls);
                common_limit_json(call.arguments);
            }
        }
        return messages;
    });
}

std::vector<common_chat_tool> tools_of(const std::string & text, const control_tokens & controls) {
    const json array = read("tools", text);
    check_texts(array, controls);
    return given("tools", [&] {
        auto tools = common_chat_tools_parse_oaicompat(array);
        for (const auto & tool : tools) {
            if (tool.name.empty() || tool.name.size() > MAX_KEY_BYTES) {
                throw std::invalid_argument("a tool's name is empty or too long");
            }
        }
        return tools;
    });
}

void read_limits(const json & object, common_limits & limits) {
    if (object.contains("limits")) {
        const json & values = object["limits"];
        limits.steps        = values.value("steps", limits.steps);
        limits.memory       = values.value("memory", limits.memory);
    }
}

void read_options(const json & options, common_chat_templates_inputs & inputs, const control_tokens & controls) {
    given("options", [&] {
        inputs.add_generation_prompt = options.value("add_generation_prompt", true);
        inputs.enable_thinking       = options.value("enable_thinking", true);
        inputs.parallel_tool_calls   = options.value("parallel_tool_calls", false);
        inputs.reasoning_format      = common_reasoning_format_from_name(options.value("reasoning", "auto"));
        inputs.tool_choice           = common_chat_tool_choice_parse_oaicompat(options.value("tool_choice", "auto"));
        if (options.contains("json_schema")) {
            check_texts(options["json_schema"], controls);
            inputs.json_schema = options["json_schema"].dump();
        }
        if (options.contains("variables")) {
            check_texts(options["variables"], controls);
            for (const auto & item : options["variables"].items()) {
                inputs.chat_template_kwargs[item.key()] = item.value().dump();
            }
        }
        return 0;
    });
}

// A role that the template does not name would be printed as it stands, or left out.
void check_roles(const std::vector<common_chat_msg> & messages, const std::string & source, bool tools) {
    std::set<std::string> known = { "system", "developer", "user", "assistant" };
    if (tools) {
        known.insert("tool");
    }
    for (const auto & message : messages) {
        const bool word = message.role.find_first_not_of("abcdefghijklmnopqrstuvwxyz_-") == std::string::npos;
        if (!word || (known.count(message.role) == 0 && source.find("'" + message.role + "'") == std::string::npos &&
                      source.find("\"" + message.role + "\"") == std::string::npos)) {
            fail(EDGEKV_E_UNSUPPORTED, "the chat template does not know the role \"%s\"", message.role.substr(0, 40).c_str());
        }
    }
}

const char * template_of(const llama_model * model, const char * name) {
    const char * source = llama_model_chat_template(model, name);
    if (source && std::string(source).size() > MAX_TEMPLATE_BYTES) {
        fail(EDGEKV_E_UNSUPPORTED, "the chat template has more than %zu bytes", MAX_TEMPLATE_BYTES);
    }
    return source;
}

std::string override_of(const llama_model * model, const char * chat_template) {
    if (chat_template) {
        const std::string source = chat_template;
        if (source.empty() || source.size() > MAX_TEMPLATE_BYTES) {
            fail(EDGEKV_E_UNSUPPORTED, "the chat template is empty or has more than %zu bytes", MAX_TEMPLATE_BYTES);
        }
        return source;
    }
    const bool tools = template_of(model, "tool_use") != nullptr;
    if (!template_of(model, nullptr) && !tools) {
        fail(EDGEKV_E_UNSUPPORTED, "the model has no chat template");
    }
    return "";
}

// A sampler made of a grammar that llama.cpp refuses is a null pointer, which a sampler chain does not survive.
void check_grammar(const std::string & grammar, const llama_vocab * vocab) {
    if (!vocab) {
        return;
    }
    llama_sampler * sampler = llama_sampler_init_grammar(vocab, grammar.c_str(), "root");
    if (!sampler) {
        fail(EDGEKV_E_ARGUMENT,
             "llama.cpp refuses the grammar of the JSON schema or of the tools: a length or a number of items is too large, a minimum is "
             "above its maximum, or nothing fits");
    }
    llama_sampler_free(sampler);
}

json grammar_of(const common_chat_params & params, const llama_vocab * vocab) {
    if (params.grammar.empty()) {
        return nullptr;
    }
    check_grammar(params.grammar, vocab);
    json patterns = json::array();
    json tokens   = json::array();
    for (const auto & trigger : params.grammar_triggers) {
        if (trigger.value.size() > MAX_TRIGGER_BYTES) {
            fail(EDGEKV_E_UNSUPPORTED, "the chat template begins tool calls with a text of %zu bytes", trigger.value.size());
        }
        switch (trigger.type) {
            case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
                tokens.push_back(trigger.token);
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:
                patterns.push_back(regex_escape(trigger.value));
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
                patterns.push_back(trigger.value);
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
                patterns.push_back("^(?:" + trigger.value + ")$");
                break;
        }
    }
    return { { "text", params.grammar },
             { "lazy", params.grammar_lazy },
             { "patterns", patterns },
             { "tokens", tokens },
             { "preserved_tokens", params.preserved_tokens } };
}

// Texts must not become a token with which the template begins or ends turns, also where the file types it as user-defined and the template puts it
// together of pieces. What is written for a conversation of our own says which these are, whatever is rendered first.
void find_markup(const common_chat_templates * templates, const llama_vocab * vocab) {
    const auto message = [](const char * role) {
        common_chat_msg m;
        m.role    = role;
        m.content = "x";
        return m;
    };
    for (const bool system : { true, false }) {
        common_chat_templates_inputs inputs;
        if (system) {
            inputs.messages.push_back(message("system"));
        }
        inputs.messages.insert(inputs.messages.end(), { message("user"), message("assistant"), message("user") });
        try {
            llama_vocab_find_markup(vocab, common_chat_templates_apply(templates, inputs).prompt);
            return;
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception &) {
            // Not every template takes every role. What is wrong with the conversation that was given is said when that is rendered.
        }
    }
}

json pieces_of(const std::string & prompt, const control_tokens & controls) {
    json pieces = json::array();
    for (const piece & p : controls.split(prompt)) {
        pieces.push_back({ { "text", p.text }, { "control", p.control } });
    }
    return pieces;
}

std::string written(const json & value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

common_chat_format format_of(const std::string & name) {
    for (int i = 0; i < COMMON_CHAT_FORMAT_COUNT; ++i) {
        if (common_chat_format_name((common_chat_format) i) == name) {
            return (common_chat_format) i;
        }
    }
    throw std::invalid_argument("there is no format " + name);
}

} // namespace

std::string render(const llama_model * model, const char * chat_template, const std::string & messages, const std::string & tools,
                   const std::string & options) {
    return limited("the chat template", [&](common_limits & limits) {
        const json asked = read("options", options);
        given("options", [&] {
            read_limits(asked, limits);
            return 0;
        });

        const auto          templates = common_chat_templates_init(model, override_of(model, chat_template));
        const llama_vocab * vocab     = model ? llama_model_get_vocab(model) : nullptr;
        if (vocab) {
            find_markup(templates.get(), vocab);
        }
        const control_tokens controls(vocab);

        common_chat_templates_inputs inputs;
        inputs.messages = messages_of(messages, controls);
        inputs.tools    = tools_of(tools, controls);
        read_options(asked, inputs, controls);

        const std::string source =
            common_chat_templates_source(templates.get()) + common_chat_templates_source(templates.get(), "tool_use");
        auto known = common_chat_templates_get_caps(templates.get());
        check_roles(inputs.messages, source, known["supports_tools"] || known["supports_tool_calls"]);

        const common_chat_params params = common_chat_templates_apply(templates.get(), inputs);

        return written({
            { "prompt", params.prompt },
            { "pieces", pieces_of(params.prompt, controls) },
            { "bos", vocab && llama_vocab_get_add_bos(vocab) ? llama_vocab_bos(vocab) : -1 },
            { "grammar", grammar_of(params, vocab) },
            { "stops", params.additional_stops },
            { "thinking",
              { { "supported", params.supports_thinking }, { "start", params.thinking_start_tag }, { "end", params.thinking_end_tag } } },
            { "capabilities",
              { { "system_role", known["supports_system_role"] },
                { "tools", known["supports_tools"] },
                { "tool_calls", known["supports_tool_calls"] },
                { "parallel_tool_calls", known["supports_parallel_tool_calls"] },
                { "typed_content", known["supports_typed_content"] },
                { "reasoning", known["supports_preserve_reasoning"] } } },
            { "format", common_chat_format_name(params.format) },
            { "answer",
              { { "format", common_chat_format_name(params.format) },
                { "reasoning", common_reasoning_format_name(inputs.reasoning_format) },
                { "generation_prompt", params.generation_prompt },
                { "parser", params.parser } } },
        });
    });
}

std::string parse(const std::string & params, const std::string & answer, bool is_partial) {
    return limited("the answer", [&](common_limits & limits) {
        const json                given_params = read("params", params);
        common_chat_parser_params parser;
        given("params", [&] {
            read_limits(given_params, limits);
            parser.format            = format_of(given_params.at("format").get<std::string>());
            parser.reasoning_format  = common_reasoning_format_from_name(given_params.at("reasoning").get<std::string>());
            parser.generation_prompt = given_params.at("generation_prompt").get<std::string>();
            const std::string saved  = given_params.at("parser").get<std::string>();
            if (!saved.empty()) {
                parser.parser.load(saved);
            }
            return 0;
        });

        common_chat_msg message;
        try {
            message = common_chat_parse(answer, is_partial, parser);
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception & e) {
            fail(EDGEKV_E_STATE, "the answer is not of the form that the chat template's answers have: %s", reason(e).c_str());
        }

        json calls = json::array();
        for (const auto & call : message.tool_calls) {
            calls.push_back({ { "id", call.id }, { "name", call.name }, { "arguments", call.arguments } });
        }
        return written({ { "content", message.content }, { "reasoning_content", message.reasoning_content }, { "tool_calls", calls } });
    });
}

} // namespace chat
} // namespace edgekv
