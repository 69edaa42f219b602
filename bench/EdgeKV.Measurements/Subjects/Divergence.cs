namespace EdgeKV.Measurements.Subjects;

/// <summary>Kullback-Leibler divergence of next-token distributions, in nats.</summary>
/// <param name="Max">The largest over the tokens compared.</param>
/// <param name="Mean">The mean over them.</param>
public readonly record struct Divergence(double Max, double Mean)
{
    /// <summary>KL(reference || other) of every token.</summary>
    /// <exception cref="ArgumentException">The two have different shapes.</exception>
    public static Divergence Of(Logits reference, Logits other)
    {
        if (reference.Values.Length != other.Values.Length || reference.Vocabulary != other.Vocabulary || reference.Tokens == 0)
        {
            throw new ArgumentException($"{reference.Tokens} tokens cannot be compared with {other.Tokens}.", nameof(other));
        }

        double max = 0;
        double sum = 0;
        for (int i = 0; i < reference.Tokens; i++)
        {
            double kl = Of(reference[i], other[i]);
            max = Math.Max(max, kl);
            sum += kl;
        }

        return new Divergence(max, sum / reference.Tokens);
    }

    /// <summary>KL(reference || other) of one pair of logits; infinity when one of them is not a number.</summary>
    public static double Of(ReadOnlySpan<float> reference, ReadOnlySpan<float> other)
    {
        double p = LogSumExp(reference);
        double q = LogSumExp(other);
        double kl = 0;
        for (int i = 0; i < reference.Length; i++)
        {
            double logarithm = reference[i] - p;
            kl += Math.Exp(logarithm) * (logarithm - (other[i] - q));
        }

        // Rounding may take it a little below zero; not-a-number must fail every bound.
        return double.IsNaN(kl) ? double.PositiveInfinity : Math.Max(0, kl);
    }

    /// <summary>The larger maximum of both, and the mean of the means.</summary>
    public Divergence Worse(Divergence other) => new(Math.Max(Max, other.Max), (Mean + other.Mean) / 2);

    private static double LogSumExp(ReadOnlySpan<float> logits)
    {
        double max = double.NegativeInfinity;
        foreach (float x in logits)
        {
            max = Math.Max(max, x);
        }

        double sum = 0;
        foreach (float x in logits)
        {
            sum += Math.Exp(x - max);
        }

        return max + Math.Log(sum);
    }
}
