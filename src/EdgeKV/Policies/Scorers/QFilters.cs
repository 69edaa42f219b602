using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Q-Filters, arXiv 2503.02812: the rows whose keys lie along the main direction of their head's queries, s[h, j] = -f[h] k[h, j] with f found
/// once per model. Looks at no attention.
/// </summary>
public sealed record QFilters : ScoredPolicy, ICalibratedPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "q-filters";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The directions. Have no default: they must be given, of the model that the context was read by, or come from its profile.</summary>
    public QueryDirections? Directions { get; init; }

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Products);

    private KeyProducts Products => new(Directions ?? throw new ArgumentException(
        $"{Name} needs {nameof(Directions)}: the main directions of the model's queries. `edgekv calibrate MODEL --for {PolicyName}` finds them for the model's profile."));

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => Directions is null ? [PolicyName] : [];

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile)
    {
        (HeadLayout kvHeads, ReadOnlyMemory<float> directions) = ICalibratedPolicy.Table(profile, PolicyName).ByHead(QueryDirections.Directions, after: 1);
        return this with { Directions = new QueryDirections(kvHeads, directions) };
    }

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        TensorPrimitives.Negate(scores.Values(Products, layer), destination);
    }
}
