namespace EdgeKV.Evaluation;

/// <summary>Draws samples of every task.</summary>
public static class SampleChoice
{
    /// <summary>At most so many samples of each task, drawn by a seed, in the data set's order. A larger number keeps those of a smaller one.</summary>
    /// <param name="samples">All samples.</param>
    /// <param name="count">The most of a task, 1 and up.</param>
    /// <param name="seed">Of the draw.</param>
    public static IReadOnlyList<EvalSample> Take(IReadOnlyList<EvalSample> samples, int count, int seed)
    {
        ArgumentNullException.ThrowIfNull(samples);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        HashSet<EvalSample> taken = new(ReferenceEqualityComparer.Instance);
        foreach (IGrouping<(string, string), EvalSample> task in samples.GroupBy(sample => (sample.Dataset, sample.Task)))
        {
            EvalSample[] order = [.. task];
            new Random(seed).Shuffle(order);
            taken.UnionWith(order.Take(count));
        }

        return [.. samples.Where(taken.Contains)];
    }
}
