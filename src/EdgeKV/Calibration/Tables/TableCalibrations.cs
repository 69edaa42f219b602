using EdgeKV.Policies;

namespace EdgeKV.Calibration;

/// <summary>All tables that calibration can find: the one place where a new one is added.</summary>
internal static class TableCalibrations
{
    // Of the texts whose queries and keys are looked at: kvpress takes 50 for DuoAttention's stand-in.
    private const int Texts = 50;
    private const int TextTokens = 250;

    private static readonly Dictionary<string, Func<EdgeModel, CalibrationTexts, CalibrationOptions, TableCalibration>> All = new(StringComparer.Ordinal)
    {
        [CompressKV.PolicyName] = (model, texts, options) => new CompressKVTable(
            model,
            options,
            NeedlePrompts.Of(model, texts, options.TextTokens, options.Seed, CompressKVTable.AnswerTokens),
            $"{NeedlePrompts.Description}, in documents of {texts.Name}"),
        [DuoAttention.PolicyName] = (model, texts, options) => new DuoAttentionTable(model, options, Tokens(model, texts, options), Source(texts)),
        [QFilters.PolicyName] = (model, texts, options) => new QFiltersTable(model, options, Tokens(model, texts, options), Source(texts)),
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

    private static string Source(CalibrationTexts texts) => FormattableString.Invariant($"up to {Texts} texts of up to {TextTokens} tokens from {texts.Name}");

    private static List<int[]> Tokens(EdgeModel model, CalibrationTexts texts, CalibrationOptions options)
    {
        int length = Math.Min(TextTokens, model.Window);
        return
        [
            .. texts.Take(heldOut: false, options.TextTokens, options.Seed).Take(Texts).Select(text => model.TokenizeDocument(text.Text))
                .Select(tokens => tokens.Length > length ? tokens[..length] : tokens),
        ];
    }
}
