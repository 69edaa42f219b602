using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>What a bench measures, and how often.</summary>
public sealed record BenchOptions
{
    /// <summary>The most tokens of a repeat: as many as a compact cache has room for, so that none grows while it is timed.</summary>
    public const int MostDecode = 256;

    /// <summary>Tokens of the context, each 1 and up.</summary>
    public required IReadOnlyList<int> Depths { get; init; }

    /// <summary>Shares of the rows to remove, each 0 to below 1.</summary>
    public required IReadOnlyList<double> Ratios { get; init; }

    /// <summary>Element types of the cache.</summary>
    public required IReadOnlyList<KvCacheType> CacheTypes { get; init; }

    /// <summary>Who decides which rows stay: a policy with its options, as it is typed.</summary>
    public required string Policy { get; init; }

    /// <summary>Times that everything up to the first token is measured, 1 and up.</summary>
    public int Prefills { get; init; } = 3;

    /// <summary>Of these, times that a repeat pass is measured too, 0 and up: it takes longer than a prefill.</summary>
    public int Passes { get; init; } = 1;

    /// <summary>Rounds of decoding, in which every cache has a turn, 1 and up.</summary>
    public int Repeats { get; init; } = 15;

    /// <summary>Rounds of decoding before these, not counted, 0 and up.</summary>
    public int WarmUp { get; init; } = 1;

    /// <summary>Tokens decoded in a turn, 1 to <see cref="MostDecode"/>.</summary>
    public int Decode { get; init; } = 16;

    /// <summary>Tokens of the question whose first answer token is waited for, 1 and up.</summary>
    public int Question { get; init; } = 32;

    /// <summary>Threads, at most <see cref="Sessions.SessionOptions.MostThreads"/>; 0 = physical cores.</summary>
    public int Threads { get; init; }

    /// <summary>Tokens that the text must have.</summary>
    public int TextTokens => Depths.Max() + Math.Max(Decode, Question);
}
