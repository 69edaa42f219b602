using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>All that a run of <c>bench</c> found out, and what is needed to repeat it. docs/guide/bench.md defines the figures.</summary>
public sealed record BenchReport
{
    /// <summary>Of the layout of the JSON.</summary>
    public const int CurrentVersion = 1;

    /// <summary><see cref="CurrentVersion"/> when it was written.</summary>
    public required int Version { get; init; }

    /// <summary>EdgeKV's version.</summary>
    public required string EdgeKV { get; init; }

    /// <summary>llama.cpp's tag.</summary>
    public required string LlamaCpp { get; init; }

    /// <summary>The machine.</summary>
    public required Machine Machine { get; init; }

    /// <summary>Its load when the bench began, as <see cref="Machine.Load"/> has it; null where the system does not say.</summary>
    public double? Load { get; init; }

    /// <summary>The model.</summary>
    public required BenchModel Model { get; init; }

    /// <summary>SHA-256 of the profile of learned scores; null: the model has none.</summary>
    public string? ProfileSha256 { get; init; }

    /// <summary>What was read: a file, or "generated".</summary>
    public required string Text { get; init; }

    /// <summary>SHA-256 of the text.</summary>
    public required string TextSha256 { get; init; }

    /// <summary>What was asked for.</summary>
    public required BenchOptions Options { get; init; }

    /// <summary>What the policy ranked by: <see cref="Scoring.ScoreRequest.Name"/>.</summary>
    public required string Scores { get; init; }

    /// <summary>When it was begun, in UTC.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>When it was done, in UTC.</summary>
    public required DateTimeOffset Ended { get; init; }

    /// <summary>What was measured: for each depth each cache type, in the order in which they were asked for.</summary>
    public required IReadOnlyList<BenchSeries> Series { get; init; }

    /// <summary>What was asked for and could not be measured; empty: nothing.</summary>
    public IReadOnlyList<BenchFailure> Failures { get; init; } = [];
}

/// <summary>A series that was not measured.</summary>
/// <param name="Depth">Tokens of the context.</param>
/// <param name="CacheType">Element type of the cache.</param>
/// <param name="Reason">Why.</param>
public sealed record BenchFailure(int Depth, KvCacheType CacheType, string Reason);

/// <summary>The model of a bench.</summary>
/// <param name="File">Its file's name.</param>
/// <param name="Description">What llama.cpp calls it.</param>
/// <param name="Sha256">SHA-256 of the file, in hexadecimal.</param>
/// <param name="WeightBytes">Bytes of all tensors.</param>
/// <param name="Layers">Layers.</param>
/// <param name="KvHeads">KV heads of a layer, the most of one where layers differ.</param>
public sealed record BenchModel(string File, string Description, string Sha256, long WeightBytes, int Layers, int KvHeads);

/// <summary>One depth with one cache type: the full cache, and what is left of it at every ratio.</summary>
public sealed record BenchSeries
{
    /// <summary>Tokens of the context.</summary>
    public required int Depth { get; init; }

    /// <summary>Element type of the cache.</summary>
    public required KvCacheType CacheType { get; init; }

    /// <summary>Tokens per second of a prefill without learned scores.</summary>
    public required Measured Prefill { get; init; }

    /// <summary>The same with learned scores; null: the model has no profile.</summary>
    public Measured? LearnedPrefill { get; init; }

    /// <summary>Seconds that learned scores add to a prefill.</summary>
    public Measured? LearnedSeconds { get; init; }

    /// <summary>Seconds of a prefill with learned scores by those of one without.</summary>
    public Measured? LearnedOverPrefill { get; init; }

    /// <summary>Tokens that a repeat pass feeds; 0: none was run.</summary>
    public int PassTokens { get; init; }

    /// <summary>Seconds of a repeat pass; null: none was run.</summary>
    public Measured? PassSeconds { get; init; }

    /// <summary>Seconds of scoring as the policy asks for it: of its pass, or of fetching what the prefill computed.</summary>
    public required Measured ScoreSeconds { get; init; }

    /// <summary>The full cache, in llama.cpp's layout and with its kernels.</summary>
    public required BenchBaseline Full { get; init; }

    /// <summary>The compact caches, in the order of the ratios.</summary>
    public required IReadOnlyList<BenchCell> Cells { get; init; }
}

/// <summary>The full cache: what everything else of its series is relative to.</summary>
public sealed record BenchBaseline
{
    /// <summary>Rows of the context, over all layers and KV heads.</summary>
    public required long Rows { get; init; }

    /// <summary>Bytes of these rows.</summary>
    public required long RowBytes { get; init; }

    /// <summary>Bytes of its buffers, as the backends report them: unused cells are among them.</summary>
    public required long BufferBytes { get; init; }

    /// <summary>Seconds to the first token: prefill and question.</summary>
    public required Measured FirstToken { get; init; }

    /// <summary>Tokens per second of decoding.</summary>
    public required Measured Decode { get; init; }

    /// <summary>Tokens per second of decoding over an empty cache.</summary>
    public required Measured EmptyDecode { get; init; }
}

/// <summary>What is left of a cache at one ratio.</summary>
public sealed record BenchCell
{
    /// <summary>The ratio asked for.</summary>
    public required double Ratio { get; init; }

    /// <summary>The share of the rows that is gone.</summary>
    public required double RatioAchieved { get; init; }

    /// <summary>Kept rows, over all layers and KV heads.</summary>
    public required long Rows { get; init; }

    /// <summary>Bytes of these rows.</summary>
    public required long RowBytes { get; init; }

    /// <summary>Bytes of its buffers, as the backends report them: room for later tokens is among them.</summary>
    public required long BufferBytes { get; init; }

    /// <summary>The process's resident memory just before the rows were dropped, the other caches of the bench among it.</summary>
    public required long ResidentBefore { get; init; }

    /// <summary>The same just afterwards.</summary>
    public required long ResidentAfter { get; init; }

    /// <summary>Seconds of planning.</summary>
    public required Measured PlanSeconds { get; init; }

    /// <summary>Seconds of rewriting the cache.</summary>
    public required Measured ApplySeconds { get; init; }

    /// <summary>Seconds to the first token: prefill, scoring, planning, applying and question.</summary>
    public required Measured FirstToken { get; init; }

    /// <summary>These by the full cache's.</summary>
    public required Measured FirstTokenOverFull { get; init; }

    /// <summary>Tokens per second of decoding.</summary>
    public required Measured Decode { get; init; }

    /// <summary>These by the full cache's.</summary>
    public required Measured SpeedUp { get; init; }

    /// <summary>
    /// The speed-up that the bytes alone would give by the clock: a step over the full cache by one that takes as long as over an empty cache and
    /// the kept share of the rest.
    /// </summary>
    public required Measured IdealByTime { get; init; }

    /// <summary>The measured speed-up by it.</summary>
    public required Measured OfIdealByTime { get; init; }

    /// <summary>The speed-up that the bytes alone would give if a step took as long as reading: (weights + full rows) / (weights + kept rows).</summary>
    public required double IdealByBytes { get; init; }

    /// <summary>The measured speed-up by it.</summary>
    public required Measured OfIdealByBytes { get; init; }
}
