namespace EdgeKV.Extensions.AI.Tests;

/// <summary>Chat templates of the form that common models have.</summary>
internal static class Templates
{
    /// <summary>Tools as JSON in the system's turn, calls as JSON between marks.</summary>
    public const string Tools = """
        {%- if tools %}
            {{- '<|im_start|>system\n' }}
            {%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
            {{- '# Tools\n\nYou may call functions:\n<tools>' }}
            {%- for tool in tools %}
                {{- '\n' }}
                {{- tool | tojson }}
            {%- endfor %}
            {{- '\n</tools>\n\nA call is JSON:\n<tool_call>{"name": <function-name>, "arguments": <args-json-object>}</tool_call><|im_end|>\n' }}
        {%- elif messages[0].role == 'system' %}
            {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
        {%- endif %}
        {%- for message in messages %}
            {%- if message.role == 'user' or (message.role == 'system' and not loop.first) or (message.role == 'assistant' and not message.tool_calls) %}
                {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
            {%- elif message.role == 'assistant' %}
                {{- '<|im_start|>' + message.role }}
                {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
                {%- for tool_call in message.tool_calls %}
                    {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
                    {{- '\n<tool_call>{"name": "' }}
                    {{- tool_call.name }}
                    {{- '", "arguments": ' }}
                    {{- tool_call.arguments | tojson }}
                    {{- '}</tool_call>' }}
                {%- endfor %}
                {{- '<|im_end|>\n' }}
            {%- elif message.role == 'tool' %}
                {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
        """;

    /// <summary>Thoughts before answers.</summary>
    public const string Thinking = """
        {%- for message in messages -%}<|im_start|>{{ message.role }}
        {% if message.role == 'assistant' and message.reasoning_content %}<think>
        {{ message.reasoning_content }}
        </think>

        {% endif %}{{ message.content }}<|im_end|>
        {% endfor -%}
        {%- if add_generation_prompt %}<|im_start|>assistant
        {% endif -%}
        """;
}
