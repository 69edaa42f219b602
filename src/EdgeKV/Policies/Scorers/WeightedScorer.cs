using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Numerics;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Another scorer's scores times the length of each row's value, so that a score says what losing the row costs. Where scores are logarithms,
/// ln(length + 1e-7) is added. Protects what the other scorer protects.
/// </summary>
public sealed record WeightedScorer : IRowScorer, ICalibratedPolicy
{
    /// <summary>Weighs a scorer's scores.</summary>
    /// <param name="scorer">The scores.</param>
    /// <param name="weight">
    /// What they are multiplied by, 0 and up: <see cref="ValueNorms"/> for ||v[j]||_2, or <see cref="OutputNorms"/> for the length of what the value adds to the
    /// layer's output. Of a statistic with rows for attention heads the mean over those that a KV head serves is taken.
    /// </param>
    public WeightedScorer(IRowScorer scorer, Statistic weight)
    {
        ArgumentNullException.ThrowIfNull(scorer);
        ArgumentNullException.ThrowIfNull(weight);
        Scorer = scorer;
        Weight = weight;
    }

    /// <summary>The scores.</summary>
    public IRowScorer Scorer { get; private init; }

    /// <summary>What they are multiplied by.</summary>
    public Statistic Weight { get; }

    /// <inheritdoc/>
    public string Name => $"weighted {Scorer.Name}";

    /// <inheritdoc/>
    public ScoreRequest Request => ScoreRequest.Union(Scorer.Request, new ScoreRequest(Weight));

    /// <inheritdoc/>
    public bool SharesPositions => false;

    /// <inheritdoc/>
    public bool AreLogarithms => Scorer.AreLogarithms;

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => ICalibratedPolicy.MissingOf(Scorer);

    /// <inheritdoc/>
    public void EnsureScorable(int tokens) => Scorer.EnsureScorable(tokens);

    /// <inheritdoc/>
    public void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        Scorer.Score(scores, layer, destination);
        float[] rented = ArrayPool<float>.Shared.Rent(scores.Tokens);
        Span<float> weights = rented.AsSpan(0, scores.Tokens);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            if (Weight.IsPerAttentionHead)
            {
                scores.CopyGroupMean(Weight, layer, head, weights);
            }
            else
            {
                scores.Values(Weight, layer, head).CopyTo(weights);
            }

            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            if (AreLogarithms)
            {
                AttentionLogarithm.Of(weights);
                TensorPrimitives.Add(row, weights, row);
            }
            else
            {
                TensorPrimitives.Multiply(row, weights, row);
            }
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    /// <inheritdoc/>
    public IRowScorer ForRatio(double ratio) => this with { Scorer = Scorer.ForRatio(ratio) };

    /// <inheritdoc/>
    public ProtectedRows Protect(int tokens, int rows) => Scorer.Protect(tokens, rows);

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile) => this with { Scorer = ICalibratedPolicy.Complete(Scorer, profile) };
}
