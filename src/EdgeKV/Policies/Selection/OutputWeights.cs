using System.Buffers;
using EdgeKV.Numerics;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Selection;

/// <summary>The second stage of CriticalKV (arXiv 2502.03805): rows by what losing them could do to a layer's output.</summary>
internal static class OutputWeights
{
    // Rows that nobody attended to are told apart by their values alone.
    private const float Floor = 1e-4f;

    /// <summary>The statistic: L1 norms of the values after W_O.</summary>
    public static Statistic Norms { get; } = new OutputNorms(NormKind.L1);

    /// <summary>
    /// Turns every score s that is not protected into (s + 1e-4) * norm, the mean over the KV head's attention heads; where scores are logarithms, e^s
    /// stands for s.
    /// </summary>
    /// <param name="ranked">The rows by their scores.</param>
    /// <param name="scores">Holds <see cref="Norms"/>.</param>
    /// <exception cref="PlanException">A norm is not a finite number.</exception>
    public static void Apply(RankedRows ranked, AttentionScores scores)
    {
        int broken = int.MaxValue;
        ranked.ForEachLayer((layer, _) =>
        {
            float[] rented = ArrayPool<float>.Shared.Rent(scores.Tokens);
            Span<float> norms = rented.AsSpan(0, scores.Tokens);
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                int list = scores.KvHeads.First(layer) + head;
                scores.CopyGroupMean(Norms, layer, head, norms);
                if (!Multiply(ranked.Keys(list), norms, ranked.AreLogarithms))
                {
                    LayerLoop.Lower(ref broken, list);
                }
            }

            ArrayPool<float>.Shared.Return(rented);
        });
        if (broken < int.MaxValue)
        {
            (int layer, int head) = scores.KvHeads.At(broken);
            throw new PlanException(
                $"Layer {layer}, KV head {head} has {Norms} by which a score is not a finite number.");
        }
    }

    private static bool Multiply(Span<uint> keys, ReadOnlySpan<float> norms, bool logarithms)
    {
        bool finite = true;
        for (int row = 0; row < keys.Length; row++)
        {
            if (keys[row] >= ScoreOrder.FirstKey)
            {
                float score = ScoreOrder.Score(keys[row]);
                score = ((logarithms ? MathF.Exp(score) : score) + Floor) * norms[row];
                finite &= float.IsFinite(score);
                keys[row] = ScoreOrder.Key(score);
            }
        }

        return finite;
    }
}
