using System.Net.Mime;
using System.Text;
using System.Text.Json;
using EdgeKV.Files;
using Microsoft.Extensions.AI;
using Chat = EdgeKV.Models.Chat;

namespace EdgeKV.Extensions.AI.Requests;

/// <summary>Makes messages of the template's form of those that a caller gives.</summary>
internal static class MessageReader
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <exception cref="NotSupportedException">A role or a content that no text model can take.</exception>
    /// <exception cref="ArgumentException">A document is empty or no UTF-8, or a message is null.</exception>
    public static IReadOnlyList<RequestMessage> Read(IEnumerable<ChatMessage> messages)
    {
        List<RequestMessage> read = [];
        Dictionary<string, string> functions = [];
        foreach (ChatMessage message in messages)
        {
            ArgumentNullException.ThrowIfNull(message, nameof(messages));
            if (message.Role == ChatRole.System)
            {
                read.Add(Given(message, Chat.ChatMessage.SystemRole));
            }
            else if (message.Role == ChatRole.User)
            {
                read.Add(Given(message, Chat.ChatMessage.UserRole));
            }
            else if (message.Role == ChatRole.Assistant)
            {
                read.Add(Assistant(message, functions));
            }
            else if (message.Role == ChatRole.Tool)
            {
                read.AddRange(message.Contents.Select(content => Tool(content, functions)));
            }
            else
            {
                throw new NotSupportedException($"A message has the role \"{message.Role}\"; EdgeKV takes system, user, assistant and tool.");
            }
        }

        return read;
    }

    private static RequestMessage Given(ChatMessage message, string role)
    {
        List<string> parts = [];
        List<int> documents = [];
        foreach (AIContent content in message.Contents)
        {
            if (DocumentOf(content) is { } document)
            {
                documents.Add(parts.Count);
                parts.Add(document);
            }
            else
            {
                parts.Add(content is TextContent text ? text.Text : throw Unsupported(content, role));
            }
        }

        return new RequestMessage(new Chat.ChatMessage(role, parts.Count > 0 ? parts : [string.Empty]), documents);
    }

    private static RequestMessage Assistant(ChatMessage message, Dictionary<string, string> functions)
    {
        StringBuilder text = new();
        StringBuilder thoughts = new();
        List<Chat.ChatToolCall> calls = [];
        foreach (AIContent content in message.Contents)
        {
            switch (content)
            {
                case TextContent given when !IsMarked(given):
                    text.Append(given.Text);
                    break;
                case TextReasoningContent { ProtectedData: null } given:
                    thoughts.Append(given.Text);
                    break;
                case FunctionCallContent call:
                    functions[call.CallId] = call.Name;
                    calls.Add(new Chat.ChatToolCall(call.Name, Arguments(call.Arguments), call.CallId));
                    break;
                default:
                    throw Unsupported(content, Chat.ChatMessage.AssistantRole);
            }
        }

        return new RequestMessage(
            Chat.ChatMessage.Assistant(text.ToString()) with { Reasoning = thoughts.Length > 0 ? thoughts.ToString() : null, ToolCalls = calls }, []);
    }

    private static RequestMessage Tool(AIContent content, Dictionary<string, string> functions) => content is FunctionResultContent result
        ? new RequestMessage(Chat.ChatMessage.Tool(Result(result.Result), result.CallId, functions.GetValueOrDefault(result.CallId)), [])
        : throw Unsupported(content, Chat.ChatMessage.ToolRole);

    /// <summary>The text of a document, with a blank line behind it, as a question may follow; null where the content is none.</summary>
    private static string? DocumentOf(AIContent content)
    {
        string? text = content switch
        {
            TextContent given when IsMarked(given) => given.Text,
            DataContent data when data.HasTopLevelMediaType("text") => Decode(data),
            _ => null,
        };
        return text is null ? null
            : PlainText.IsBlank(text) ? throw new ArgumentException($"{NameOf(content)} is empty: leave it out.", nameof(content))
            : text.Contains('\0', StringComparison.Ordinal) ? throw new ArgumentException($"{NameOf(content)} is no text, as it has zero bytes: leave it out.", nameof(content))
            : text.TrimEnd() + "\n\n";
    }

    private static bool IsMarked(TextContent content) =>
        content.AdditionalProperties?.TryGetValue(PropertyNames.Document, out object? marked) == true && PropertyValues.Boolean(PropertyNames.Document, marked);

    private static string Decode(DataContent data)
    {
        string? charset = new ContentType(data.MediaType).CharSet;
        if (charset is not null && !charset.Equals("utf-8", StringComparison.OrdinalIgnoreCase) && !charset.Equals("us-ascii", StringComparison.OrdinalIgnoreCase))
        {
            throw new NotSupportedException($"{NameOf(data)} has the charset {charset}; give it as UTF-8.");
        }

        try
        {
            ReadOnlySpan<byte> bytes = data.Data.Span;
            return Utf8.GetString(bytes.StartsWith(Encoding.UTF8.Preamble) ? bytes[Encoding.UTF8.Preamble.Length..] : bytes);
        }
        catch (DecoderFallbackException e)
        {
            throw new ArgumentException($"{NameOf(data)} is not valid UTF-8 at byte {e.Index}: convert it first.", nameof(data), e);
        }
    }

    private static string NameOf(AIContent content) => content is DataContent { Name: { Length: > 0 } name } ? $"The document \"{name}\"" : "A document";

    private static string Arguments(IDictionary<string, object?>? arguments) => arguments is null
        ? "{}"
        : JsonSerializer.Serialize(arguments, AIJsonUtilities.DefaultOptions.GetTypeInfo(typeof(IDictionary<string, object?>)));

    private static string Result(object? result) => result switch
    {
        null => string.Empty,
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
        TextContent text => text.Text,
        _ => JsonSerializer.Serialize(result, AIJsonUtilities.DefaultOptions.GetTypeInfo(typeof(object))),
    };

    private static NotSupportedException Unsupported(AIContent content, string role)
    {
        string what = content switch
        {
            DataContent data => $"{nameof(DataContent)} of {data.MediaType}",
            UriContent uri => $"{nameof(UriContent)} of {uri.MediaType}",
            TextContent text when IsMarked(text) => "a document",
            _ => content.GetType().Name,
        };
        return new NotSupportedException($"A message of the role \"{role}\" holds {what}, which EdgeKV cannot give to the model: leave it out or give its text.");
    }
}
