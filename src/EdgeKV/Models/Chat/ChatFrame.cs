using LLama.Native;

namespace EdgeKV.Models.Chat;

/// <summary>
/// What a model's chat template puts before, between and after the texts of a conversation of the form document, question, answer, question, ... It is
/// written out once, so that each text costs no more than its tokens.
/// </summary>
internal sealed class ChatFrame
{
    private readonly Tokenizer _tokenizer;
    private readonly ChatTemplate _template;
    private readonly string? _systemPrompt;
    private readonly ChatTemplateOptions _options;
    private readonly Frame? _frame;
    private readonly UnsupportedModelException? _error;
    private readonly Lazy<int[]> _userHeader;
    private readonly Lazy<int[]> _openingHeader;
    private readonly Lazy<int[]> _assistantHeader;
    private readonly Lazy<(int[] Tokens, int Least)[]> _openings;

    private ChatFrame(
        Tokenizer tokenizer, ChatTemplate template, string? systemPrompt, ChatTemplateOptions options, Frame? frame, UnsupportedModelException? error)
    {
        _options = options;
        _tokenizer = tokenizer;
        _template = template;
        _systemPrompt = systemPrompt;
        _frame = frame;
        _error = error;
        _userHeader = new Lazy<int[]>(() => Tokens(Parts.TurnChange.Trimmed()));
        _openingHeader = new Lazy<int[]>(() => Tokens(Parts.Opening.Trimmed()));
        _assistantHeader = new Lazy<int[]>(() => Tokens(Parts.Closing.Trimmed()));
        _openings = new Lazy<(int[], int)[]>(FindOpenings, LazyThreadSafetyMode.PublicationOnly);
    }

    /// <summary>The system prompt of the conversation, else the one that the template itself writes; null for none.</summary>
    public string? DefaultSystemPrompt => _systemPrompt ?? _template.DefaultSystemPrompt;

    /// <summary>What belongs to an answer: the texts that end it, what it must look like, and how it is taken apart. Null without a template.</summary>
    public ChatPrompt? Answers => _frame?.Closing;

    /// <summary>Whether there is a template that can be used.</summary>
    public bool HasTemplate => _frame is not null;

    private Frame Parts => _frame ?? throw new UnsupportedModelException(_error!.Message, _error);

    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="model">The model.</param>
    /// <param name="path">The model's file, for messages.</param>
    /// <param name="systemPrompt">The system prompt of the conversation; null: the one that the template writes by itself, if any.</param>
    /// <param name="options">How the template writes the conversation; null for the defaults.</param>
    public static ChatFrame Of(Tokenizer tokenizer, SafeLlamaModelHandle model, string path, string? systemPrompt = null, ChatTemplateOptions? options = null)
    {
        ChatTemplate template = new(model);
        options = (options ?? new ChatTemplateOptions()) with { AddGenerationPrompt = true };
        try
        {
            return new ChatFrame(tokenizer, template, systemPrompt, options, Frame.Of(template, systemPrompt, options), error: null);
        }
        catch (UnsupportedModelException e)
        {
            // Kept for whoever asks: a model without a template can still be fed tokens.
            UnsupportedModelException named = new($"The chat template of the model {path} cannot be used: {e.Message.TrimEnd('.')}. Take another file of the model, or feed tokens.", e);
            return new ChatFrame(tokenizer, template, systemPrompt, options, frame: null, named);
        }
    }

    /// <summary>A conversation as the template writes it, with the template's own system prompt where the conversation has none.</summary>
    public string Apply(IReadOnlyList<ChatTurn> turns, bool addAssistant)
    {
        ArgumentNullException.ThrowIfNull(turns);
        IEnumerable<ChatMessage> messages = turns.Select(turn => new ChatMessage(turn.Role, turn.Content));
        if (_systemPrompt is { } system && turns.All(turn => turn.Role != ChatMessage.SystemRole))
        {
            messages = messages.Prepend(ChatMessage.System(system));
        }

        return _template.Render([.. messages], _options with { AddGenerationPrompt = addAssistant }).Text;
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
    public int[] Open(string text) => Tokens(Parts.Opening.Append(text));

    /// <summary>
    /// How many of a context's first tokens are the conversation's opening and not the user's text: all up to the first user's text, the system prompt among them; where the
    /// context begins with another system's turn, that turn's header.
    /// </summary>
    /// <param name="context">The tokens that are there; ids that are not known match nothing.</param>
    public int OpeningLength(ReadOnlySpan<int> context)
    {
        int length = 0;
        foreach ((int[] opening, int least) in _frame is null ? [] : _openings.Value)
        {
            int common = context.CommonPrefixLength(opening);
            length = Math.Max(length, common >= least && common < context.Length ? common : 0);
        }

        return length;
    }

    /// <summary>Tokens of a text that ends the user's turn, and of the header of the answer with the words that it begins with.</summary>
    public int[] Close(string text, string answerPrefix, bool newTurn)
    {
        ChatPrompt closing = Parts.Closing.Behind(text).Append(answerPrefix);
        return Tokens(newTurn ? Parts.TurnChange.Then(closing) : closing);
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

    /// <summary>
    /// The openings that a context may have, and how many tokens of each must be there: the last ones are white space, which the tokenizer may put together with the
    /// text that follows.
    /// </summary>
    private (int[] Tokens, int Least)[] FindOpenings()
    {
        List<ChatPrompt> openings = [Parts.Opening];
        try
        {
            ChatMessage[] places = [ChatMessage.System(string.Empty), ChatMessage.User(string.Empty)];
            openings.Add(_template.RenderPlaces(places, _options).CutAfter(message: 0).Before);
        }
        catch (UnsupportedModelException)
        {
            // The template has no system's turn.
        }

        return [.. openings.Select(opening => (Tokens(opening), Tokens(opening.TrimmedEnd()).Length)).Where(opening => opening.Item2 > 0)];
    }

    // Where the last occurrence of a header ends; -1 when there is none.
    private static int LastEnd(ReadOnlySpan<int> tokens, ReadOnlySpan<int> header)
    {
        int start = header.IsEmpty ? -1 : tokens.LastIndexOf(header);
        return start < 0 ? -1 : start + header.Length;
    }

    private int[] Tokens(ChatPrompt prompt) => prompt.Tokenize((text, parseSpecial) => _tokenizer.Tokenize(text, addSpecial: false, parseSpecial));

    /// <summary>What the template writes before the user's text, from an answer to the next user's text, and after the user's text.</summary>
    private sealed record Frame(ChatPrompt Opening, ChatPrompt TurnChange, ChatPrompt Closing)
    {
        public static Frame Of(ChatTemplate template, string? systemPrompt, ChatTemplateOptions options)
        {
            ChatMessage[] system = systemPrompt is null ? [] : [ChatMessage.System(systemPrompt)];
            ChatPrompt first = template.RenderPlaces([.. system, ChatMessage.User(string.Empty)], options);
            ChatPrompt next = template.RenderPlaces(
                [ChatMessage.User(string.Empty), ChatMessage.Assistant(string.Empty), ChatMessage.User(string.Empty)], options);
            try
            {
                ChatPrompt change = next.CutAfter(message: 1).After.CutAfter(message: 2).Before;
                return new Frame(first.CutAfter(system.Length).Before, change, first.CutAfter(system.Length).After);
            }
            catch (ArgumentOutOfRangeException e)
            {
                throw new UnsupportedModelException("The model's chat template leaves texts of the conversation out.", e);
            }
        }
    }
}
