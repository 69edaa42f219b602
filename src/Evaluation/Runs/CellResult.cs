namespace EdgeKV.Evaluation;

/// <summary>One sample answered from one cache: a line of results.jsonl.</summary>
public sealed record CellResult
{
    /// <summary>What the full cache is called among policies.</summary>
    public const string FullCache = "full";

    /// <summary>The data set.</summary>
    public required string Dataset { get; init; }

    /// <summary>The task within it.</summary>
    public required string Task { get; init; }

    /// <summary>The sample within the task.</summary>
    public required string Id { get; init; }

    /// <summary>The policy with its options, as <see cref="Policies.Configuration.PolicyOptions"/> writes it; "full": nothing was removed.</summary>
    public required string Policy { get; init; }

    /// <summary>The share of the rows that was to go; null where rows were given, 0 for the full cache.</summary>
    public double? Ratio { get; init; }

    /// <summary>Rows per layer and KV head that were to stay; null where a ratio was given.</summary>
    public int? Rows { get; init; }

    /// <summary>The share of the rows that went: 1 - kept / (layers x KV heads x context tokens).</summary>
    public required double RatioAchieved { get; init; }

    /// <summary>Tokens of the context.</summary>
    public required int ContextTokens { get; init; }

    /// <summary>Where the needle lies, 0 to 1; null: the data set does not say.</summary>
    public double? Depth { get; init; }

    /// <summary>The length that the data set gives; null: none.</summary>
    public int? Length { get; init; }

    /// <summary>The metric, one of <see cref="MetricNames"/>.</summary>
    public required string Metric { get; init; }

    /// <summary>What it gave. NaN: the cell failed, and <see cref="Error"/> says why.</summary>
    public required double Score { get; init; }

    /// <summary>The answer; null for a perplexity.</summary>
    public string? Answer { get; init; }

    /// <summary>Why there is no score; null: there is one.</summary>
    public string? Error { get; init; }

    /// <summary>Bytes of the context's rows before.</summary>
    public required long FullBytes { get; init; }

    /// <summary>Bytes of the context's rows after.</summary>
    public required long Bytes { get; init; }

    /// <summary>The most positions that the cache held at one time, the task tokens of a scoring pass among them.</summary>
    public required long PeakPositions { get; init; }

    /// <summary>Rows kept by layer, over its KV heads; empty for the full cache.</summary>
    public IReadOnlyList<int> LayerRows { get; init; } = [];

    /// <summary>Seconds of reading the context, once per sample.</summary>
    public required double PrefillSeconds { get; init; }

    /// <summary>Seconds of this policy's own scores, had it been alone; 0 where they come with the prefill.</summary>
    public required double ScoreSeconds { get; init; }

    /// <summary>Seconds of planning.</summary>
    public required double PlanSeconds { get; init; }

    /// <summary>Seconds of rewriting the cache.</summary>
    public required double ApplySeconds { get; init; }

    /// <summary>Seconds of feeding the question.</summary>
    public required double QuestionSeconds { get; init; }

    /// <summary>Tokens of the answer.</summary>
    public required int AnswerTokens { get; init; }

    /// <summary>Seconds of decoding them.</summary>
    public required double DecodeSeconds { get; init; }
}
