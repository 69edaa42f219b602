namespace EdgeKV.Evaluation;

/// <summary>Judges answers.</summary>
public static class Metrics
{
    /// <summary>How well an answer meets a sample's references, by the sample's metric. All but RULER's take the best of several references.</summary>
    /// <param name="sample">The sample.</param>
    /// <param name="answer">The answer, without <see cref="EvalSample.AnswerPrefix"/>.</param>
    /// <returns>0 (wrong) to 1 (right).</returns>
    /// <exception cref="ArgumentException">The sample has no answers, or its metric does not judge texts.</exception>
    public static double Score(EvalSample sample, string answer)
    {
        ArgumentNullException.ThrowIfNull(sample);
        ArgumentNullException.ThrowIfNull(answer);
        if (sample.Answers.Count == 0)
        {
            throw new ArgumentException($"{sample.Source}: the sample has no answers to judge by.", nameof(sample));
        }

        return sample.Metric switch
        {
            MetricNames.MatchAll => StringMatch.All(answer, sample.Answers),
            MetricNames.MatchAny => StringMatch.Any(answer, sample.Answers),
            _ => throw new ArgumentException($"{sample.Source}: the metric \"{sample.Metric}\" does not judge texts.", nameof(sample)),
        };
    }
}
