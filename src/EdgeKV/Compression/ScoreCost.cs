using System.Globalization;
using EdgeKV.Models;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Compression;

/// <summary>The scores of a compression, and what they cost.</summary>
public sealed record ScoreCost
{
    /// <summary>For example "learned", "repeat", "both", "window" or "key norms": see <see cref="ScoreRequest.Name"/>.</summary>
    public required string Name { get; init; }

    /// <summary>Time that the score pass took; null: no pass was run.</summary>
    public TimeSpan? Pass { get; init; }

    /// <summary>Tokens that the score pass fed; 0: no pass was run.</summary>
    public long PassTokens { get; init; }

    /// <summary>Bytes of weights that every token went through while it was read, beside the model's own; 0 without learned scores.</summary>
    public long WeightBytes { get; init; }

    /// <summary><see cref="WeightBytes"/> by the bytes of the model's own weights, 0 and up.</summary>
    public double WeightShare { get; init; }

    /// <summary>
    /// The positions without learned scores, which made the default policy take other scores: first position and count of each stretch, ascending. They were decoded before the
    /// attach or loaded from elsewhere. Empty where none were missing, or a policy was given.
    /// </summary>
    public IReadOnlyList<(int First, int Count)> LearnedMissing { get; init; } = [];

    /// <summary>For example "learned scores: no pass, 202.9 KiB of weights (0.22 % of the model)" or "repeat scores: a pass of 2034 tokens, 20.4 s".</summary>
    public override string ToString()
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        string pass = Pass is { } time
            ? string.Create(culture, $"a pass of {PassTokens} tokens, {time.TotalSeconds:0.0} s")
            : "no pass";
        string weights = WeightBytes == 0
            ? string.Empty
            : string.Create(culture, $", {WeightBytes / 1024.0:0.0} KiB of weights ({WeightShare * 100:0.00} % of the model)");
        string missing = LearnedMissing.Count == 0
            ? string.Empty
            : $"; learned scores are missing at positions {string.Join(", ", LearnedMissing.Select(run => run.Count == 1 ? $"{run.First}" : $"{run.First} to {run.First + run.Count - 1}"))}";
        return $"{Name} scores: {pass}{weights}{missing}";
    }

    internal static ScoreCost Of(ScoreRequest request, long passTokens, TimeSpan scoring, ScoreProfile? profile, EdgeModel model)
    {
        bool learned = request.Statistics.Any(statistic => statistic is Learned);
        long bytes = learned && profile is not null ? (long)profile.Weights.Length * sizeof(float) : 0;
        return new ScoreCost
        {
            Name = request.Name,
            Pass = request.NeedsPass ? scoring : null,
            PassTokens = request.NeedsPass ? passTokens : 0,
            WeightBytes = bytes,
            WeightShare = model.Bytes > 0 ? (double)bytes / model.Bytes : 0,
        };
    }
}
