using System.Text;
using System.Text.Json;

namespace EdgeKV.Models.Chat;

/// <summary>What a piece of a prompt is.</summary>
internal enum ChatSegmentKind
{
    /// <summary>The template's own text between its control tokens.</summary>
    Template,

    /// <summary>A control token of the template.</summary>
    Control,

    /// <summary>A text that was given: never read as control tokens.</summary>
    Content,
}

/// <summary>A piece of a prompt.</summary>
/// <param name="Text">Its text; empty only where an empty text was given.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Message">The message that a content belongs to, 0-based; -1 for the template's own.</param>
/// <param name="Part">The part of the message, 0-based; -1 for all that is no part of its content.</param>
internal readonly record struct ChatSegment(string Text, ChatSegmentKind Kind, int Message = -1, int Part = -1);

/// <summary>
/// A conversation as a chat template writes it, with what belongs to the answer that follows. It knows which of its text is the template's, so that
/// control tokens that a document or a question spells out stay plain text. Immutable.
/// </summary>
public sealed class ChatPrompt
{
    private readonly ChatSegment[] _segments;
    private readonly int? _firstToken;
    private readonly byte[] _answer;

    internal ChatPrompt(ChatSegment[] segments, int? firstToken, byte[] answer)
    {
        _segments = segments;
        _firstToken = firstToken;
        _answer = answer;
    }

    private ChatPrompt(ChatPrompt other, ChatSegment[] segments, int? firstToken)
        : this(segments, firstToken, other._answer)
    {
        Grammar = other.Grammar;
        Stops = other.Stops;
        Thinking = other.Thinking;
        Capabilities = other.Capabilities;
        Format = other.Format;
        AnswerHeader = other.AnswerHeader;
    }

    /// <summary>What the answer must look like; null for any text.</summary>
    public ChatGrammar? Grammar { get; internal init; }

    /// <summary>Texts that end an answer, besides the model's tokens that do.</summary>
    public IReadOnlyList<string> Stops { get; internal init; } = [];

    /// <summary>How the template deals with thoughts.</summary>
    public ChatThinking Thinking { get; internal init; } = new(IsSupported: false, string.Empty, string.Empty);

    /// <summary>What the template knows.</summary>
    public ChatCapabilities Capabilities { get; internal init; } = new(SystemRole: false, Tools: false, ToolCalls: false, ParallelToolCalls: false);

    /// <summary>The kind of answers, in llama.cpp's words.</summary>
    public string Format { get; internal init; } = string.Empty;

    /// <summary>The header of the answer, with which its grammar begins.</summary>
    internal string AnswerHeader { get; init; } = string.Empty;

    /// <summary>The whole text, without the token that some models put before every text.</summary>
    public string Text => string.Concat(_segments.Select(segment => segment.Text));

    internal IReadOnlyList<ChatSegment> Segments => _segments;

    /// <summary>
    /// The prompt's tokens. The template's parts and the given texts are tokenized apart, except that plain text next to plain text is tokenized as
    /// one, as it would be in the whole.
    /// </summary>
    /// <param name="tokenize">
    /// Tokens of a text, without those that the model puts around every text; the second argument says whether text such as &lt;|im_start|&gt;
    /// becomes its control token.
    /// </param>
    public int[] Tokenize(Func<string, bool, int[]> tokenize)
    {
        ArgumentNullException.ThrowIfNull(tokenize);
        List<int> tokens = [];
        StringBuilder plain = new();
        for (int start = 0; start < _segments.Length;)
        {
            if (_segments[start].Kind == ChatSegmentKind.Content)
            {
                plain.Append(_segments[start++].Text);
                continue;
            }

            // Between the first and the last control token of the template's text all is its own.
            int end = EndOfTemplate(start);
            int first = Array.FindIndex(_segments, start, end - start, segment => segment.Kind == ChatSegmentKind.Control);
            int last = Array.FindLastIndex(_segments, end - 1, end - start, segment => segment.Kind == ChatSegmentKind.Control);
            if (first >= 0)
            {
                plain.Append(TextOf(start, first));
                Add(plain.ToString(), parseSpecial: false);
                plain.Clear();
                Add(TextOf(first, last + 1), parseSpecial: true);
                start = last + 1;
            }

            plain.Append(TextOf(start, end));
            start = end;
        }

        Add(plain.ToString(), parseSpecial: false);
        if (_firstToken is { } token && (tokens.Count == 0 || tokens[0] != token))
        {
            tokens.Insert(0, token);
        }

        return [.. tokens];

        void Add(string text, bool parseSpecial)
        {
            if (text.Length > 0)
            {
                tokens.AddRange(tokenize(text, parseSpecial));
            }
        }
    }

    /// <summary>
    /// The prompt in two: up to the end of a part of a message, and what follows. A document that is read and compressed before the question is known
    /// is the first half; the halves' tokens one after the other are fed to the model.
    /// </summary>
    /// <param name="message">The message, 0-based.</param>
    /// <param name="part">The part of it; null for its last one.</param>
    /// <exception cref="ArgumentOutOfRangeException">The prompt has no such part.</exception>
    public (ChatPrompt Before, ChatPrompt After) CutAfter(int message, int? part = null)
    {
        int cut = Array.FindLastIndex(_segments, segment => segment.Message == message && segment.Part >= 0 && (part is null || segment.Part == part));
        return cut >= 0
            ? (new ChatPrompt(this, _segments[..(cut + 1)], _firstToken), new ChatPrompt(this, _segments[(cut + 1)..], firstToken: null))
            : throw new ArgumentOutOfRangeException(nameof(message), $"The prompt has no part {part?.ToString() ?? "at all"} of message {message}.");
    }

    /// <summary>The prompt with a text after it: more of a document, or words that the answer begins with.</summary>
    /// <param name="text">The text. Words of the answer are part of what <see cref="ReadAnswer"/> must be given.</param>
    public ChatPrompt Append(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.Length == 0 ? this : new ChatPrompt(this, [.. _segments, new ChatSegment(text, ChatSegmentKind.Content)], _firstToken);
    }

    /// <summary>Takes an answer to this prompt apart.</summary>
    /// <param name="answer">The answer's text, control tokens as text, from its first token on.</param>
    /// <param name="isPartial">Whether more of it may follow.</param>
    /// <exception cref="SessionStateException">The answer is not of the form that the template's answers have.</exception>
    /// <exception cref="UnsupportedModelException">The answer takes more time or memory to read than is allowed.</exception>
    public ChatAnswer ReadAnswer(string answer, bool isPartial = false)
    {
        ArgumentNullException.ThrowIfNull(answer);
        NativeChatAnswer read = JsonSerializer.Deserialize(NativeChat.Parse(_answer, answer, isPartial), ChatJson.Default.NativeChatAnswer)!;
        return new ChatAnswer(
            read.Content,
            read.ReasoningContent,
            [.. read.ToolCalls.Select(call => new ChatToolCall(call.Name, call.Arguments, call.Id.Length > 0 ? call.Id : null))]);
    }

    /// <summary>The prompt after a given text.</summary>
    internal ChatPrompt Behind(string text) => new(this, [new ChatSegment(text, ChatSegmentKind.Content), .. _segments], firstToken: null);

    /// <summary>The prompt and another one after it.</summary>
    internal ChatPrompt Then(ChatPrompt next) => new(next, [.. _segments, .. next._segments], _firstToken);

    /// <summary>The prompt without the white space at its end and without the token before it: what any text that it is in has of it.</summary>
    internal ChatPrompt Trimmed() => new(this, TrimmedEnd()._segments, firstToken: null);

    /// <summary>The prompt without the white space at its end.</summary>
    internal ChatPrompt TrimmedEnd()
    {
        ChatSegment[] segments = [.. _segments.Where(segment => segment.Text.Length > 0)];
        if (segments is [.., { Kind: ChatSegmentKind.Template }])
        {
            segments[^1] = segments[^1] with { Text = segments[^1].Text.TrimEnd() };
        }

        return new ChatPrompt(this, segments, _firstToken);
    }

    private int EndOfTemplate(int start)
    {
        int content = Array.FindIndex(_segments, start, segment => segment.Kind == ChatSegmentKind.Content);
        return content < 0 ? _segments.Length : content;
    }

    private string TextOf(int start, int end) => string.Concat(_segments[start..end].Select(segment => segment.Text));
}
