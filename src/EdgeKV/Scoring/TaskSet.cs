namespace EdgeKV.Scoring;

/// <summary>
/// The tokens whose attention judges the context: one of <see cref="ContextTaskSet"/>, <see cref="RepeatTaskSet"/>,
/// <see cref="ProbeTaskSet"/>, <see cref="QuestionTaskSet"/>, <see cref="WindowTaskSet"/> and <see cref="TextTaskSet"/>. Compares by value.
/// </summary>
/// <remarks>
/// Several texts are fed one after another on top of the context; later ones see earlier ones. Their attention counts on the context's
/// columns only, and their rows are taken back afterwards (KVCompose, arXiv 2509.05165, section 3).
/// </remarks>
public abstract record TaskSet
{
    private protected TaskSet()
    {
    }

    /// <summary>What it is called: "context", "repeat", "probe", "question", "window" or "texts".</summary>
    public abstract string Name { get; }

    /// <summary>The context itself, fed once more on top of its own cache: knows no question. Needs a window of twice the context.</summary>
    public static TaskSet Context { get; } = new ContextTaskSet();

    /// <summary>
    /// The context repeated as an answer to the instruction to repeat it: knows no question. Needs a window of twice the context and some
    /// tokens more.
    /// </summary>
    public static TaskSet Repeat { get; } = new RepeatTaskSet();

    /// <summary>A general question, the same for every context: some forty tokens, however long the context is. Knows no question to come.</summary>
    public static TaskSet Probe { get; } = new ProbeTaskSet();

    /// <summary>The questions to come: query-aware compression.</summary>
    /// <param name="questions">At least one, none of them empty.</param>
    /// <exception cref="ArgumentException">There is no question, or one is empty.</exception>
    public static TaskSet Question(params IEnumerable<string> questions) => new QuestionTaskSet(TextList.From(questions, nameof(questions)));

    /// <summary>The last tokens of the context as they were prefilled: no second pass.</summary>
    /// <param name="tokens">Length of the window, 1 and up; a window longer than the context is the whole context.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="tokens"/> is below 1.</exception>
    public static TaskSet Window(int tokens) => new WindowTaskSet(tokens);

    /// <summary>Given texts, fed as they stand.</summary>
    /// <param name="texts">At least one, none of them empty.</param>
    /// <exception cref="ArgumentException">There is no text, or one is empty.</exception>
    public static TaskSet Texts(params IEnumerable<string> texts) => new TextTaskSet(TextList.From(texts, nameof(texts)));
}

/// <summary>The context fed once more: see <see cref="TaskSet.Context"/>.</summary>
public sealed record ContextTaskSet : TaskSet
{
    internal ContextTaskSet()
    {
    }

    /// <inheritdoc/>
    public override string Name => "context";
}

/// <summary>
/// The context repeated by the model: see <see cref="TaskSet.Repeat"/>. Fed on top of the context are, one after another, the text
/// "\n\nRepeat the previous context exactly.", the chat template's turn change to the model, and the context's tokens without the
/// template's prefix. All of them count as task tokens.
/// </summary>
public sealed record RepeatTaskSet : TaskSet
{
    internal RepeatTaskSet()
    {
    }

    /// <inheritdoc/>
    public override string Name => "repeat";
}

/// <summary>A general question, asked as the chat template puts it: see <see cref="TaskSet.Probe"/>.</summary>
public sealed record ProbeTaskSet : TaskSet
{
    internal ProbeTaskSet()
    {
    }

    /// <inheritdoc/>
    public override string Name => "probe";

    /// <summary>The question. Tables of profiles were found with it: other words need another table.</summary>
    public const string Text =
        "Who, what, where, when, why and how many: what are the names, the numbers, the keys and the codes, exactly as they are written?";
}

/// <summary>Questions, asked as the chat template puts them: see <see cref="TaskSet.Question"/>.</summary>
public sealed record QuestionTaskSet : TaskSet
{
    internal QuestionTaskSet(TextList questions) => Questions = questions;

    /// <inheritdoc/>
    public override string Name => "question";

    /// <summary>The questions in the order they are fed.</summary>
    public IReadOnlyList<string> Questions { get; }
}

/// <summary>The last tokens of the prefill: see <see cref="TaskSet.Window"/>.</summary>
public sealed record WindowTaskSet : TaskSet
{
    internal WindowTaskSet(int tokens)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        Tokens = tokens;
    }

    /// <inheritdoc/>
    public override string Name => "window";

    /// <summary>Length of the window in tokens, 1 and up.</summary>
    public int Tokens { get; }
}

/// <summary>Given texts: see <see cref="TaskSet.Texts"/>.</summary>
public sealed record TextTaskSet : TaskSet
{
    internal TextTaskSet(TextList prompts) => Prompts = prompts;

    /// <inheritdoc/>
    public override string Name => "texts";

    /// <summary>The texts in the order they are fed.</summary>
    public IReadOnlyList<string> Prompts { get; }
}
