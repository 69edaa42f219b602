using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace EdgeKV.Models.Chat;

/// <summary>
/// A model's chat template, run by llama.cpp's own engine. It writes conversations of any form, the document wherever the caller puts it, and gives what
/// belongs to the answer: the grammar of tool calls, the texts that end it, and how it is taken apart. Its members may be called by many threads at once.
/// </summary>
public sealed class ChatTemplate
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly SafeHandle? _model;
    private readonly string? _template;
    private readonly Lazy<string?> _defaultSystemPrompt;

    /// <summary>The template of a model, or one in its place.</summary>
    /// <param name="model">A <c>struct llama_model</c> of the loaded library; null where a template is given: then no token is a control token.</param>
    /// <param name="template">A Jinja template instead of the model's own; null for the model's.</param>
    /// <exception cref="ArgumentException">Neither is given.</exception>
    /// <exception cref="NativeLibraryException">LLamaSharp does not run on EdgeKV's library; the message says why.</exception>
    public ChatTemplate(SafeHandle? model, string? template = null)
    {
        if (model is null && template is null)
        {
            throw new ArgumentException("A chat template needs a model or a text.", nameof(model));
        }

        EdgeKVRuntime.EnsureLoaded();
        _model = model;
        _template = template;
        _defaultSystemPrompt = new Lazy<string?>(FindDefaultSystemPrompt, LazyThreadSafetyMode.PublicationOnly);
    }

    /// <summary>
    /// What the template puts in as the system's turn when a conversation has none; null when it puts in nothing, or when there is no usable template.
    /// </summary>
    public string? DefaultSystemPrompt => _defaultSystemPrompt.Value;

    /// <summary>Writes a conversation.</summary>
    /// <param name="messages">The messages in their order.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <exception cref="UnsupportedModelException">
    /// The model has no template, it fails, it refuses the conversation, or it does not know the role of a message or leaves the message out.
    /// </exception>
    /// <exception cref="ArgumentException">There are no messages, or arguments of a call are not JSON.</exception>
    /// <exception cref="EdgeKVException">A tool, a schema or a variable is not of the form that it must have, or spells out a control token.</exception>
    public ChatPrompt Render(IReadOnlyList<ChatMessage> messages, ChatTemplateOptions? options = null) =>
        Render(messages, options ?? new ChatTemplateOptions(), markEmpty: false);

    /// <summary>Writes a conversation in which empty texts have a place too.</summary>
    internal ChatPrompt RenderPlaces(IReadOnlyList<ChatMessage> messages, ChatTemplateOptions? options = null) =>
        Render(messages, options ?? new ChatTemplateOptions(), markEmpty: true);

    private ChatPrompt Render(IReadOnlyList<ChatMessage> messages, ChatTemplateOptions options, bool markEmpty)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (messages.Count == 0)
        {
            throw new ArgumentException("A conversation needs at least one message.", nameof(messages));
        }

        ChatMarks marks = new();
        string conversation = Json(writer => WriteMessages(writer, messages, marks, markEmpty));
        string? tools = options.Tools.Count > 0 ? Json(writer => WriteTools(writer, options.Tools)) : null;
        byte[] json = NativeChat.Render(_model, _template, conversation, tools, Json(writer => WriteOptions(writer, options)));
        NativeChatPrompt written = JsonSerializer.Deserialize(json, ChatJson.Default.NativeChatPrompt)!;

        ChatSegment[] segments = marks.Resolve(written.Pieces);
        RequireAll(messages, segments);
        return new ChatPrompt(segments, written.Bos >= 0 ? written.Bos : null, [.. Encoding.UTF8.GetBytes(written.Answer.GetRawText()), 0])
        {
            Grammar = written.Grammar is { } grammar
                ? new ChatGrammar(grammar.Text, grammar.Lazy, grammar.Patterns, grammar.Tokens, grammar.PreservedTokens)
                : null,
            Stops = written.Stops,
            Thinking = new ChatThinking(written.Thinking.Supported, written.Thinking.Start, written.Thinking.End),
            Capabilities = new ChatCapabilities(
                written.Capabilities.SystemRole, written.Capabilities.Tools, written.Capabilities.ToolCalls, written.Capabilities.ParallelToolCalls),
            Format = written.Format,
            AnswerHeader = written.Answer.GetProperty("generation_prompt").GetString()!,
        };
    }

    /// <summary>Templates leave out messages whose role they do not know, without a word.</summary>
    private static void RequireAll(IReadOnlyList<ChatMessage> messages, ChatSegment[] segments)
    {
        HashSet<(int Message, int Part)> written = [.. segments.Select(segment => (segment.Message, segment.Part))];
        for (int i = 0; i < messages.Count; i++)
        {
            // Many templates write a call of a tool instead of the content beside it.
            if (messages[i].ToolCalls.Count == 0 && messages[i].Content.Length > 0 && !written.Contains((i, 0)))
            {
                throw new UnsupportedModelException(
                    $"The model's chat template leaves out message {i + 1}, of the role \"{messages[i].Role}\".");
            }
        }
    }

    private static void WriteMessages(Utf8JsonWriter writer, IReadOnlyList<ChatMessage> messages, ChatMarks marks, bool markEmpty)
    {
        writer.WriteStartArray();
        for (int i = 0; i < messages.Count; i++)
        {
            ChatMessage message = messages[i];
            writer.WriteStartObject();
            writer.WriteString("role", message.Role);

            // Templates ask whether a content is empty.
            writer.WriteString(
                "content",
                markEmpty || message.Content.Length > 0
                    ? string.Concat(message.Parts.Select((part, number) => marks.OfContent(part, i, number)))
                    : string.Empty);
            if (message.Reasoning is { Length: > 0 } reasoning)
            {
                writer.WriteString("reasoning_content", marks.OfText(reasoning, i));
            }

            if (message.ToolName is { } name)
            {
                writer.WriteString("name", name);
            }

            if (message.ToolCallId is { } id)
            {
                writer.WriteString("tool_call_id", id);
            }

            if (message.ToolCalls.Count > 0)
            {
                writer.WriteStartArray("tool_calls");
                foreach (ChatToolCall call in message.ToolCalls)
                {
                    WriteCall(writer, call, i, marks);
                }

                writer.WriteEndArray();
            }

            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }

    private static void WriteCall(Utf8JsonWriter writer, ChatToolCall call, int message, ChatMarks marks)
    {
        writer.WriteStartObject();
        if (call.Id is { } id)
        {
            writer.WriteString("id", id);
        }

        writer.WriteString("type", "function");
        writer.WriteStartObject("function");
        writer.WriteString("name", call.Name);
        writer.WriteString("arguments", Json(arguments => WriteMarked(arguments, Parsed(call.Arguments, call.Name), message, marks)));
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    /// <summary>A call's arguments with stand-ins for its texts and names.</summary>
    private static void WriteMarked(Utf8JsonWriter writer, JsonElement value, int message, ChatMarks marks)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                writer.WriteStartObject();
                foreach (JsonProperty property in value.EnumerateObject())
                {
                    writer.WritePropertyName(marks.OfText(property.Name, message));
                    WriteMarked(writer, property.Value, message, marks);
                }

                writer.WriteEndObject();
                break;
            case JsonValueKind.Array:
                writer.WriteStartArray();
                foreach (JsonElement item in value.EnumerateArray())
                {
                    WriteMarked(writer, item, message, marks);
                }

                writer.WriteEndArray();
                break;
            case JsonValueKind.String when value.GetString() is { Length: > 0 } text:
                writer.WriteStringValue(marks.OfValue(text, message));
                break;
            default:
                value.WriteTo(writer);
                break;
        }
    }

    private static void WriteTools(Utf8JsonWriter writer, IReadOnlyList<ChatTool> tools)
    {
        writer.WriteStartArray();
        foreach (ChatTool tool in tools)
        {
            writer.WriteStartObject();
            writer.WriteString("type", "function");
            writer.WriteStartObject("function");
            writer.WriteString("name", tool.Name);
            writer.WriteString("description", tool.Description);
            writer.WritePropertyName("parameters");
            Parsed(tool.Parameters ?? """{"type":"object","properties":{}}""", tool.Name).WriteTo(writer);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }

    private static void WriteOptions(Utf8JsonWriter writer, ChatTemplateOptions options)
    {
        writer.WriteStartObject();
        writer.WriteBoolean("add_generation_prompt", options.AddGenerationPrompt);
        writer.WriteBoolean("enable_thinking", options.EnableThinking);
        writer.WriteBoolean("parallel_tool_calls", options.ParallelToolCalls);
        writer.WriteString("reasoning", options.ExtractReasoning ? "auto" : "none");
        writer.WriteString("tool_choice", options.ToolChoice switch
        {
            ChatToolChoice.Required => "required",
            ChatToolChoice.None => "none",
            _ => "auto",
        });
        if (options.JsonSchema is { } schema)
        {
            JsonElement parsed = Parsed(schema, nameof(options.JsonSchema));
            if (parsed.ValueKind != JsonValueKind.Object)
            {
                throw new ArgumentException($"{nameof(options.JsonSchema)} is a JSON object such as {{\"type\": \"object\"}}, not {parsed.ValueKind}.");
            }

            writer.WritePropertyName("json_schema");
            parsed.WriteTo(writer);
        }

        if (options.Variables is { } variables)
        {
            writer.WriteStartObject("variables");
            foreach ((string name, string value) in variables)
            {
                writer.WritePropertyName(name);
                Parsed(value, name).WriteTo(writer);
            }

            writer.WriteEndObject();
        }

        writer.WriteEndObject();
    }

    private static JsonElement Parsed(string json, string of)
    {
        try
        {
            return JsonElement.Parse(json);
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"The JSON of {of} is not valid: {e.Message}", e);
        }
    }

    private static string Json(Action<Utf8JsonWriter> write)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter writer = new(buffer, Relaxed))
        {
            write(writer);
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>What the template writes between the texts around a system's turn, where a conversation has no such turn.</summary>
    private string? FindDefaultSystemPrompt()
    {
        try
        {
            string without = Opening(RenderPlaces([ChatMessage.User("u")]), message: 0);
            ChatPrompt with = RenderPlaces([ChatMessage.System("s"), ChatMessage.User("u")]);
            string before = Opening(with, message: 0);
            string after = Opening(with.CutAfter(message: 0).After, message: 1);
            int length = without.Length - before.Length - after.Length;
            return length > 0 && without.StartsWith(before, StringComparison.Ordinal) && without.EndsWith(after, StringComparison.Ordinal)
                ? without.Substring(before.Length, length)
                : null;
        }
        catch (UnsupportedModelException)
        {
            return null;
        }

        static string Opening(ChatPrompt prompt, int message) =>
            string.Concat(prompt.Segments.TakeWhile(segment => segment.Message != message).Select(segment => segment.Text));
    }
}
