using EdgeKV.Cli.Asking;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Cli.Sizing;

/// <summary>What a model's KV cache costs, and how much context a given memory holds.</summary>
/// <param name="Profile">What was learned about it; null when it has no profile.</param>
/// <param name="ModelBytes">Of the model's tensors.</param>
/// <param name="CacheTypes">Those that the model's rows fit in.</param>
/// <param name="OtherCacheTypes">Those that they do not fit in.</param>
/// <param name="MemoryBytes">The memory that <see cref="CacheTypeSizing.TokensThatFit"/> is about.</param>
internal sealed record ModelSizing(
    ModelFacts Model,
    ProfileFacts? Profile,
    long ModelBytes,
    long MemoryBytes,
    IReadOnlyList<double> Ratios,
    IReadOnlyList<CacheTypeSizing> CacheTypes,
    IReadOnlyList<string> OtherCacheTypes)
{
    /// <summary>Ratios that the table shows.</summary>
    private static readonly double[] ShownRatios = [0, 0.5, 0.8, 0.9, 0.95];

    private static readonly (string Name, KvCacheType Type)[] Types =
        [("f16", KvCacheType.F16), ("q8_0", KvCacheType.Q8_0), ("q4_0", KvCacheType.Q4_0)];

    /// <summary>Works out the figures.</summary>
    /// <param name="model">The model's shape.</param>
    /// <param name="profile">Its profile, or null.</param>
    /// <param name="modelBytes">Bytes of its tensors.</param>
    /// <param name="memory">What its cache costs.</param>
    /// <param name="memoryBytes">Memory for the KV cache, 1 and up.</param>
    public static ModelSizing From(ModelFacts model, ProfileFacts? profile, long modelBytes, KvMemory memory, long memoryBytes) => new(
        model,
        profile,
        modelBytes,
        memoryBytes,
        ShownRatios,
        [.. Types.Where(type => memory.Holds(type.Type)).Select(type => new CacheTypeSizing(
            type.Name,
            memory.BytesPerToken(type.Type),
            [.. ShownRatios.Select(ratio => memory.TokensThatFit(type.Type, memoryBytes, ratio))]))],
        [.. Types.Where(type => !memory.Holds(type.Type)).Select(type => type.Name)]);
}

/// <param name="Provenance">Where it comes from, in words.</param>
/// <param name="Thresholds">What <c>ask --quality</c> can name.</param>
internal sealed record ProfileFacts(string? Path, IReadOnlyDictionary<string, string> Provenance, IReadOnlyDictionary<string, double> Thresholds)
{
    public static ProfileFacts? Of(ScoreProfile? profile) =>
        profile is null ? null : new ProfileFacts(profile.Path, profile.Provenance, profile.Thresholds);
}

/// <param name="TokensThatFit">One for each ratio, without regard to the model's window.</param>
internal sealed record CacheTypeSizing(string CacheType, long BytesPerToken, IReadOnlyList<int> TokensThatFit);
