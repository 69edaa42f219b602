using System.Text;
using System.Text.RegularExpressions;
using LLama;
using LLama.Native;

namespace EdgeKV.Models.Chat;

/// <summary>
/// What a model's chat template puts before, between and after the texts of a conversation. Found by having the template write out
/// markers, so that it works with any template.
/// </summary>
/// <remarks>
/// Texts of others are never read as control tokens: the template's parts and the texts are tokenized apart, except that plain text next
/// to plain text is tokenized as one, as it would be in the whole.
/// </remarks>
internal sealed partial class ChatFrame
{
    public const string SystemRole = "system";
    private const string UserRole = "user";
    private const string AssistantRole = "assistant";

    // Letters only, so that no template trims or escapes any of them.
    private const string FirstMark = "EdgeKVFirstMark";
    private const string SecondMark = "EdgeKVSecondMark";
    private const string ThirdMark = "EdgeKVThirdMark";

    private readonly Tokenizer _tokenizer;
    private readonly SafeLlamaModelHandle _model;
    private readonly Frame? _frame;
    private readonly UnsupportedModelException? _error;
    private readonly Lazy<int[]> _userHeader;
    private readonly Lazy<int[]> _openingHeader;
    private readonly Lazy<int[]> _assistantHeader;

    private ChatFrame(Tokenizer tokenizer, SafeLlamaModelHandle model, string? defaultSystemPrompt, Frame? frame, UnsupportedModelException? error)
    {
        _tokenizer = tokenizer;
        _model = model;
        DefaultSystemPrompt = defaultSystemPrompt;
        _frame = frame;
        _error = error;
        _userHeader = new Lazy<int[]>(() => Header(Parts.TurnChange));
        _openingHeader = new Lazy<int[]>(() => Header(Parts.Opening));
        _assistantHeader = new Lazy<int[]>(() => Header(Parts.Closing));
    }

    /// <summary>The system prompt that the template itself writes when a conversation has none.</summary>
    public string? DefaultSystemPrompt { get; }

    /// <summary>Whether there is a template that llama.cpp knows.</summary>
    public bool HasTemplate => _frame is not null;

    private Frame Parts => _frame ?? throw new UnsupportedModelException(_error!.Message, _error);

    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="model">The model.</param>
    /// <param name="systemPrompt">The system prompt of the conversation; null: the one that the template writes by itself, if any.</param>
    public static ChatFrame Of(Tokenizer tokenizer, SafeLlamaModelHandle model, string? systemPrompt = null)
    {
        string? system = systemPrompt ?? FindDefaultSystemPrompt(ModelMetadata.Read(model, "tokenizer.chat_template"));
        try
        {
            return new ChatFrame(tokenizer, model, system, Split(model, system), error: null);
        }
        catch (UnsupportedModelException e)
        {
            // Kept for whoever asks: a model without a template can still be fed tokens.
            return new ChatFrame(tokenizer, model, system, frame: null, e);
        }
    }

    /// <summary>
    /// llama.cpp knows templates by their look and leaves out system prompts that they write by themselves. Those of the ChatML family
    /// (SmolLM2, Qwen 2 and 2.5 among them) spell theirs out in one literal.
    /// </summary>
    public static string? FindDefaultSystemPrompt(string? template)
    {
        if (template is null)
        {
            return null;
        }

        Match match = SystemLiteral().Match(template);
        return match.Success ? match.Groups["prompt"].Value.Replace("\\n", "\n", StringComparison.Ordinal) : null;
    }

    /// <summary>A conversation as the template writes it, with the template's own system prompt where the conversation has none.</summary>
    public string Apply(IReadOnlyList<ChatTurn> turns, bool addAssistant)
    {
        ArgumentNullException.ThrowIfNull(turns);
        if (turns.Count == 0)
        {
            throw new ArgumentException("A conversation needs at least one turn.", nameof(turns));
        }

        foreach (ChatTurn turn in turns)
        {
            if (turn.Role.Contains('\0', StringComparison.Ordinal) || turn.Content.Contains('\0', StringComparison.Ordinal))
            {
                throw new ArgumentException("A turn has a zero character, which templates cannot carry.", nameof(turns));
            }
        }

        return DefaultSystemPrompt is { } system && turns.All(turn => turn.Role != SystemRole)
            ? TemplateText(_model, [new ChatTurn(SystemRole, system), .. turns], addAssistant)
            : TemplateText(_model, turns, addAssistant);
    }

    /// <summary>Whose turn some tokens end in. Ids that are not known match nothing.</summary>
    public ConversationTurn TurnOf(ReadOnlySpan<int> tokens)
    {
        if (tokens.IsEmpty)
        {
            return ConversationTurn.None;
        }

        if (_frame is null)
        {
            return ConversationTurn.Plain;
        }

        int user = Math.Max(LastEnd(tokens, _userHeader.Value), LastEnd(tokens, _openingHeader.Value));
        int assistant = LastEnd(tokens, _assistantHeader.Value);
        if (user < 0 && assistant < 0)
        {
            return ConversationTurn.Plain;
        }

        return EndedTokens(tokens) > 0 ? ConversationTurn.Ended
            : assistant > user ? ConversationTurn.Assistant
            : ConversationTurn.User;
    }

    /// <summary>Tokens of a question after some tokens, whoever's turn they end in, and of the header of the answer.</summary>
    /// <param name="context">The tokens that are there; ids that are not known match nothing.</param>
    /// <param name="turn">Whose turn they end in.</param>
    /// <param name="question">The question.</param>
    /// <param name="answerPrefix">Words that the answer begins with; empty for none.</param>
    public int[] Ask(ReadOnlySpan<int> context, ConversationTurn turn, string question, string answerPrefix) => turn switch
    {
        ConversationTurn.None => [.. Open(string.Empty), .. Close(question, answerPrefix, newTurn: false)],
        ConversationTurn.Assistant => Close(question, answerPrefix, newTurn: true),
        ConversationTurn.Ended => Close(question, answerPrefix, newTurn: true)[EndedTokens(context)..],
        _ => Close(question, answerPrefix, newTurn: false),
    };

    /// <summary>Tokens of the template's opening and a text that begins the user's turn.</summary>
    public int[] Open(string text)
    {
        string opening = Parts.Opening;
        (string special, string plain) = SplitAtLastControl(opening);
        List<int> tokens = [];
        if (BeginningOfText() is { } first)
        {
            int[] head = _tokenizer.Tokenize(special, parseSpecial: true);
            if (head.Length == 0 || head[0] != first)
            {
                tokens.Add(first);
            }
        }

        Add(tokens, special, parseSpecial: true);
        Add(tokens, plain + text, parseSpecial: false);
        return [.. tokens];
    }

    /// <summary>How many of a context's first tokens are the template's opening and not the user's text.</summary>
    public int OpeningLength(ReadOnlySpan<int> context)
    {
        if (_frame is null)
        {
            return 0;
        }

        int[] opening = Open(string.Empty);
        return context.Length > opening.Length && context.StartsWith(opening) ? opening.Length : 0;
    }

    /// <summary>Tokens of a text that ends the user's turn, and of the header of the answer with the words that it begins with.</summary>
    public int[] Close(string text, string answerPrefix, bool newTurn)
    {
        List<int> tokens = [];
        if (newTurn)
        {
            (string special, string plain) = SplitAtLastControl(Parts.TurnChange);
            Add(tokens, special, parseSpecial: true);
            text = plain + text;
        }

        string closing = Parts.Closing;
        int control = FirstControl(closing);
        if (control < 0)
        {
            Add(tokens, text + closing + answerPrefix, parseSpecial: false);
            return [.. tokens];
        }

        Add(tokens, text + closing[..control], parseSpecial: false);
        (string middle, string tail) = SplitAtLastControl(closing[control..]);
        Add(tokens, middle, parseSpecial: true);
        Add(tokens, tail + answerPrefix, parseSpecial: false);
        return [.. tokens];
    }

    private static Frame Split(SafeLlamaModelHandle model, string? system)
    {
        List<ChatTurn> turns = [];
        if (system is not null)
        {
            turns.Add(new ChatTurn(SystemRole, system));
        }

        turns.Add(new ChatTurn(UserRole, FirstMark));
        string one = TemplateText(model, turns, addAssistant: true);
        turns.Add(new ChatTurn(AssistantRole, SecondMark));
        turns.Add(new ChatTurn(UserRole, ThirdMark));
        string three = TemplateText(model, turns, addAssistant: true);

        int first = one.IndexOf(FirstMark, StringComparison.Ordinal);
        int second = three.IndexOf(SecondMark, StringComparison.Ordinal);
        int third = three.IndexOf(ThirdMark, StringComparison.Ordinal);
        return first >= 0 && second >= 0 && third > second
            ? new Frame(one[..first], three[(second + SecondMark.Length)..third], one[(first + FirstMark.Length)..])
            : throw new UnsupportedModelException("The model's chat template does not write the turns of a conversation as they stand.");
    }

    /// <summary>How many of the tokens that lead from an answer to the next user's text a context ends with already, where that ends the turn; else 0.</summary>
    private int EndedTokens(ReadOnlySpan<int> tokens)
    {
        ReadOnlySpan<int> change = _userHeader.Value;
        for (int count = Math.Min(change.Length - 1, tokens.Length); count > 0; count--)
        {
            if (tokens.EndsWith(change[..count]) && EndsTurn(change[..count]))
            {
                return count;
            }
        }

        return 0;
    }

    private bool EndsTurn(ReadOnlySpan<int> tokens)
    {
        foreach (int token in tokens)
        {
            if (_tokenizer.IsEnd(token))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The header that a text of the template ends with: its control tokens and the first words after them, which no text of a turn merges with.</summary>
    private int[] Header(string text)
    {
        (string special, string plain) = SplitAtLastControl(text);
        List<int> tokens = [];
        Add(tokens, special, parseSpecial: true);
        Add(tokens, plain.TrimEnd(), parseSpecial: false);
        return [.. tokens];
    }

    // Where the last occurrence of a header ends; -1 when there is none.
    private static int LastEnd(ReadOnlySpan<int> tokens, ReadOnlySpan<int> header)
    {
        int start = header.IsEmpty ? -1 : tokens.LastIndexOf(header);
        return start < 0 ? -1 : start + header.Length;
    }

    /// <summary>The conversation as llama.cpp writes it, without the template's own system prompt.</summary>
    private static string TemplateText(SafeLlamaModelHandle model, IReadOnlyList<ChatTurn> turns, bool addAssistant)
    {
        try
        {
            LLamaTemplate template = new(model) { AddAssistant = addAssistant };
            foreach (ChatTurn turn in turns)
            {
                template.Add(turn.Role, turn.Content);
            }

            return Encoding.UTF8.GetString(template.Apply());
        }
        catch (Exception e) when (e is LLama.Exceptions.TemplateNotFoundException or LLama.Exceptions.MissingTemplateException or LLama.Exceptions.RuntimeError)
        {
            throw new UnsupportedModelException($"The model has no chat template that llama.cpp can apply: {e.Message}", e);
        }
    }

    private void Add(List<int> tokens, string text, bool parseSpecial)
    {
        if (text.Length > 0)
        {
            tokens.AddRange(_tokenizer.Tokenize(text, addSpecial: false, parseSpecial));
        }
    }

    /// <summary>The token that the model puts before every text, if any.</summary>
    private int? BeginningOfText()
    {
        foreach (int token in _tokenizer.Tokenize(string.Empty, addSpecial: true))
        {
            if (!_tokenizer.IsEnd(token))
            {
                return token;
            }
        }

        return null;
    }

    private (string Special, string Plain) SplitAtLastControl(string text)
    {
        int end = 0;
        foreach (string control in Controls(text))
        {
            end = text.IndexOf(control, end, StringComparison.Ordinal) + control.Length;
        }

        return (text[..end], text[end..]);
    }

    private int FirstControl(string text)
    {
        foreach (string control in Controls(text))
        {
            return text.IndexOf(control, StringComparison.Ordinal);
        }

        return -1;
    }

    /// <summary>The texts of the control tokens in a text, in their order.</summary>
    private IEnumerable<string> Controls(string text)
    {
        foreach (int token in _tokenizer.Tokenize(text, parseSpecial: true))
        {
            if (_tokenizer.Detokenize([token], special: false).Length == 0
                && _tokenizer.Detokenize([token], special: true) is { Length: > 0 } control
                && text.Contains(control, StringComparison.Ordinal))
            {
                yield return control;
            }
        }
    }

    [GeneratedRegex("""<\|im_start\|>system(?:\\n|\n)(?<prompt>[^'"{}<>|]+)<\|im_end\|>""")]
    private static partial Regex SystemLiteral();

    /// <summary>The template's own text: before the user's text, from an answer to the next user's text, and after the user's text.</summary>
    private sealed record Frame(string Opening, string TurnChange, string Closing);
}
