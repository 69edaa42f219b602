using System.Text;
using System.Text.Json;
using EdgeKV.Models.Chat;
using Microsoft.Extensions.AI;

namespace EdgeKV.Extensions.AI.Answers;

/// <summary>Makes contents of an answer's pieces: text, thoughts, calls of tools.</summary>
/// <param name="prompt">What is answered.</param>
/// <param name="mayCall">Whether the answer may have calls.</param>
/// <param name="showsThinking">Whether thoughts are handed on.</param>
internal sealed class AnswerReader(ChatPrompt prompt, bool mayCall, bool showsThinking)
{
    private readonly StringBuilder _written = new();
    private string _content = string.Empty;
    private string _thoughts = string.Empty;
    private IReadOnlyList<ChatToolCall> _calls = [];

    /// <summary>
    /// Whether answers may be of more than plain text: thoughts, calls, JSON that a fence surrounds. They are then read by the template's own parser, which wants control tokens as text.
    /// </summary>
    public bool IsParsed { get; } = mayCall || prompt.Grammar is not null || prompt.Thinking.IsSupported;

    /// <summary>The answer as a message of the conversation that goes on.</summary>
    public Models.Chat.ChatMessage Message => new ChatAnswer(_content, _thoughts, _calls).ToMessage();

    /// <summary>Whether the answer calls tools.</summary>
    public bool HasCalls => _calls.Count > 0;

    /// <summary>What a piece adds. The beginning of a call is held back until the call is whole.</summary>
    public IEnumerable<AIContent> Next(string piece)
    {
        if (!IsParsed)
        {
            _written.Append(piece);
            return piece.Length > 0 ? [new TextContent(piece)] : [];
        }

        _written.Append(piece);
        return TryRead(isPartial: true) is { } read ? Added(read) : [];
    }

    /// <summary>What the end of the answer adds.</summary>
    /// <param name="reason">Why it ended. Calls of an answer that was cut off are not whole, and are left out.</param>
    public IEnumerable<AIContent> End(Generation.FinishReason reason)
    {
        if (!IsParsed)
        {
            _content = _written.ToString();
            return [];
        }

        bool isWhole = reason == Generation.FinishReason.EndOfTurn;
        if (TryRead(isPartial: !isWhole) is not { } read)
        {
            return Rest();
        }

        _calls = isWhole ? [.. read.ToolCalls.Select(call => call with { Id = call.Id ?? $"call_{Guid.NewGuid():N}" })] : [];
        return [.. Added(read), .. _calls.Select(Call)];
    }

    private ChatAnswer? TryRead(bool isPartial)
    {
        try
        {
            return prompt.ReadAnswer(_written.ToString(), isPartial);
        }
        catch (EdgeKVException)
        {
            // The model does not keep to the form of calls: what it writes is text.
            return null;
        }
    }

    private List<AIContent> Added(ChatAnswer read)
    {
        List<AIContent> added = [];
        if (Grown(ref _thoughts, read.Reasoning) is { Length: > 0 } thoughts && showsThinking)
        {
            added.Add(new TextReasoningContent(thoughts));
        }

        if (Grown(ref _content, read.Content) is { Length: > 0 } text)
        {
            added.Add(new TextContent(text));
        }

        return added;
    }

    // What was handed on cannot be taken back.
    private static string Grown(ref string handed, string now)
    {
        if (!now.StartsWith(handed, StringComparison.Ordinal))
        {
            return string.Empty;
        }

        string grown = now[handed.Length..];
        handed = now;
        return grown;
    }

    /// <summary>What was written and not handed on, as text.</summary>
    private IEnumerable<AIContent> Rest()
    {
        string written = _written.ToString();
        string handed = _content.Length > 0 ? _content : _thoughts;
        int start = handed.Length > 0 ? written.LastIndexOf(handed, StringComparison.Ordinal) : 0;
        string rest = start < 0 ? string.Empty : written[(start + handed.Length)..];
        _content += rest;
        return rest.Length > 0 ? [new TextContent(rest)] : [];
    }

    private static FunctionCallContent Call(ChatToolCall call) => FunctionCallContent.CreateFromParsedArguments(
        call.Arguments,
        call.Id!,
        call.Name,
        static json => (IDictionary<string, object?>?)JsonSerializer.Deserialize(json, AIJsonUtilities.DefaultOptions.GetTypeInfo(typeof(IDictionary<string, object?>))));
}
