namespace EdgeKV.Compression;

/// <summary>What was done before a plan is applied; nothing where a finished plan was given.</summary>
/// <param name="Policy">The policy's name.</param>
internal sealed record Planned(string Policy)
{
    public double? RatioAsked { get; init; }

    public ScoreCost? Scores { get; init; }

    public TimeSpan Prefill { get; init; }

    public TimeSpan Scoring { get; init; }

    public TimeSpan Planning { get; init; }
}
