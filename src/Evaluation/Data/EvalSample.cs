namespace EdgeKV.Evaluation;

/// <summary>One question about one context, from any data set.</summary>
public sealed record EvalSample
{
    /// <summary>What the data set is called in results, such as "ruler/2048".</summary>
    public required string Dataset { get; init; }

    /// <summary>The task within it, such as "niah_single_2"; the data set's name again where it has one task.</summary>
    public required string Task { get; init; }

    /// <summary>What tells it from the others of its task.</summary>
    public required string Id { get; init; }

    /// <summary>What is compressed: everything before the question.</summary>
    public required string Context { get; init; }

    /// <summary>What is fed after the context; empty where a continuation is measured.</summary>
    public required string Question { get; init; }

    /// <summary>The words that the answer begins with; empty: none.</summary>
    public string AnswerPrefix { get; init; } = string.Empty;

    /// <summary>The right answers; how many must be met is the metric's affair. For <see cref="MetricNames.Perplexity"/> the continuation.</summary>
    public required IReadOnlyList<string> Answers { get; init; }

    /// <summary>All classes, where the metric is a classification; else empty.</summary>
    public IReadOnlyList<string> Classes { get; init; } = [];

    /// <summary>How answers are judged, one of <see cref="MetricNames"/>.</summary>
    public required string Metric { get; init; }

    /// <summary>The most tokens of an answer.</summary>
    public required int NewTokens { get; init; }

    /// <summary>Whether an answer ends at the first newline (after the reference's 8 tokens at least).</summary>
    public bool StopsAtNewline { get; init; }

    /// <summary>Where a needle lies, 0 (first) to 1 (last); null: there is no such thing.</summary>
    public double? Depth { get; init; }

    /// <summary>The length that the data set gives the sample, in its own tokens; null: it gives none.</summary>
    public int? Length { get; init; }

    /// <summary>File and line, for messages.</summary>
    public required string Source { get; init; }
}
