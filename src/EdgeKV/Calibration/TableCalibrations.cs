using EdgeKV.Models;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Calibration;

/// <summary>All tables that calibration can find: the one place where a new one is added.</summary>
internal static class TableCalibrations
{
    // Of the texts whose queries and keys are looked at: kvpress takes 50 for DuoAttention's stand-in.
    private const int Texts = 50;
    private const int TextTokens = 250;

    // Of those that are repeated too: fewer and longer ones.
    private const int RepeatedTexts = 12;

    // Tables about the model alone, and those about what a learned map predicts.
    private static readonly Dictionary<string, Func<EdgeModel, CalibrationTexts, CalibrationOptions, TableCalibration>> OfModel = new(StringComparer.Ordinal)
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
            Repeatable(model, Pieces(model, texts, options), texts.Name, options, LUKV.PolicyName, LUKVTable.LeastTokens),
            Source(texts, RepeatedTexts, options.TextTokens)),
        [QFilters.PolicyName] = (model, texts, options) => new QFiltersTable(
            model, options, Tokens(model, texts, options, Texts, TextTokens), Source(texts, Texts, TextTokens)),
        [RazorAttention.PolicyName] = (model, _, options) => new RazorAttentionTable(model, options),
    };

    private static readonly Dictionary<string, Func<EdgeModel, ScoreProfile, CalibrationTexts, CalibrationOptions, TableCalibration>> OfMap = new(StringComparer.Ordinal)
    {
        [ProbedScorer.TableName] = (model, map, texts, options) => new ProbeTable(
            model,
            map,
            options,
            Repeatable(model, AfterLearned(model, texts, options), texts.Name, options, ProbedScorer.TableName, ProbeTable.LeastTokens),
            Source(texts, RepeatedTexts, options.TextTokens)),
    };

    /// <summary>The policies that need a table.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. OfModel.Keys, .. OfMap.Keys];

    /// <summary>How the table of a policy is found.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="model">The model.</param>
    /// <param name="map">The profile whose learned map it is about; null where <see cref="IsOfMap"/> says that it is about none.</param>
    /// <param name="texts">What prompts and texts are made from.</param>
    /// <param name="options">Seed and threads, and how much the map is learned from.</param>
    public static TableCalibration Of(string name, EdgeModel model, ScoreProfile? map, CalibrationTexts texts, CalibrationOptions options) =>
        OfModel.TryGetValue(name, out var make) ? make(model, texts, options) : OfMap[name](model, map!, texts, options);

    /// <summary>Whether a table is about what the learned map predicts, and has to be found after it.</summary>
    public static bool IsOfMap(string name) => OfMap.ContainsKey(name);

    private static string Source(CalibrationTexts texts, int count, int length) =>
        FormattableString.Invariant($"up to {count} texts of up to {length} tokens from {texts.Name}");

    private static IEnumerable<int[]> Pieces(EdgeModel model, CalibrationTexts texts, CalibrationOptions options) =>
        texts.Take(heldOut: false, options.TextTokens, options.Seed).Select(text => model.TokenizeDocument(text.Text));

    // Those that follow what a map is learned from; all where nothing follows.
    private static IEnumerable<int[]> AfterLearned(EdgeModel model, CalibrationTexts texts, CalibrationOptions options)
    {
        long learned = 0;
        bool any = false;
        foreach (int[] tokens in Pieces(model, texts, options))
        {
            if (learned >= options.Tokens && tokens.Length >= ProbeTable.LeastTokens)
            {
                any = true;
                yield return tokens;
            }

            learned += Math.Min(tokens.Length, options.TextTokens);
        }

        if (!any)
        {
            foreach (int[] tokens in Pieces(model, texts, options))
            {
                yield return tokens;
            }
        }
    }

    private static List<int[]> Tokens(EdgeModel model, CalibrationTexts texts, CalibrationOptions options, int count, int length) =>
        Cut(Pieces(model, texts, options), count, Math.Min(length, model.Window), least: 1);

    private static List<int[]> Cut(IEnumerable<int[]> pieces, int count, int length, int least) =>
    [
        .. pieces.Where(tokens => tokens.Length >= least).Take(count).Select(tokens => tokens.Length > length ? tokens[..length] : tokens),
    ];

    // A text, the instruction to repeat it, and the text once more fit the window.
    private static List<int[]> Repeatable(
        EdgeModel model, IEnumerable<int[]> pieces, string source, CalibrationOptions options, string table, int least)
    {
        int fits = (model.Window - model.RepeatInstruction().Length) / 2;
        if (fits < least)
        {
            throw new ContextWindowException(
                $"{table} needs texts of {least} tokens and their repetition; the model's window of {model.Window} tokens holds no such text.",
                2 * least + model.RepeatInstruction().Length,
                model.Window);
        }

        List<int[]> found = Cut(pieces, RepeatedTexts, Math.Min(options.TextTokens, fits), least);
        return found.Count > 0
            ? found
            : throw new CalibrationTextException($"The texts in {source} are too short for {table}, which needs {least} tokens; give longer ones.");
    }
}
