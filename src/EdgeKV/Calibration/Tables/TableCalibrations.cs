using EdgeKV.Policies;

namespace EdgeKV.Calibration;

/// <summary>All tables that calibration can find: the one place where a new one is added.</summary>
internal static class TableCalibrations
{
    // Of the texts whose queries and keys are looked at: kvpress takes 50 for DuoAttention's stand-in.
    private const int Texts = 50;
    private const int TextTokens = 250;

    // Of those that are repeated too: fewer and longer ones.
    private const int RepeatedTexts = 12;

    private static readonly Dictionary<string, Func<EdgeModel, CalibrationTexts, CalibrationOptions, TableCalibration>> All = new(StringComparer.Ordinal)
    {
        [CompressKV.PolicyName] = (model, texts, options) => new CompressKVTable(
            model,
            options,
            NeedlePrompts.Of(model, texts, options.TextTokens, options.Seed, CompressKVTable.AnswerTokens),
            $"{NeedlePrompts.Description}, in documents of {texts.Name}"),
        [DuoAttention.PolicyName] = (model, texts, options) => new DuoAttentionTable(
            model, options, Tokens(model, texts, options, Texts, TextTokens), Source(texts, Texts, TextTokens)),
        [LUKV.PolicyName] = (model, texts, options) => new LUKVTable(
            model,
            options,
            Repeatable(model, texts, options),
            Source(texts, RepeatedTexts, options.TextTokens)),
        [QFilters.PolicyName] = (model, texts, options) => new QFiltersTable(
            model, options, Tokens(model, texts, options, Texts, TextTokens), Source(texts, Texts, TextTokens)),
        [RazorAttention.PolicyName] = (model, _, options) => new RazorAttentionTable(model, options),
    };

    /// <summary>The policies that need a table.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. All.Keys];

    /// <summary>How the table of a policy is found.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="model">The model.</param>
    /// <param name="texts">What prompts and texts are made from.</param>
    /// <param name="options">Seed and threads.</param>
    public static TableCalibration Of(string name, EdgeModel model, CalibrationTexts texts, CalibrationOptions options) => All[name](model, texts, options);

    private static string Source(CalibrationTexts texts, int count, int length) =>
        FormattableString.Invariant($"up to {count} texts of up to {length} tokens from {texts.Name}");

    private static List<int[]> Tokens(EdgeModel model, CalibrationTexts texts, CalibrationOptions options, int count, int length, int least = 1)
    {
        length = Math.Min(length, model.Window);
        return
        [
            .. texts.Take(heldOut: false, options.TextTokens, options.Seed).Select(text => model.TokenizeDocument(text.Text))
                .Where(tokens => tokens.Length >= least)
                .Take(count)
                .Select(tokens => tokens.Length > length ? tokens[..length] : tokens),
        ];
    }

    // A text, the instruction to repeat it, and the text once more fit the window.
    private static List<int[]> Repeatable(EdgeModel model, CalibrationTexts texts, CalibrationOptions options)
    {
        int fits = (model.Window - model.RepeatInstruction().Length) / 2;
        List<int[]> found = Tokens(model, texts, options, RepeatedTexts, Math.Min(options.TextTokens, fits), LUKVTable.LeastTokens);
        return fits < LUKVTable.LeastTokens
            ? throw new ContextWindowException(
                $"{LUKV.PolicyName} needs texts of {LUKVTable.LeastTokens} tokens and their repetition; the model's window of {model.Window} tokens holds no such text.",
                2 * LUKVTable.LeastTokens + model.RepeatInstruction().Length,
                model.Window)
            : found.Count > 0
                ? found
                : throw new ProfileException($"The texts in {texts.Name} are too short for {LUKV.PolicyName}, which needs {LUKVTable.LeastTokens} tokens; give longer ones.");
    }
}
