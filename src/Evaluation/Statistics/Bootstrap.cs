namespace EdgeKV.Evaluation;

/// <summary>How intervals are found: samples are drawn again within each task, with replacement; percentiles of what the draws give.</summary>
/// <remarks>One draw serves every policy and every budget, so figures of the same samples can be compared.</remarks>
public sealed record Bootstrap
{
    /// <summary>Draws; 2000 by default, 1 and up.</summary>
    public int Resamples { get; init; } = 2000;

    /// <summary>Decides the draws.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>The share of the draws that the interval holds, between 0 and 1; 0.95 by default.</summary>
    public double Level { get; init; } = 0.95;

    /// <summary>How often each sample of a task is drawn, [resamples, samples].</summary>
    /// <param name="samples">Samples of the task.</param>
    /// <param name="stream">Which task it is: every one has its own draws, whatever the others are.</param>
    internal int[] Draw(int samples, int stream)
    {
        int[] counts = new int[Resamples * samples];
        Random random = new(unchecked(Seed + (stream * 7919)));
        for (int draw = 0; draw < Resamples; draw++)
        {
            Span<int> row = counts.AsSpan(draw * samples, samples);
            for (int i = 0; i < samples; i++)
            {
                row[random.Next(samples)]++;
            }
        }

        return counts;
    }

    /// <summary>The weighted mean of the scores in every draw; NaN where a draw holds no score.</summary>
    /// <param name="scores">Scores of the task's samples; NaN = none.</param>
    /// <param name="counts">[resamples, samples].</param>
    /// <param name="means">[resamples].</param>
    internal static void Means(ReadOnlySpan<double> scores, ReadOnlySpan<int> counts, Span<double> means)
    {
        int samples = scores.Length;
        for (int draw = 0; draw < means.Length; draw++)
        {
            ReadOnlySpan<int> row = counts.Slice(draw * samples, samples);
            double sum = 0;
            int drawn = 0;
            for (int i = 0; i < samples; i++)
            {
                if (!double.IsNaN(scores[i]))
                {
                    sum += row[i] * scores[i];
                    drawn += row[i];
                }
            }

            means[draw] = drawn > 0 ? sum / drawn : double.NaN;
        }
    }

    /// <summary>A figure and the percentiles around it; draws that gave no figure (NaN) are left out.</summary>
    /// <param name="value">The figure from all samples.</param>
    /// <param name="draws">The figure of every draw.</param>
    internal Estimate Around(double value, ReadOnlySpan<double> draws)
    {
        List<double> sorted = new(draws.Length);
        foreach (double draw in draws)
        {
            if (!double.IsNaN(draw))
            {
                sorted.Add(draw);
            }
        }

        sorted.Sort();
        double tail = (1 - Level) / 2;
        return sorted.Count == 0 ? new Estimate(value, value, value) : new Estimate(value, Percentile(sorted, tail), Percentile(sorted, 1 - tail));
    }

    /// <summary>Between the two nearest of the sorted values, linearly.</summary>
    internal static double Percentile(IReadOnlyList<double> sorted, double share)
    {
        double place = share * (sorted.Count - 1);
        int below = (int)Math.Floor(place);
        int above = Math.Min(below + 1, sorted.Count - 1);
        return sorted[below] + ((place - below) * (sorted[above] - sorted[below]));
    }
}
