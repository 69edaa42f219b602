using EdgeKV.Compression;
using EdgeKV.Models;

namespace EdgeKV.Cli.Asking;

/// <summary>All that a run of <c>ask</c> found out; rendered as a table or written as JSON.</summary>
/// <param name="Rows">Kept rows, [layer][KV head].</param>
/// <param name="TaskSet">Null when no pass was run.</param>
/// <param name="Threshold">The least score that stayed; null when the budget alone decided.</param>
/// <param name="PeakBytes">The most that the backend reported for its KV buffers while the document was read; null without <c>--while-reading</c>.</param>
/// <param name="RatioAsked">Null when the budget was given in rows or bytes, or not at all.</param>
internal sealed record AskReport(
    ModelFacts Model,
    DocumentFacts Document,
    string Policy,
    string? TaskSet,
    ScoreFacts Scores,
    string CacheType,
    double? Threshold,
    double? RatioAsked,
    double Ratio,
    CacheFacts Full,
    CacheFacts Compact,
    long? PeakBytes,
    IReadOnlyList<IReadOnlyList<int>> Rows,
    StageSeconds Seconds,
    SpeedFacts TokensPerSecond,
    IReadOnlyList<AnswerFacts> Answers)
{
    /// <summary>Whether KV heads of one layer keep different numbers of rows.</summary>
    public bool IsRagged => Rows.Any(heads => heads.Distinct().Skip(1).Any());

    /// <summary>Whether the kept rows' positions have closed up.</summary>
    public bool Rerotated { get; init; }

    /// <summary>Dropped rows whose values went into kept ones; null where none were asked to.</summary>
    public long? MergedRows { get; init; }

    /// <summary>Finding those rows; null where none were asked to.</summary>
    public double? MergeSeconds { get; init; }
}

/// <param name="Layers">With and without a cache.</param>
/// <param name="Heads">Attention heads of a layer, the most of one where layers differ.</param>
/// <param name="KvHeads">KV heads of a layer, the most of one where layers differ.</param>
internal sealed record ModelFacts(string Path, string Description, int Layers, int Heads, int KvHeads, int Window)
{
    /// <summary>For example "9 attention heads on 3 KV heads", or "4 to 8 attention heads on 1 to 3 KV heads" where layers differ.</summary>
    internal string Sharing { get; private init; } = string.Empty;

    public static ModelFacts Of(EdgeModel model)
    {
        CacheGeometry geometry = model.Geometry;
        return new ModelFacts(model.Path, model.Description, model.Layers, geometry.Heads.Most, geometry.KvHeads.Most, model.Window)
        {
            Sharing = $"{Range(geometry.Layers.Select(layer => layer.Heads))} attention heads on {Range(geometry.Layers.Select(layer => layer.KvHeads))} KV heads",
        };

        static string Range(IEnumerable<int> heads) => heads.Min() == heads.Max() ? $"{heads.Min()}" : $"{heads.Min()} to {heads.Max()}";
    }
}

/// <param name="ContextTokens">With the opening of the chat template.</param>
internal sealed record DocumentFacts(string Source, long Bytes, int ContextTokens);

/// <param name="Rows">Of the context, over all layers and KV heads.</param>
/// <param name="RowBytes">What these rows take.</param>
/// <param name="BufferBytes">
/// What the backend reports for its KV buffers, which have room for later tokens too; null for a full cache that never was.
/// </param>
internal sealed record CacheFacts(long Rows, long RowBytes, long? BufferBytes);

/// <param name="PassTokens">Fed to score the context; 0: no pass was run.</param>
/// <param name="PassSeconds">Null: no pass was run.</param>
/// <param name="WeightBytes">Weights that every token went through while it was read; 0 without learned scores.</param>
/// <param name="WeightShare">These by the bytes of the model's own.</param>
internal sealed record ScoreFacts(string Name, long PassTokens, double? PassSeconds, long WeightBytes, double WeightShare)
{
    public static ScoreFacts Of(ScoreCost cost) => new(cost.Name, cost.PassTokens, cost.Pass?.TotalSeconds, cost.WeightBytes, cost.WeightShare);
}

internal sealed record StageSeconds(double Load, double Prefill, double Score, double Plan, double Apply);

/// <param name="Before">Decoding over the full cache; null when nothing measured it.</param>
/// <param name="After">Decoding over the compact cache; null when the answers were too short to tell.</param>
internal sealed record SpeedFacts(double? Prefill, double? Before, double? After);

/// <param name="Full">What the full cache answered; null without <c>--compare</c>.</param>
internal sealed record AnswerFacts(string Question, AnswerText? Full, AnswerText Compact);

/// <param name="Tokens">Tokens generated.</param>
/// <param name="PromptSeconds">Feeding the question.</param>
/// <param name="DecodedTokens">Decode steps that the answer took.</param>
/// <param name="DecodeSeconds">All of these steps.</param>
internal sealed record AnswerText(string Text, int Tokens, double PromptSeconds, int DecodedTokens, double DecodeSeconds);
