using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Numerics;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Scores rows by the sum of the logarithms of several scores: what one saw times what another predicted. Scores that are no logarithms count as ln(s + 1e-7).
/// </summary>
/// <remarks>Protects the first 4 and the last 4 positions unless told otherwise.</remarks>
public sealed record SumScorer : AttentionScorer, ICalibratedPolicy
{
    private readonly IRowScorer[] _parts;

    /// <summary>The sum of some scores.</summary>
    /// <param name="parts">At least one scorer.</param>
    /// <exception cref="ArgumentException">There is none.</exception>
    public SumScorer(params IEnumerable<IRowScorer> parts)
        : base(PredictedSinks, PredictedRecent)
    {
        ArgumentNullException.ThrowIfNull(parts);
        _parts = [.. parts];
        if (_parts.Length == 0)
        {
            throw new ArgumentException("A sum needs at least one scorer.", nameof(parts));
        }
    }

    /// <summary>What is added up.</summary>
    public IReadOnlyList<IRowScorer> Parts => _parts;

    /// <inheritdoc/>
    public override string Name => string.Join('+', _parts.Select(part => part.Name));

    /// <inheritdoc/>
    public override ScoreRequest Request => ScoreRequest.Union(_parts.Select(part => part.Request));

    /// <inheritdoc/>
    public override bool AreLogarithms => true;

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => [.. _parts.SelectMany(ICalibratedPolicy.MissingOf).Distinct()];

    /// <inheritdoc/>
    public override void EnsureScorable(int tokens)
    {
        foreach (IRowScorer part in _parts)
        {
            part.EnsureScorable(tokens);
        }
    }

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        Span<float> sum = destination[..(scores.KvHeads[layer] * scores.Tokens)];
        Logarithms(_parts[0], scores, layer, sum);
        float[] rented = ArrayPool<float>.Shared.Rent(sum.Length);
        foreach (IRowScorer part in _parts.AsSpan(1))
        {
            Span<float> other = rented.AsSpan(0, sum.Length);
            Logarithms(part, scores, layer, other);
            TensorPrimitives.Add(sum, other, sum);
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile) =>
        new SumScorer(_parts.Select(part => ICalibratedPolicy.Complete(part, profile))) { Sinks = Sinks, Recent = Recent };

    /// <inheritdoc/>
    public bool Equals(SumScorer? other) => base.Equals(other) && _parts.AsSpan().SequenceEqual(other._parts);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(base.GetHashCode(), _parts.Length, _parts[0]);

    private static void Logarithms(IRowScorer part, AttentionScores scores, int layer, Span<float> destination)
    {
        part.Score(scores, layer, destination);
        if (!part.AreLogarithms)
        {
            AttentionLogarithm.Of(destination);
        }
    }
}
