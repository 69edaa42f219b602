using System.Text.RegularExpressions;

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

    private readonly EdgeModel _model;
    private readonly Frame? _frame;
    private readonly UnsupportedModelException? _error;

    private ChatFrame(EdgeModel model, string? defaultSystemPrompt, Frame? frame, UnsupportedModelException? error)
    {
        _model = model;
        DefaultSystemPrompt = defaultSystemPrompt;
        _frame = frame;
        _error = error;
    }

    /// <summary>The system prompt that the template itself writes when a conversation has none.</summary>
    public string? DefaultSystemPrompt { get; }

    /// <summary>Whether there is a template that llama.cpp knows.</summary>
    public bool HasTemplate => _frame is not null;

    private Frame Parts => _frame ?? throw new UnsupportedModelException(_error!.Message, _error);

    public static ChatFrame Of(EdgeModel model)
    {
        string? system = FindDefaultSystemPrompt(model.Metadata("tokenizer.chat_template"));
        try
        {
            return new ChatFrame(model, system, Split(model, system), error: null);
        }
        catch (UnsupportedModelException e)
        {
            // Kept for whoever asks: a model without a template can still be fed tokens.
            return new ChatFrame(model, system, frame: null, e);
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

    /// <summary>Tokens of the template's opening and a text that begins the user's turn.</summary>
    public int[] Open(string text)
    {
        string opening = Parts.Opening;
        (string special, string plain) = SplitAtLastControl(opening);
        List<int> tokens = [];
        if (BeginningOfText() is { } first)
        {
            int[] head = _model.Tokenize(special, parseSpecial: true);
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

    private static Frame Split(EdgeModel model, string? system)
    {
        List<ChatTurn> turns = [];
        if (system is not null)
        {
            turns.Add(new ChatTurn(SystemRole, system));
        }

        turns.Add(new ChatTurn(UserRole, FirstMark));
        string one = model.TemplateText(turns, addAssistant: true);
        turns.Add(new ChatTurn(AssistantRole, SecondMark));
        turns.Add(new ChatTurn(UserRole, ThirdMark));
        string three = model.TemplateText(turns, addAssistant: true);

        int first = one.IndexOf(FirstMark, StringComparison.Ordinal);
        int second = three.IndexOf(SecondMark, StringComparison.Ordinal);
        int third = three.IndexOf(ThirdMark, StringComparison.Ordinal);
        return first >= 0 && second >= 0 && third > second
            ? new Frame(one[..first], three[(second + SecondMark.Length)..third], one[(first + FirstMark.Length)..])
            : throw new UnsupportedModelException("The model's chat template does not write the turns of a conversation as they stand.");
    }

    private void Add(List<int> tokens, string text, bool parseSpecial)
    {
        if (text.Length > 0)
        {
            tokens.AddRange(_model.Tokenize(text, addSpecial: false, parseSpecial));
        }
    }

    /// <summary>The token that the model puts before every text, if any.</summary>
    private int? BeginningOfText()
    {
        foreach (int token in _model.Tokenize(string.Empty, addSpecial: true))
        {
            if (!_model.IsEnd(token))
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
        foreach (int token in _model.Tokenize(text, parseSpecial: true))
        {
            if (_model.Detokenize([token], special: false).Length == 0
                && _model.Detokenize([token], special: true) is { Length: > 0 } control
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
