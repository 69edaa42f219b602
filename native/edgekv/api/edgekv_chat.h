// EdgeKV: chat templates by llama.cpp's own engine. The conventions are those of edgekv.h.
//
// A template comes with a model file and is not trusted: what it, a tool's schema or an answer can take of time, memory and stack is limited,
// and EDGEKV_E_UNSUPPORTED is returned where one takes more.
#pragma once

#include "api/edgekv.h"

#ifdef __cplusplus
extern "C" {
#endif

struct llama_model;

// One JSON object as text.
typedef struct edgekv_chat_result edgekv_chat_result;

// Writes a conversation as a chat template does.
//
// model          its template and its tokens; NULL where chat_template is given: then no token is a control token
// chat_template  a Jinja template instead of the model's own, or NULL
// messages       a JSON array as in OpenAI's API: role, content, tool_calls, tool_call_id, name, reasoning_content
// tools          a JSON array as in OpenAI's API, or NULL
// options        a JSON object or NULL; its members, all of which may be left out:
//   add_generation_prompt  true: the header of the assistant's answer follows
//   enable_thinking        true: for templates that know the variable
//   reasoning              "auto" (thoughts are taken out of an answer) or "none" (they stay in its content)
//   tool_choice            "auto", "required" or "none"
//   parallel_tool_calls    false: more than one call in an answer
//   json_schema            an object: the answer is JSON of this schema
//   variables              an object: more variables of the template
//   limits                 {steps, memory}: other limits than 100 million steps and 64 MiB
//
// The result:
//   prompt         the text
//   pieces         the same text in parts, [{text, control}]: a part is a control token (with the white space that its tokenizer takes with
//                  it) or the text between two of them
//   bos            the token that comes before the prompt, -1 for none; the prompt's text does not have it
//   grammar        {text, lazy, patterns, tokens, preserved_tokens}, what llama_sampler_init_grammar and
//                  llama_sampler_init_grammar_lazy_patterns take, or null
//   stops          texts that end an answer besides the model's tokens that do
//   thinking       {supported, start, end}: whether the template knows thoughts, and the texts around them
//   capabilities   what the template knows: {system_role, tools, tool_calls, parallel_tool_calls, typed_content, reasoning}
//   format         the kind of answers in llama.cpp's words
//   answer         an object for edgekv_chat_parse()
//
// EDGEKV_E_ARGUMENT when a JSON text is none or is not of this form, or when a tool, a schema, a variable, a name or an id has a control token
// in its text. Contents and arguments may have any: whoever tokenizes the prompt keeps them apart. EDGEKV_E_UNSUPPORTED when there is no template, it fails, it refuses the
// conversation, or it does not know a role.
EDGEKV_API int32_t edgekv_chat_render(const struct llama_model * model, const char * chat_template, const char * messages,
                                      const char * tools, const char * options, edgekv_chat_result ** out);

// Takes an answer apart.
//
// params      the member `answer` of what edgekv_chat_render() gave, with `limits` as above if need be
// answer      what the model wrote after the prompt, control tokens as text
// is_partial  more of the answer may follow
//
// The result: content, reasoning_content and tool_calls, [{id, name, arguments}], arguments being JSON as text (of a partial answer its
// beginning).
//
// EDGEKV_E_STATE when the answer is not of the form that the template's answers have.
EDGEKV_API int32_t edgekv_chat_parse(const char * params, const char * answer, size_t answer_bytes, bool is_partial,
                                     edgekv_chat_result ** out);

// The JSON text. *length as in edgekv_model_text, except that with capacity too small EDGEKV_E_ARGUMENT is returned and nothing is written.
EDGEKV_API int32_t edgekv_chat_json(const edgekv_chat_result * result, char * text, size_t capacity, size_t * length);

EDGEKV_API void edgekv_chat_free(edgekv_chat_result * result);

#ifdef __cplusplus
}
#endif
